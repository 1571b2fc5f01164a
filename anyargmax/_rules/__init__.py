"""The mathematics: maps of arrays and their derivatives, against the Array API standard."""

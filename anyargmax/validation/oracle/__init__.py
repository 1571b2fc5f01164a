"""An independent implementation in 50 digits: loops over rows of decimal numbers, no rule of the library."""

"""What type checkers read in a source checkout, where `../backends.py` is an alias of `../../backends` that they do not follow.

A wheel ships that folder in the place of this one. Declare here what users import from it.
"""

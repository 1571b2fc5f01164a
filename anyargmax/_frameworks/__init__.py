"""Whose array it is: the operations of each framework, how it is recognised, and the calls that are kept."""

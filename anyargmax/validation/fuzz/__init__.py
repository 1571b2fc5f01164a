"""Random calls of the public functions, and what must hold of each. Needs hypothesis."""

"""How fast the library is beside the best that each framework, and the packages for it, have to offer."""

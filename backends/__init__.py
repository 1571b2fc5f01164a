"""One folder for each framework: its adapter, which registers the rules, and beside it layers, memory and probe."""

"""TensorFlow: the adapter, and the array functions that it brings in place of a namespace."""

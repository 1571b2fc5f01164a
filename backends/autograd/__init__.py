"""HIPS autograd: the adapter, and what kernels need of its boxes."""

"""JAX: the adapter, and what its compiler does best."""

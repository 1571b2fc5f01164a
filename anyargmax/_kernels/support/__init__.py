"""Sparse weights in plain CPU memory: only where they are not 0."""

"""Softmax over plain CPU memory, in blocks that stay in cache."""

"""Adapters: one module a framework, each lifting the rules of the library into it and nothing else."""

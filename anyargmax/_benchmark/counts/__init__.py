"""What calls cost on an accelerator, counted without one: kernels, bytes, values that the host waits for, nodes of graphs."""

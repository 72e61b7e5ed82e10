"""This computer: devices, cores, memory, child processes."""

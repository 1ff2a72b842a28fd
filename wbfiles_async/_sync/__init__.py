"""The blocking objects: each wraps an async one, which runs in the I/O thread."""

"""The blocking objects: each holds an async one, and has one I/O thread wait for it."""

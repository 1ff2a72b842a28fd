"""The file system for fsspec: paths and listings (pure), one client per event loop, and fsspec's methods."""

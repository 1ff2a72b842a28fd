"""The file system for fsspec: paths and listings (pure), clients of each event loop, and the methods of fsspec."""

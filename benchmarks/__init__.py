"""Compares wbfiles_async with its peers; see README.md in this folder."""

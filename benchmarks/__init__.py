"""Measures wbfiles_async beside its peers; see README.md in this folder."""

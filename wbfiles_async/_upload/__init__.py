"""Uploads: files, order and results."""

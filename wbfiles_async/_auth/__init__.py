"""Credentials: where they are found, and the header fields that carry them."""

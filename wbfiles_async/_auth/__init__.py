"""Credentials: looking them up, and the header fields that contain them."""

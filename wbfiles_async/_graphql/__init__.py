"""W&B's API: queries, and parsing of their responses."""

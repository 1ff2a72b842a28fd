"""W&B's API: what is queried, and how its answers are read."""

"""Random programs of faults with random trees of files, each determined by a seed; `python -m soak` runs them."""

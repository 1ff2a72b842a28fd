"""Random programs of faults against random trees of files, each decided by one number; `python -m soak` plays them."""

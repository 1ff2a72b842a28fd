"""Downloads: selection, order and results."""

"""How object stores behave: requests for ranges, what their responses mean, and how much they take."""

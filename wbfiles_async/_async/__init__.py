"""The objects to be awaited."""

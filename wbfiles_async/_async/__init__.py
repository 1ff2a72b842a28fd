"""The async objects."""

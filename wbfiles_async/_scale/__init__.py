"""Whole projects on many machines: plans of chunks, and their execution on the user's engine."""

"""Whole projects on many machines: a plan of chunks, and what carries it out on an engine of the user's."""

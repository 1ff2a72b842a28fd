"""Local files: where they may lie, how one comes into its place, and what is known of those that are there."""

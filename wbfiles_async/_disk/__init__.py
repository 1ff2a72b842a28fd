"""Local files: paths, publishing, and inspection of existing files."""

"""Local files: where they may be written, how one is published, and what is known of existing ones."""

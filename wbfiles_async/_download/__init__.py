"""What is downloaded, in which order, and how it ends."""

"""What is uploaded, in which order, and how it ends."""

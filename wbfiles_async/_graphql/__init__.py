"""What W&B's API is asked, and what it says."""

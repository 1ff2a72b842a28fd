"""What is done about a request that failed: classified, retried, and for how long."""

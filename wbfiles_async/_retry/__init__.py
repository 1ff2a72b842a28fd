"""Failed requests: classification, retries and time budgets."""

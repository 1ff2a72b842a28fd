"""Everything below ``httpx.AsyncClient.send``. Does not know W&B, files or retries."""

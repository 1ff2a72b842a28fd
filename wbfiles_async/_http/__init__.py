"""Everything below ``httpx.AsyncClient.send``. Knows nothing of W&B, of files, or of retries."""

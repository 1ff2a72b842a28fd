"""Who asks: where credentials are found, and the header fields that prove them."""

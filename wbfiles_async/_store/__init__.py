"""Object stores: range requests, validation of responses, and limits."""

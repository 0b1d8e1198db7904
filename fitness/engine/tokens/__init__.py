"""Token ids of requests, made once."""

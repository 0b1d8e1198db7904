"""pymoo's algorithms."""

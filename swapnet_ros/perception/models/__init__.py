"""Networks by name, their weights and labels."""

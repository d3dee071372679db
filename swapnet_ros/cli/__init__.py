"""The `swapnet` command."""

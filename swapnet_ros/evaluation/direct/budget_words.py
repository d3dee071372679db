"""Words in the place of a budget's size. Imports nothing: the report knows them, too."""

UNLIMITED = "unlimited"
"""The plain networks, run by PyTorch with all the memory."""

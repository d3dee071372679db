"""How much live nodes may drop. Imports nothing: the search for a rate and the report know it."""

DROP_LIMIT = 0.05
"""Share of a play's images; nodes that drop less than this keep up with it."""

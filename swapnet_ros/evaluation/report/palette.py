"""Colours by their role.

Drawings name colours by stand-ins, which become CSS variables in the page: so one drawing serves
the light scheme, the dark one and print.
"""

from __future__ import annotations

import re

_ROLES = (
    *("ink", "muted", "grid", "good", "bad"),
    *("budget", "read", "ahead", "compute", "compute-other"),
    *(f"series-{number}" for number in range(8)),
)
_STAND_IN = "#fd00"  # and two digits: dark reds that nothing else uses
OWN = "series-0"
"""The evaluation that the page is of; others have the roles after it."""
SERIES = tuple(role for role in _ROLES if role.startswith("series-"))


def colour(role: str) -> str:
    """Return the stand-in for a role's colour, as matplotlib takes it."""
    return f"{_STAND_IN}{_ROLES.index(role):02x}"


def series(number: int) -> str:
    """Return the role of the colour of one of several tasks or budgets."""
    return SERIES[number % len(SERIES)]


def with_variables(svg: str) -> str:
    """Put CSS variables in the place of stand-ins."""
    return re.sub(
        f"{_STAND_IN}([0-9a-f]{{2}})",
        lambda match: f"var(--{_ROLES[int(match[1], 16)]})",
        svg,
    )

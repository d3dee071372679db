"""The tables of `docs/nodes.md`: parameters and topics, from the code. Needs no ROS.

`python -m swapnet_ros.nodes.parameter_docs docs/nodes.md` brings them up to date. A table stands
between `<!-- parameters of NODE -->` and `<!-- end of parameters -->`, or `topics` likewise.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from swapnet_ros.nodes.parameter_specs import markdown_table
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS
from swapnet_ros.nodes.topic_tables import TOPICS, topic_table

_PARAMETERS = {"swapnet": SWAPNET, **TASKS}
_PLACE = re.compile(
    r"(?P<begin><!-- (?P<what>parameters|topics) of (?P<node>\w+) -->\n).*?"
    r"(?P<end><!-- end of (?P=what) -->)",
    re.DOTALL,
)


def with_tables(text: str) -> str:
    """Bring every table of a Markdown text up to date.

    Args:
        text: Markdown with places for tables.

    Returns:
        The text with the tables as the code has them.

    Raises:
        KeyError: a place names a node that there is none of.
    """
    return _PLACE.sub(lambda m: m["begin"] + _table(m["what"], m["node"]) + m["end"], text)


def _table(what: str, node: str) -> str:
    if what == "topics":
        return topic_table(TOPICS[node])
    return markdown_table(_PARAMETERS[node])


def main() -> None:
    """Rewrite the files named on the command line."""
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

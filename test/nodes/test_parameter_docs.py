"""The documents have the parameters that the code has."""

from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_ros.nodes.parameter_docs import with_tables
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS

PAGE = Path(__file__).parents[2] / "docs" / "nodes.md"


def test_the_page_is_up_to_date():
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_tables(text), (
        "run `python -m swapnet_ros.nodes.parameter_docs docs/nodes.md`"
    )


@pytest.mark.parametrize("node", ["swapnet", *TASKS])
def test_the_page_has_every_parameter_of_a_node(node):
    text = PAGE.read_text(encoding="utf-8")
    place = text.split(f"<!-- parameters of {node} -->")[1].split("<!-- end of parameters -->")[0]
    for spec in {"swapnet": SWAPNET, **TASKS}[node]:
        assert f"| `{spec.name}` |" in place


def test_only_tables_change():
    text = "before\n<!-- parameters of swapnet -->\nold\n<!-- end of parameters -->\nafter"
    changed = with_tables(text)
    assert changed.startswith("before\n<!-- parameters of swapnet -->\n| parameter |")
    assert changed.endswith("|\n<!-- end of parameters -->\nafter")
    assert with_tables(changed) == changed

"""The documents have the parameters and topics that the code has."""

from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_ros.nodes.account_publisher import ACCOUNT_TOPIC
from swapnet_ros.nodes.container import TASK_NODES
from swapnet_ros.nodes.parameter_docs import with_tables
from swapnet_ros.nodes.parameter_tables import SWAPNET, TASKS
from swapnet_ros.nodes.result_publishers import DEBUG_TOPIC, LABELS_TOPIC
from swapnet_ros.nodes.topic_tables import TOPICS

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


@pytest.mark.parametrize("node", TOPICS)
def test_the_page_has_every_topic_of_a_node(node):
    text = PAGE.read_text(encoding="utf-8")
    place = text.split(f"<!-- topics of {node} -->")[1].split("<!-- end of topics -->")[0]
    for topic in TOPICS[node]:
        assert f"| `{topic.name}` | `{topic.type}` |" in place


@pytest.mark.parametrize("task", TASK_NODES)
def test_the_tables_have_the_topics_that_the_nodes_open(task):
    kind = TASK_NODES[task]
    opened = {name: ros_type(message) for name, message in kind.RESULTS.items()}
    opened |= {name: f"vision_msgs/{message}" for name, message in kind.VISION.items()}
    opened[DEBUG_TOPIC] = "sensor_msgs/Image"
    opened[f"~/{ACCOUNT_TOPIC}"] = "std_msgs/String"
    table = {topic.name: topic.type for topic in TOPICS[task] if not topic.is_input}
    table.pop("/diagnostics")
    table.pop(LABELS_TOPIC, None)
    assert table == opened


def ros_type(message: type) -> str:
    return f"{message.__module__.split('.')[0]}/{message.__name__}"


def test_only_tables_change():
    text = "before\n<!-- parameters of swapnet -->\nold\n<!-- end of parameters -->\nafter"
    changed = with_tables(text)
    assert changed.startswith("before\n<!-- parameters of swapnet -->\n| parameter |")
    assert changed.endswith("|\n<!-- end of parameters -->\nafter")
    assert with_tables(changed) == changed

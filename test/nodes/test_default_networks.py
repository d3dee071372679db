"""The nodes, the tasks' own networks, the scenarios' files and the documents agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from swapnet_ros.nodes.container import TASK_NODES
from swapnet_ros.nodes.hosted_nodes import parse_nodes
from swapnet_ros.nodes.parameter_tables import TASKS
from swapnet_ros.nodes.task_networks import TASK_NETWORKS
from swapnet_ros.perception.models.task_networks import TASK_DEFAULTS, open_task_network

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))


def parameters_of(scenario: str) -> dict[str, dict]:
    """A parameter file's sections by node."""
    sections = yaml.safe_load((ROOT / "config" / f"{scenario}.yaml").read_text())
    return {name.removeprefix("/**/"): each["ros__parameters"] for name, each in sections.items()}


def rows_of(page: str) -> list[list[str]]:
    """The cells of all tables of a document."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


ALL_NODES = [
    (scenario, node.name, node.task)
    for scenario in SCENARIOS
    for node in parse_nodes(parameters_of(scenario)["swapnet"]["nodes"])
]


def test_there_are_eleven_nodes():
    assert len(ALL_NODES) == 11
    assert {task for _, _, task in ALL_NODES} == TASK_NODES.keys() == TASK_DEFAULTS.keys()


@pytest.mark.parametrize("task", TASK_NODES)
def test_a_nodes_network_is_its_tasks_own(task):
    node = TASK_NODES[task]
    assert task == node.TASK
    assert TASKS[task] == node.SPECS
    values = {spec.name: spec.default for spec in node.SPECS}
    assert values["network"] == TASK_DEFAULTS[task].network
    of_node, of_task = TASK_NETWORKS[node.TASK](values), open_task_network(task)
    assert of_node.name == of_task.name == values["network"]
    assert of_node.labels == of_task.labels
    assert [tensor.shape for tensor in of_node.example_inputs] == [
        tensor.shape for tensor in of_task.example_inputs
    ]


@pytest.mark.parametrize(("scenario", "node", "task"), ALL_NODES)
def test_a_scenarios_file_and_page_have_the_same_network(scenario, node, task):
    network = TASK_DEFAULTS[task].network
    assert parameters_of(scenario)[node]["network"] == network
    (row,) = [cells for cells in rows_of(f"{scenario}.md") if cells[0] == f"`{node}`"]
    assert any(cell.split()[0].rstrip(",") == f"`{network}`" for cell in row[1:3])


@pytest.mark.parametrize("task", TASK_NODES)
def test_the_page_of_networks_has_the_tasks_own(task):
    (row,) = [cells for cells in rows_of("networks.md") if cells[0] == f"`{task}`"]
    assert row[1] == f"`{TASK_DEFAULTS[task].network}`"

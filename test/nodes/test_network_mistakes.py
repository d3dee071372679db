"""Mistakes in what parameters say of a network: found early, and told by their place."""

from __future__ import annotations

import pytest

from swapnet_core.errors import BudgetTooSmallError, WeightsMismatchError
from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.network_mistakes import told_by_place, unknown_network
from swapnet_ros.nodes.parameter_tables import TASKS


def values_of(task: str, **changes: object) -> dict[str, object]:
    return {spec.name: spec.default for spec in TASKS[task]} | changes


@pytest.mark.parametrize("task", TASKS)
def test_a_name_that_no_network_goes_by_is_told_with_what_there_is(task):
    own = values_of(task)["network"]
    problem = unknown_network(task, values_of(task, network=f"{own}x"))
    assert f"network '{own}x'" in problem
    assert f"Did you mean '{own}'?" in problem
    assert "package.module:factory" in problem


@pytest.mark.parametrize("task", TASKS)
def test_what_may_still_come_is_left_to_the_node(task):
    for network in (values_of(task)["network"], "absent:factory", "absent.pt2"):
        assert unknown_network(task, values_of(task, network=network)) is None


def test_a_definition_beside_the_weights_is_a_network(data_dir):
    weights = data_dir / "weights" / "yolo-fastest-1.1.weights"
    values = values_of("object_detection", network="yolo-fastest-1.1", weights=str(weights))
    assert unknown_network("object_detection", values) is None
    assert unknown_network("object_detection", values | {"network": "absent.cfg"}) is None
    assert unknown_network("object_detection", values | {"weights": ""}) is not None


def test_an_error_says_which_parameter_is_meant_and_where_it_stands():
    place = "my.yaml:7: /**/north"
    with (
        pytest.raises(ParameterSourceError) as caught,
        told_by_place(lambda key: place),
    ):
        raise WeightsMismatchError("they are of another network")
    assert str(caught.value) == f"{place}: weights: they are of another network"


def test_an_error_that_no_parameter_of_the_node_is_to_blame_for_stays():
    with pytest.raises(BudgetTooSmallError), told_by_place(str):
        raise BudgetTooSmallError("too small", needed_bytes=2, budget_bytes=1)

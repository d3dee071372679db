"""Parameters on a node: described, checked, live where they may be, atomic."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter

from swapnet_core.errors import BudgetTooSmallError
from swapnet_ros.nodes.errors import ParameterValueError
from swapnet_ros.nodes.live_parameters import LiveParameters
from swapnet_ros.nodes.parameter_specs import ParameterSpec
from swapnet_ros.nodes.parameter_tables import OBJECT_DETECTION, SWAPNET

pytestmark = pytest.mark.ros


@pytest.fixture
def make_node():
    """Create nodes with command-line arguments; all are gone at the end of the test."""
    made = []

    def make(*arguments: str):
        context = Context()
        rclpy.init(args=["test", *arguments], context=context, domain_id=24)
        node = rclpy.create_node("object_detection", context=context)
        made.append((context, node))
        return node

    yield make
    for context, node in made:
        node.destroy_node()
        context.try_shutdown()


def set_one(node, name: str, value: object):
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_every_parameter_is_described(make_node) -> None:
    node = make_node()
    LiveParameters(node, OBJECT_DETECTION)
    for spec in OBJECT_DETECTION:
        descriptor = node.describe_parameter(spec.name)
        assert descriptor.description == spec.description
        assert descriptor.read_only != spec.is_live
    assert node.describe_parameter("score_threshold").floating_point_range[0].to_value == 1.0
    assert node.describe_parameter("max_detections").integer_range[0].from_value == 1


def test_live_values_change_and_a_view_taken_before_does_not(make_node) -> None:
    node = make_node()
    changed = []
    parameters = LiveParameters(node, OBJECT_DETECTION, changed=lambda: changed.append(1))
    before = parameters.values
    assert set_one(node, "score_threshold", 0.6).successful
    assert before["score_threshold"] == 0.3
    assert parameters.values["score_threshold"] == 0.6
    assert changed == [1]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("score_threshold", 1.5, "range"),
        ("score_threshold", float("nan"), "range"),
        ("score_threshold", 1, "score_threshold is a double, not 1; write 1.0"),
        (
            "score_threshold",
            None,
            "score_threshold is a double, not nothing; write `score_threshold",
        ),
        ("max_detections", 0, "range"),
        ("network", "yolov4", "read-only"),
    ],
)
def test_a_bad_change_is_refused_with_a_reason(
    make_node, name: str, value: object, reason: str
) -> None:
    node = make_node()
    parameters = LiveParameters(node, OBJECT_DETECTION)
    before = dict(parameters.values)
    type_before = node.describe_parameter(name).type
    answer = set_one(node, name, value)
    assert not answer.successful
    assert reason in answer.reason
    assert node.describe_parameter(name).type == type_before
    assert parameters.values == before
    assert node.get_parameter(name).value == before[name]


def test_parameters_set_together_change_together_or_not_at_all(make_node) -> None:
    node = make_node()
    parameters = LiveParameters(node, OBJECT_DETECTION)
    answer = node.set_parameters_atomically(
        [Parameter("score_threshold", value=0.9), Parameter("iou_threshold", value=7.0)]
    )
    assert not answer.successful
    assert parameters.values["score_threshold"] == 0.3


def test_the_owner_can_refuse_a_value(make_node) -> None:
    def refuse(changes) -> None:
        raise BudgetTooSmallError("needs 50 MiB", needed_bytes=50, budget_bytes=1)

    node = make_node()
    parameters = LiveParameters(node, SWAPNET, apply=refuse)
    answer = set_one(node, "budget", "1MiB")
    assert (answer.successful, answer.reason) == (False, "needs 50 MiB")
    assert parameters.values["budget"] == "256MiB"


@pytest.mark.parametrize(
    "argument", ["score_threshold:=7.0", "score_threshold:=1", "image_transport:=theora"]
)
def test_a_bad_initial_value_is_named(make_node, argument: str) -> None:
    node = make_node("--ros-args", "-p", argument)
    with pytest.raises(ParameterValueError, match=argument.split(":")[0]):
        LiveParameters(node, OBJECT_DETECTION)


@pytest.mark.parametrize("argument", ["words:=[a, b]", "words:=[]"])
def test_string_arrays_from_arguments(make_node, argument: str) -> None:
    node = make_node("--ros-args", "-p", argument)
    spec = ParameterSpec(name="words", default=["x"], description="Words.")
    expected = ["a", "b"] if "a" in argument else []
    assert LiveParameters(node, [spec]).values["words"] == expected

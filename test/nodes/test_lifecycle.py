"""Transitions through the services: what they load, subscribe to and give back."""

from __future__ import annotations

import re

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from swapnet_ros.msg import DetectionArray

pytestmark = pytest.mark.ros


def test_autostart_ends_active_and_the_whole_circle_works(robot, start_host, street_message):
    start_host()
    robot.wait_for_state("active")
    assert robot.show(street_message).detections
    assert robot.change_state("deactivate")
    assert robot.state() == "inactive"
    assert robot.values("/swapnet")["networks"] == "1"
    assert robot.change_state("cleanup")
    assert robot.state() == "unconfigured"
    values = robot.values("/swapnet")
    assert values["networks"] == "0"
    assert values["leased_bytes"] == "0"
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert robot.show(street_message).detections
    assert robot.change_state("shutdown")
    assert robot.state() == "finalized"
    assert robot.values("/swapnet")["networks"] == "0"


def test_without_autostart_the_node_waits(robot, start_host):
    start_host(object_detection={"autostart": False})
    assert robot.state() == "unconfigured"
    assert robot.status().message == "unconfigured"
    assert robot.change_state("configure")
    assert robot.status().message == "inactive"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": "absent:factory"}, "cannot import absent"),
        ({"weights": "/no/such/file.weights"}, "/no/such/file.weights"),
        ({"labels": "/no/such/file.names"}, "/no/such/file.names"),
    ],
)
def test_what_cannot_be_configured_is_an_error_and_not_the_end(robot, start_host, changes, reason):
    start_host(object_detection=changes)
    robot.wait_for_state("unconfigured")
    status = robot.status()
    assert status.level == DiagnosticStatus.ERROR
    assert "cannot configure" in status.message
    assert reason in status.message
    ((key, _),) = changes.items()
    assert re.search(rf"parameters\.yaml:\d+: /\*\*/object_detection: {key}: ", status.message)
    assert not robot.change_state("configure")
    assert robot.state() == "unconfigured"


def test_a_cache_folder_that_cannot_be_written_is_named(robot, start_host):
    start_host(swapnet={"cache_dir": "/proc/swapnet"})
    robot.wait_for_state("unconfigured")
    message = robot.status().message
    assert "cannot configure" in message
    assert "/proc/swapnet" in message


def test_a_budget_too_small_can_be_raised_and_the_node_configured_then(
    robot, start_host, street_message
):
    start_host(swapnet={"budget": "64KiB"})
    robot.wait_for_state("unconfigured")
    assert "cannot configure" in robot.status().message
    assert robot.set("swapnet", budget="64MiB")[0].successful
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    assert robot.show(street_message).detections
    assert robot.status().level == DiagnosticStatus.OK


def test_an_impossible_transition_is_refused_and_the_node_goes_on(robot, start_host):
    start_host(object_detection={"autostart": False})
    assert not robot.change_state("activate")
    assert not robot.change_state("no such transition")
    assert robot.change_state("configure")


def test_two_nodes_of_one_task_share_the_core_and_have_their_own_cameras(
    robot, start_host, detector_parameters, street_message, wait_until
):
    north = []
    robot.node.create_subscription(DetectionArray, "/detection_north/detections", north.append, 10)
    start_host(
        "-r",
        "detection_north:image:=/camera/north",
        swapnet={"nodes": ["object_detection", "detection_north=object_detection"]},
        detection_north=detector_parameters,
    )
    robot.wait_for_state("active")
    robot.wait_for_state("active", "detection_north")
    assert robot.values("/swapnet")["networks"] == "2"
    robot.camera("/camera/north").publish(street_message)
    wait_until(lambda: north, "a result of the northern camera")
    assert not robot.results
    assert robot.show(street_message).detections == north[0].detections
    assert robot.change_state("deactivate", "detection_north")
    assert robot.change_state("cleanup", "detection_north")
    assert robot.state() == "active"
    assert robot.values("/swapnet")["networks"] == "1"

"""`swapnet top` over DDS: what it hears of a perception process, as tables and as JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from swapnet_ros.cli.top import show_once
from swapnet_ros.cli.top_view import top_tables
from swapnet_ros.msg import SwapModelStatus, SwapStatus
from swapnet_ros.nodes.status_listener import NodeReport, StatusListener, rate_hz

pytestmark = pytest.mark.ros

MIB = 2**20
SWAPNET = Path(__file__).parents[2] / "scripts" / "swapnet"


@pytest.fixture
def listener(robot, domain_id):
    # after the robot: Fast DDS keeps what the first participant opens
    with StatusListener(domain_id=domain_id) as listener:
        yield listener


def printed(*arguments: object, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(*arguments)
    return console.file.getvalue()


def test_once_tells_cores_and_tasks_as_json(robot, start_host, street_message, listener, capsys):
    start_host()
    robot.wait_for_state("active")
    robot.show(street_message)
    assert show_once(listener, Console(), as_json=True, patience_s=30)
    heard = json.loads(capsys.readouterr().out)
    core = heard["cores"]["/swapnet"]
    assert core["budget_bytes"] == 64 * MIB
    assert core["models"][0]["name"] == "/object_detection"
    task = heard["nodes"]["/object_detection"]
    assert task["level"] == "OK"
    assert task["values"]["processed"] == "1"
    assert task["values"]["network"] == "yolo-fastest-1.1"


def test_the_tables_name_what_is_amiss(robot, start_host, street_message, listener, wait_until):
    start_host(object_detection={"weights": "/nowhere.weights"})

    def is_heard() -> bool:
        listener.listen(0.5)
        return bool(listener.cores) and "/object_detection" in listener.nodes

    wait_until(is_heard, "core and task")
    text = printed(top_tables(listener.cores, listener.nodes))
    assert "64.0 MiB" in text
    assert "unconfigured" in text
    assert "/object_detection: cannot configure: " in text


def test_tasks_are_legible_in_a_terminal_of_110_columns():
    names = ["/traffic_light_classification", "/semantic_segmentation"]
    values = {"state": "unconfigured", "network": "deeplabv3_resnet101", "dropped": "123456"}
    report = NodeReport(level="OK", message="", values=values, rate_hz=12.34, received_s=0.0)
    figures = {"latency_p50_s": 1.234, "latency_p99_s": 23.456, "predicted_latency_s": 1.345}
    models = [
        SwapModelStatus(name=name, resident_bytes=999 * MIB, compute_s=1.0, **figures)
        for name in names
    ]
    tables = top_tables({"/swapnet": SwapStatus(models=models)}, dict.fromkeys(names, report))
    text = printed(tables, width=110)
    assert all(name in text for name in names)
    assert "1234/23456" in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ([(0.0, 7)], None),
        ([(0.0, 7), (1.5, 8)], None),
        ([(0.0, 7), (2.0, 9)], 1.0),
        ([(0.0, 7), (9.0, 7)], 0.0),
        ([(0.0, 7), (10.0, 8)], 0.1),
        ([(0.0, 70), (10.0, 1)], 0.0),
    ],
)
def test_a_rate_is_told_from_enough_images_or_after_some_seconds(seen, wanted):
    assert rate_hz(seen) == wanted


def test_a_process_that_ended_is_forgotten(robot, start_host, listener, monkeypatch, wait_until):
    monkeypatch.setattr("swapnet_ros.nodes.status_listener.FORGET_S", 1.5)
    host = start_host(object_detection={"autostart": False})
    listener.listen(30, is_enough=lambda: bool(listener.cores))
    assert "/swapnet" in listener.cores
    host.close()

    def is_forgotten() -> bool:
        listener.listen(0.5)
        return not listener.cores and not listener.nodes

    wait_until(is_forgotten, "the end of the process")


def top(domain_id: int, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SWAPNET), "top", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain_id)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_ends_with_1_where_nobody_runs(domain_id):
    done = top(domain_id, "--once", "--patience", "0.5")
    assert done.returncode == 1
    assert "no perception process within 0.5 s" in done.stderr


def test_json_without_an_end_is_refused(domain_id):
    done = top(domain_id, "--json")
    assert done.returncode == 2
    assert "--json goes with --once" in done.stderr

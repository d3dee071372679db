"""The whole main job over real DDS, with small networks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from swapnet_ros.evaluation.road_scene import RoadScene
from swapnet_ros.evaluation.video_file import VideoReader, write_video

pytestmark = pytest.mark.ros

_FRAMES, _RATE_HZ = 24, 8.0
_LIMIT_S = 120.0
_NETWORKS = Path(__file__).parents[1] / "nodes"  # has small_networks.py
_ALONE = ("--network", "yolov3-tiny")
_CFG = """
[net]
height=96
width=96
channels=3
[convolutional]
filters=18
size=3
activation=linear
[yolo]
classes=1
num=3
anchors=8,8, 16,16, 32,32
mask=0,1,2
"""
_SCENARIO = """
/**/swapnet:
  ros__parameters:
    budget: 32MiB
    nodes:
      - lane_detection
      - object_detection
      - semantic_segmentation
      - signs=traffic_sign_classification
/**/lane_detection: {ros__parameters: {network: "small_networks:BrightLines"}}
/**/object_detection: {ros__parameters: {network: yolov3-tiny, input_size: [96]}}
/**/semantic_segmentation: {ros__parameters: {network: "small_networks:Thresholds"}}
/**/signs:
  ros__parameters: {network: "small_networks:Brightness", regions: image, cameras: [front]}
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    scene = RoadScene(width=320, height=180, frame_rate_hz=_RATE_HZ, duration_s=_FRAMES / _RATE_HZ)
    path = tmp_path_factory.mktemp("video") / "scene.mp4"
    write_video(path, scene.frames(), width=320, height=180, frame_rate_hz=_RATE_HZ)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache of block files for all drives of this module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def start(tmp_path, cache, video, domain_id):
    """Start drives as processes of their own; those that still run at the end are killed."""
    from ament_index_python.packages import get_package_prefix

    program = Path(get_package_prefix("swapnet_ros"), "lib", "swapnet_ros", "drive")
    started = []
    # A shell's background job ignores SIGINT, and so would the drive; a terminal's does not.
    at_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*options):
        drive = subprocess.Popen(
            [program, "--out", tmp_path / "out", *options],
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(cache),
                "PYTHONPATH": os.pathsep.join([str(_NETWORKS), os.environ.get("PYTHONPATH", "")]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(drive)
        return drive

    yield start
    signal.signal(signal.SIGINT, at_interrupt)
    for drive in started:
        drive.kill()
        drive.wait()
        drive.stdout.close()


def _finish(drive):
    output, _ = drive.communicate(timeout=_LIMIT_S)
    return drive.returncode, output


def _children(pid):
    """Map the names of a process's children to their process ids."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    found = {}
    for child in map(int, pids):
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        names = [Path(part.decode()).name for part in arguments[:2]]
        found.update({name: child for name in names if name in ("perception", "video_player")})
    return found


def _wait_for_frames(drive):
    """Return the drive's children once frames are being played."""
    output = ""
    for line in drive.stdout:
        if re.match("playing: frames in [1-9]", line):
            return _children(drive.pid)
        output += line
    raise AssertionError(output)


def test_a_scenario_shows_figures_and_leaves_a_video_and_a_summary(start, video, tmp_path):
    config = tmp_path / "four.yaml"
    config.write_text(_SCENARIO)
    exit_code, output = _finish(start("--video", video, "--config", config))
    assert exit_code == 0, output
    assert "scenario four: lane_detection, object_detection" in output
    assert "weights  object_detection: seeded random numbers" in output

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    figures = summary["figures"]
    assert summary["complete"] is True
    assert figures["frames_played"] <= _FRAMES
    assert (
        figures["core"]["peak_bytes"] <= figures["core"]["budget_bytes"] < figures["demand_bytes"]
    )
    assert set(figures["tasks"]) == set(summary["observed"]["diagnostics"])
    for task in figures["tasks"].values():
        assert 0 < task["frames_processed"] <= figures["frames_played"]
        assert task["latency"]["p50_s"] > 0
    assert [name for name, task in figures["tasks"].items() if task["is_random"]] == [
        "object_detection"
    ]
    with VideoReader(tmp_path / "out" / "drive.mp4") as reader:
        assert reader.facts.frame_count == figures["frames_played"]


@pytest.mark.slow  # half a minute; `make run` starts three processes
def test_an_interrupt_ends_the_drive_of_one_network_and_its_children(start, video, tmp_path):
    drive = start("--video", video, *_ALONE, "--duration", "60")
    children = _wait_for_frames(drive)
    drive.send_signal(signal.SIGINT)
    exit_code, output = _finish(drive)
    assert exit_code == 130, output
    assert not [pid for pid in children.values() if Path(f"/proc/{pid}").exists()]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["complete"] is False
    assert summary["configuration"]["is_random"] is True
    figures = summary["figures"]
    assert list(figures["tasks"]) == ["object_detection"]
    assert (
        figures["core"]["peak_bytes"] <= figures["core"]["budget_bytes"] < figures["demand_bytes"]
    )


@pytest.mark.slow
def test_a_crash_of_perception_is_reported(start, video):
    drive = start("--video", video, *_ALONE, "--duration", "60")
    children = _wait_for_frames(drive)
    os.kill(children["perception"], signal.SIGKILL)
    exit_code, output = _finish(drive)
    assert exit_code == 1
    assert "perception ended with exit code -9" in output
    assert not Path(f"/proc/{children['video_player']}").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--network", "small.cfg", "--budget", "1MiB"), "a budget of 1.0 MiB is too small"),
        (("--network", "yolov9000"), "there is no detection network 'yolov9000'"),
    ],
)
def test_bad_input_is_told_and_has_its_own_exit_code(
    start, video, tmp_path, monkeypatch, options, reason
):
    monkeypatch.chdir(tmp_path)
    Path("small.cfg").write_text(_CFG)
    exit_code, output = _finish(start("--video", video, *options))
    assert exit_code == 2, output
    assert reason in output

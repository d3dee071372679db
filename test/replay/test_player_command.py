"""The players' command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.message_types import COMPRESSED_IMAGE, IMAGE
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.replay.player_command import (
    PlayedTopic,
    Player,
    PlayerKind,
    read_summary,
    require_ros2bag,
)
from swapnet_ros.replay.replay_job import make_job

_TOPICS = (
    PlayedTopic(name="/left", played_as="/left"),
    PlayedTopic(name="/right/jpeg", played_as="/right/jpeg/compressed"),
)


def _command(kind, rate=2.0):
    program = Path("/lib/bag_player")
    player = Player(kind=kind, bag=Path("/bag"), topics=_TOPICS, program=program, storage="mcap")
    return " ".join(player.command(rate))


def test_the_own_player_gets_bag_rate_topics_and_other_names():
    assert _command(PlayerKind.OWN) == (
        '/lib/bag_player --ros-args -p bag:="/bag" -p topics:=["/left", "/right/jpeg"] '
        "-p rate:=2.0 -r /right/jpeg:=/right/jpeg/compressed"
    )


def test_ros2_bag_play_plays_the_same_topics_with_a_clock():
    assert _command(PlayerKind.ROS2BAG, 0.5) == (
        "ros2 bag play /bag --storage mcap --clock 100 --rate 0.5 --delay 3.0 "
        "--disable-keyboard-controls --topics /left /right/jpeg "
        "--remap /right/jpeg:=/right/jpeg/compressed"
    )


def test_without_ros2_the_error_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no command `ros2` here; .*--player own"):
        require_ros2bag()
    broken = tmp_path / "ros2"
    broken.write_text("#!/bin/sh\necho 'invalid choice: bag' >&2\nexit 2\n")
    broken.chmod(0o755)
    with pytest.raises(InputError, match=r"does not run here \(invalid choice: bag\); source"):
        require_ros2bag()


@pytest.mark.parametrize("line", ["", "Traceback", "[]", '{"played": 3'])
def test_a_player_that_was_killed_has_told_nothing(line):
    assert read_summary(line) is None


def _task(name, *topics, detector=""):
    return DirectTask(
        name=name,
        task="object_detection",
        topics=topics,
        detector=detector,
        values={},
        network=None,
    )


def test_nodes_look_at_the_bags_topics_in_its_time():
    types = {"/left": IMAGE, "/right/jpeg": COMPRESSED_IMAGE, "/up/compressed": COMPRESSED_IMAGE}
    tasks = (_task("a", "/left"), _task("b", "/right/jpeg", "/up/compressed", detector="a"))
    job = make_job(Path("my.yaml"), tasks, types, budget="8MiB", cache_dir=Path("/cache"))
    text = " ".join(job.ros_arguments)
    assert text.startswith("--params-file my.yaml -p swapnet:use_sim_time:=true")
    for part in (
        *('swapnet:budget:="8MiB"', 'swapnet:cache_dir:="/cache"', "b:use_sim_time:=true"),
        *('a:image_transport:="raw"', 'a:cameras:=["/left"]'),
        *('b:image_transport:="compressed"', 'b:cameras:=["/right/jpeg", "/up"]'),
        "-r b:detections:=/a/detections",
    ):
        assert part in text
    assert [each.played_as for each in job.topics] == [
        *("/left", "/right/jpeg/compressed", "/up/compressed")
    ]


def test_a_node_cannot_look_at_raw_and_compressed_images():
    types = {"/left": IMAGE, "/right": COMPRESSED_IMAGE}
    with pytest.raises(InputError, match="a node takes one of the two"):
        make_job(Path("my.yaml"), (_task("a", "/left", "/right"),), types)

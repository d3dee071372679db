"""`swapnet evaluate --mode replay`: what it refuses before anything is started."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from swapnet_ros.evaluation.bags.writer import BagWriter


@pytest.fixture
def site(tmp_path):
    """A bag with one image, and a scenario of one network that is built at once."""
    with BagWriter(tmp_path / "bag") as writer:
        image = np.zeros((8, 8, 3), np.uint8)
        writer.write_image("/image", image, stamp_ns=1, frame_id="camera")
    (tmp_path / "scenario.yaml").write_text(
        "/**/swapnet: {ros__parameters: {nodes: [natural_scene_classification]}}\n"
        "/**/natural_scene_classification: {ros__parameters: {network: squeezenet1_1}}\n"
    )
    return tmp_path


@pytest.fixture
def evaluate(swapnet, site):
    """Run the command on the bag, with further words."""
    out = site / "report"

    def run(*words, bag="bag"):
        done = swapnet(
            "evaluate", site / bag, "--config", site / "scenario.yaml", "--out", out, *words
        )
        assert not out.exists()
        return done

    return run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rate", "2"), "--rate says how a bag is played: add --mode replay"),
        (("--find-rate",), "--find-rate says how a bag is played: add --mode replay"),
        (("--mode", "replay", "--rate", "0"), "a rate is how many bag seconds pass in one"),
        (("--mode", "replay", "--rates", "1,fast"), "such as 0.5, not 'fast'"),
        (("--mode", "replay", "--rates", "1,1"), "--rates takes different rates with commas"),
        (("--mode", "replay", "--rate", "1", "--find-rate"), "give one of --rate, --rates and"),
        (("--mode", "replay", "--budgets", "8MiB,9MiB"), "a replay has one, --budget"),
        (("--mode", "replay", "--budget", "unlimited"), "--against unlimited compares a replay"),
        (("--mode", "replay", "--resume"), "a replay that was stopped starts anew"),
        (("--mode", "replay", "--record"), "`ros2 bag record` records the topics"),
        (("--mode", "replay", "--against", "8MiB"), "or `direct` (direct mode within the same"),
    ],
)
def test_words_that_do_not_go_together_are_refused(evaluate, words, message):
    done = evaluate(*words)
    assert done.exit_code == 2
    assert message in done.errors


def test_outside_of_a_workspace_the_error_says_what_to_source(evaluate, monkeypatch):
    for module in [name for name in sys.modules if name.startswith("swapnet_ros.replay.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rclpy", None)
    done = evaluate("--mode", "replay")
    assert done.exit_code == 2
    assert "source ROS 2 and this workspace's install/setup.bash first" in done.errors


@pytest.mark.ros
def test_a_bag_without_images_is_told(evaluate, site):
    pytest.importorskip("swapnet_ros.msg", reason="needs the install space: make test")
    with BagWriter(site / "empty"):
        pass
    done = evaluate("--mode", "replay", bag="empty")
    assert done.exit_code == 2
    assert "the bag has no image topics; `swapnet bag BAG --info` lists" in done.errors

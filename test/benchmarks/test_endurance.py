"""The drill itself, shortened and with small networks: everything that it checks holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("swapnet_ros.msg", reason="needs the install space: make test")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# many weights, few activations: they fit into a budget of their demand over 2.32
SMALL = {
    "/**/swapnet": {"nodes": ["natural_scene_classification", "wild_animal_recognition"]},
    "/**/natural_scene_classification": {"network": "resnet18", "input_size": [64]},
    "/**/wild_animal_recognition": {"network": "resnet34", "input_size": [64]},
}


@pytest.fixture
def run(tmp_path):
    """Run a benchmark on the small scenario; gives its exit code, its words and its JSON file."""
    path = tmp_path / "small.yaml"
    sections = {name: {"ros__parameters": keys} for name, keys in SMALL.items()}
    path.write_text(yaml.safe_dump(sections))
    changes = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def run(name: str, *options: str) -> tuple[int, str, dict]:
        command = [sys.executable, str(BENCHMARKS / f"{name}.py"), str(path), *options]
        done = subprocess.run(
            [*command, "--out", str(tmp_path)],
            env={**os.environ, **changes},
            capture_output=True,
            text=True,
            check=False,
        )
        found = tmp_path / f"{name}.json"
        return (
            done.returncode,
            done.stdout + done.stderr,
            json.loads(found.read_text()) if found.exists() else {},
        )

    return run


@pytest.mark.slow
@pytest.mark.ros
def test_half_a_minute_of_trouble_does_no_harm(run):
    code, words, found = run("endurance", "--minutes", "0.5")
    assert code == 0, words
    assert all(finding["holds"] for finding in found["findings"])
    assert found["nodes"].keys() == {"natural_scene_classification", "wild_animal_recognition"}


@pytest.mark.slow
@pytest.mark.ros
def test_the_processor_time_of_every_thread_has_a_name(run):
    code, words, found = run("cpu_share", "--seconds", "5")
    assert code in (0, 1), words  # with small networks the rest is more than a tenth
    named = sum(thread["cpu_s"] for thread in found["threads"])
    assert named == pytest.approx(found["process_cpu_s"], rel=0.1)
    unnamed = sum(seconds for group, seconds in found["by_group_s"].items() if "other" in group)
    assert unnamed < 0.05 * named
    assert all(received > 0 for received, _ in found["frames"].values())

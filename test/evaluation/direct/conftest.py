"""A short bag, four small networks, and an evaluation in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from swapnet_ros.cli.evaluate_scenario import join_scenario
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.evaluation.direct.evaluation import DirectRequest, Listeners, evaluate_bag
from swapnet_ros.evaluation.direct.scoring import Scoring

FRAMES = 6
_NETWORKS = Path(__file__).parents[2] / "nodes"  # has small_networks.py


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One cache for all evaluations: the storage is measured once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def scenario(tmp_path, monkeypatch, cache_dir):
    """A parameter file with one task of each kind; signs are the detector's boxes."""
    monkeypatch.syspath_prepend(str(_NETWORKS))
    tasks = {
        "fire_detection": {"network": "small_networks:RedIsFire"},
        "lane_detection": {"network": "small_networks:BrightLines", "outputs": "area_mask"},
        "semantic_segmentation": {"network": "small_networks:Thresholds"},
        "traffic_sign_classification": {
            **{"network": "small_networks:Brightness", "regions": "detections"},
            "max_regions": 2,
        },
    }
    core = {"budget": "8MiB", "cache_dir": str(cache_dir), "nodes": [*reversed(tasks)]}
    sections = {"swapnet": core, **tasks}
    path = tmp_path / "scenario.yaml"
    path.write_text(
        yaml.safe_dump({f"/**/{name}": {"ros__parameters": s} for name, s in sections.items()})
    )
    return path


@pytest.fixture
def bag(tmp_path):
    """Fires in the dark, 10 Hz, the fourth frame of another size."""
    path = tmp_path / "bag"
    random = np.random.default_rng(0)
    with BagWriter(path) as writer:
        for number in range(FRAMES):
            shape = (48, 64, 3) if number == 3 else (72, 96, 3)
            image = random.integers(0, 20 * (number + 1), shape, dtype=np.uint8)
            image[10:30, 5 + 4 * number : 30 + 4 * number] = 255, 40, 20
            stamp_ns = 1_700_000_000_000_000_000 + number * 100_000_000
            writer.write_image("/camera/image_raw", image, stamp_ns=stamp_ns, frame_id="camera")
    return path


@pytest.fixture
def evaluate(bag, scenario, tmp_path):
    """Evaluate the bag; `after` is called with the number of frames done after each one."""

    def run(
        name,
        *,
        budget="8MiB",
        is_resumed=False,
        after=lambda _: None,
        scoring=None,
        labels=(),
    ):
        with BagReader(bag) as reader:
            joined = join_scenario(scenario, reader.image_topics, {})
            request = DirectRequest(
                bag=bag,
                out=tmp_path / name,
                tasks=joined.tasks,
                budget=budget,
                cache_dir=joined.cache_dir,
                is_resumed=is_resumed,
                labels=dict.fromkeys(labels, True),
            )
            listeners = Listeners(loading=lambda _: None, done=lambda done, _: after(done))
            return evaluate_bag(request, reader, scoring or Scoring(None, {}), listeners)

    return run

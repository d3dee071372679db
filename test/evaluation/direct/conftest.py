"""A short bag, four small networks, and evaluations in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from swapnet_ros.cli.evaluate_scenario import join_scenario
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.evaluation.direct.evaluation import Listeners, evaluate_bag
from swapnet_ros.evaluation.direct.request import DirectRequest
from swapnet_ros.evaluation.direct.scoring import Scoring

_NETWORKS = Path(__file__).parents[2] / "nodes"  # has small_networks.py


class _FirstFrames:
    """Truth of the first five frames: their stamps."""

    def __init__(self):
        self.asked = []

    def find(self, topic, stamp_ns, *, name="", index=None):
        self.asked.append(stamp_ns)
        return stamp_ns if index < 5 else None

    def reports(self):
        return {}


class _StampSum:
    """A scorer whose state can be told from its frames."""

    def __init__(self):
        self.total = 0

    def add(self, result, truth):
        self.total += truth % 1_000_000_007

    def summary(self):
        return {"total": self.total}

    def state(self):
        return self.total

    def restore(self, state):
        self.total = state


@dataclass(frozen=True, kw_only=True)
class Site:
    """A bag and a scenario, the same for all tests."""

    bag: Path
    scenario: Path

    def evaluate(
        self,
        out: Path,
        *,
        budget: str = "8MiB",
        is_resumed: bool = False,
        is_recorded: bool = False,
        after: Callable[[int], None] = lambda _: None,
        labels: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Evaluate the bag; `after` is called with the number of frames done after each one."""
        truth = _FirstFrames()
        with BagReader(self.bag) as reader:
            joined = join_scenario(self.scenario, reader.image_topics, {})
            request = DirectRequest(
                bag=self.bag,
                out=out,
                tasks=joined.tasks,
                budget=budget,
                cache_dir=joined.cache_dir,
                is_resumed=is_resumed,
                is_recorded=is_recorded,
                labels=dict.fromkeys(labels, True),
            )
            listeners = Listeners(loading=lambda _: None, done=lambda done, _: after(done))
            scoring = Scoring(truth, {"lane_detection": _StampSum()})
            outcome = evaluate_bag(request, reader, scoring, listeners)
        assert truth.asked == sorted(truth.asked)  # labels on topics come in order
        return outcome


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A bag, one task of each kind (signs are in the boxes of fires), and one cache for all."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(_NETWORKS))
        _write_bag(folder / "bag")
        _write_scenario(folder / "scenario.yaml", folder / "cache")
        yield Site(bag=folder / "bag", scenario=folder / "scenario.yaml")


@pytest.fixture(scope="session")
def whole(site, tmp_path_factory):
    """Folder of a recorded evaluation that was not interrupted, which no test changes."""
    out = tmp_path_factory.mktemp("whole")
    site.evaluate(out, is_recorded=True)
    return out


def _write_bag(path):
    """Fires in the dark, 10 Hz; the fourth frame has another size, and the metadata is lost."""
    random = np.random.default_rng(0)
    with BagWriter(path) as writer:
        for number in (0, 1, 2, 4, 3, 5):
            shape = (48, 64, 3) if number == 3 else (72, 96, 3)
            image = random.integers(0, 20 * (number + 1), shape, dtype=np.uint8)
            image[10:30, 5 + 4 * number : 30 + 4 * number] = 255, 40, 20
            stamp_ns = 1_700_000_000_000_000_000 + number * 100_000_000
            writer.write_image("/camera/image_raw", image, stamp_ns=stamp_ns, frame_id="camera")
    (path / "metadata.yaml").unlink()


def _write_scenario(path, cache_dir):
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
    path.write_text(
        yaml.safe_dump({f"/**/{name}": {"ros__parameters": s} for name, s in sections.items()})
    )

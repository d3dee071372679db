"""What a tile takes beyond its share: which layers are timed, and what follows for the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import pytest
import torch
from torch.nn import functional

from swapnet_core.gauges import HOST_GAUGE, Gauge
from swapnet_core.tensors import describe_weight
from swapnet_core.tile_times import TileTimes

_WHOLE_S = 8.0


class ScriptedGauge:
    """Whole runs and tiles of a timed layer, which take turns, take what is scripted."""

    overhead = HOST_GAUGE.overhead
    tries = HOST_GAUGE.tries

    def __init__(self, tiles_s: Sequence[Sequence[float]], wholes_s: Sequence[float]) -> None:
        self._durations_s = iter(
            [
                duration_s
                for tiles in tiles_s
                for turn in zip_longest(wholes_s, tiles)
                for duration_s in turn
                if duration_s is not None
            ]
        )

    def mark(self) -> float:
        return 0.0

    def settle(self) -> None:
        pass

    def seconds_between(self, _begin: float, _end: float) -> float:
        return next(self._durations_s)

    def has_ended(self) -> bool:
        return next(self._durations_s, None) is None


def _times(gauge: Gauge | ScriptedGauge, shapes: Sequence[tuple[int, ...]]) -> list[float]:
    """Run layers of these weights; convolutions on images of 8x8."""
    weights = [torch.rand(shape) for shape in shapes]
    specs = [describe_weight(f"w{number}", (), weight) for number, weight in enumerate(weights)]
    times = TileTimes(specs, dict.fromkeys(range(len(specs)), 1), weights.__getitem__, gauge)
    with torch.inference_mode(), times:
        for number, shape in enumerate(shapes):
            weight = times.access(number)
            if len(shape) == 2:
                functional.linear(torch.rand(1, shape[1]), weight)
            else:
                functional.conv2d(torch.rand(1, shape[1], 8, 8), weight, padding=1)
    return times.per_tile_s()


def test_the_largest_of_each_kind_are_timed_and_others_follow_their_own_kind() -> None:
    small, large = (16, 8, 3, 3), (16, 16, 3, 3)
    shapes = [small, large, (4096, 16), (2048, 16), (1024, 16)]
    # A tile is an eighth of its layer: its share is 1 s.
    gauge = ScriptedGauge([(1.5,) * 3, (3.0,) * 3, (2.0,) * 3], [_WHOLE_S] * 4)

    times = _times(gauge, shapes)

    assert gauge.has_ended()
    assert times[1:4] == [0.5, 2.0, 1.0]
    assert times[0] == pytest.approx(0.25)  # half of the input of the other convolution
    assert times[4] == pytest.approx(1.5)  # the median of those that are no convolutions


def test_a_slow_moment_of_the_machine_is_not_the_tiles() -> None:
    slow_tiles = ScriptedGauge([(9.0, 1.25, 9.0)], [_WHOLE_S] * 4)
    slow_wholes = ScriptedGauge([(1.25,) * 3], [80.0, 80.0, _WHOLE_S, 80.0])

    assert _times(slow_tiles, [(64, 16)]) == _times(slow_wholes, [(64, 16)]) == [0.25]


def test_a_tile_never_takes_less_than_its_share() -> None:
    assert _times(ScriptedGauge([(0.5,) * 3], [_WHOLE_S] * 4), [(64, 16)]) == [0.0]


def test_what_takes_time_is_timed() -> None:
    assert all(0.0 <= s < 1.0 for s in _times(HOST_GAUGE, [(64, 16), (16, 8, 3, 3)]))

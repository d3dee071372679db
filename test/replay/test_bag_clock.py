"""The bag's time, as the two players tell it."""

from __future__ import annotations

import pytest

from swapnet_ros.replay.bag_clock import BagClock

_S = 1_000_000_000


def test_the_rate_is_that_of_the_time_that_runs():
    clock = BagClock()
    for now_s, at_s in ((5, 100.0), (5, 101.0), (5, 102.0)):  # it waits for subscribers
        clock.hear(now_s * _S, at_s)
        assert (clock.began_s, clock.rate) == (None, None)
    for step in range(5):
        clock.hear(5 * _S + (step + 1) * _S // 2, 103.0 + step)
    assert clock.began_s == 103.0
    assert clock.rate == pytest.approx(0.5)
    assert clock.now_ns == 7.5 * _S


def test_a_clock_that_is_set_back_begins_anew():
    clock = BagClock()
    for step in range(4):  # `ros2 bag play --delay 3 --rate 2` waits
        clock.hear((1 + 2 * step) * _S, 100.0 + step)
    for step in range(4):
        clock.hear((1 + 2 * step) * _S, 103.5 + step)
    assert clock.began_s == 103.5
    assert clock.rate == pytest.approx(2.0)


def test_one_moment_has_no_rate():
    clock = BagClock()
    clock.hear(_S, 1.0)
    clock.hear(2 * _S, 2.0)
    assert clock.rate is None

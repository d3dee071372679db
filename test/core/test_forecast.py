"""The guess of what is wanted next: by period, learnt or declared; what has stopped comes last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.forecast import Forecast


def _note_often(forecast: Forecast[str], key: str, times_s: list[float]) -> None:
    for time_s in times_s:
        forecast.note(key, time_s)


def test_nothing_was_wanted_yet() -> None:
    forecast: Forecast[str] = Forecast()
    assert forecast.order(5.0) == []
    assert forecast.periods_s == {}


@given(st.floats(0.01, 10.0), st.integers(2, 20))
def test_a_steady_period_is_learnt(period_s: float, count: int) -> None:
    forecast: Forecast[str] = Forecast()
    _note_often(forecast, "a", [n * period_s for n in range(count)])
    assert forecast.periods_s["a"] == pytest.approx(period_s, rel=1e-6)


def test_a_change_of_period_is_followed_but_not_by_one_arrival() -> None:
    forecast: Forecast[str] = Forecast()
    _note_often(forecast, "a", [0.0, 1.0, 2.0, 5.0])
    period_s = forecast.periods_s["a"]
    assert period_s is not None
    assert 1.0 < period_s < 3.0
    _note_often(forecast, "a", [5.0 + 3.0 * n for n in range(1, 30)])
    assert forecast.periods_s["a"] == pytest.approx(3.0, rel=0.01)


def test_who_is_due_first_is_first() -> None:
    forecast: Forecast[str] = Forecast()
    _note_often(forecast, "due at 0.3", [0.0, 0.1, 0.2])
    _note_often(forecast, "due at 2.0", [0.0, 1.0])
    forecast.note("due at 0.25", 0.05, rate_hz=5.0)
    assert forecast.order(0.21) == ["due at 0.25", "due at 0.3", "due at 2.0"]


def test_a_declared_rate_is_believed_from_the_first_arrival_on() -> None:
    forecast: Forecast[str] = Forecast()
    forecast.note("10 Hz", 0.0, rate_hz=10.0)
    forecast.note("30 Hz", 0.01, rate_hz=30.0)
    forecast.note("unknown", 0.02)
    assert forecast.order(0.02) == ["30 Hz", "10 Hz", "unknown"]
    assert forecast.periods_s["10 Hz"] == pytest.approx(0.1)
    assert forecast.periods_s["unknown"] is None


def test_of_those_that_came_once_the_newest_is_first() -> None:
    forecast: Forecast[str] = Forecast()
    for number, key in enumerate("abc"):
        forecast.note(key, float(number))
    assert forecast.order(3.0) == ["c", "b", "a"]


def test_what_has_stopped_is_behind_what_still_comes() -> None:
    forecast: Forecast[str] = Forecast()
    _note_often(forecast, "stopped", [0.0, 0.1, 0.2])
    _note_often(forecast, "slow", [0.0, 1.0])
    assert forecast.order(0.5) == ["stopped", "slow"]
    assert forecast.order(1.5) == ["slow", "stopped"]
    forecast.note("stopped", 1.5)
    assert forecast.order(1.5) == ["stopped", "slow"]


def test_what_is_forgotten_is_not_expected_and_begins_anew() -> None:
    forecast: Forecast[str] = Forecast()
    _note_often(forecast, "a", [0.0, 1.0])
    forecast.note("b", 1.0)
    forecast.forget("a")
    forecast.forget("never seen")
    assert forecast.order(1.5) == ["b"]
    forecast.note("a", 9.0)
    assert forecast.periods_s["a"] is None


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.0, 2.0)), max_size=40),
    st.floats(0.0, 50.0),
)
def test_every_key_is_expected_once(arrivals: list[tuple[str, float]], later_s: float) -> None:
    forecast: Forecast[str] = Forecast()
    now_s = 0.0
    for key, gap_s in arrivals:
        now_s += gap_s
        forecast.note(key, now_s)
    order = forecast.order(now_s + later_s)
    assert sorted(order) == sorted({key for key, _ in arrivals})

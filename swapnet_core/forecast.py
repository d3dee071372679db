"""Guess which network is wanted next, from when each was wanted before. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SMOOTHING = 0.25
_PERIODS_TO_GIVE_UP = 4.0


@dataclass(slots=True)
class _Habit:
    """When a thing was wanted last, and how long after the time before."""

    last_s: float
    period_s: float | None


class Forecast(Generic[K]):
    """Remembers arrivals. Times are seconds of one monotonic clock. Not thread-safe."""

    def __init__(self) -> None:
        self._habits: dict[K, _Habit] = {}

    def note(self, key: K, now_s: float, rate_hz: float | None = None) -> None:
        """Take note that something is wanted now.

        Args:
            key: what is wanted.
            now_s: not earlier than in the calls before.
            rate_hz: how often it will be wanted, where that is declared; else it is learnt.
        """
        habit = self._habits.get(key)
        if habit is None:
            self._habits[key] = _Habit(now_s, 1.0 / rate_hz if rate_hz else None)
            return
        gap_s = now_s - habit.last_s
        if habit.period_s is None:
            habit.period_s = gap_s
        else:
            habit.period_s += _SMOOTHING * (gap_s - habit.period_s)
        habit.last_s = now_s

    def forget(self, key: K) -> None:
        """Expect something no more."""
        self._habits.pop(key, None)

    def order(self, now_s: float) -> list[K]:
        """Return all keys, the one that is expected first first.

        What has not come for several of its periods stands behind what still comes.
        """
        return sorted(self._habits, key=lambda key: self._rank(self._habits[key], now_s))

    def _rank(self, habit: _Habit, now_s: float) -> tuple[bool, float]:
        if habit.period_s is None:
            return (True, -habit.last_s)
        is_given_up = now_s - habit.last_s > _PERIODS_TO_GIVE_UP * habit.period_s
        return (is_given_up, habit.last_s + habit.period_s)

    @property
    def periods_s(self) -> Mapping[K, float | None]:
        """The period that is believed of every key; None after one arrival."""
        return {key: habit.period_s for key, habit in self._habits.items()}

    def __repr__(self) -> str:
        return f"<Forecast of {len(self._habits)}>"

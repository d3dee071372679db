"""The search for the highest rate, on simulated nodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.replay.rate_search import (
    DROP_LIMIT,
    SearchBounds,
    Trial,
    describe_search,
    highest_kept_up,
    next_rate,
)

_BOUNDS = SearchBounds()


def _search(drop_share: Callable[[float], float], *, start: float = 1.0) -> list[Trial]:
    trials: list[Trial] = []
    while (rate := next_rate(trials, _BOUNDS, start=start)) is not None:
        trials.append(Trial(rate=rate, drop_share=drop_share(rate)))
    return trials


@given(capacity=st.floats(_BOUNDS.lowest * 1.01, _BOUNDS.highest * 0.9))
def test_it_comes_near_the_highest_rate_in_few_plays(capacity):
    """Above its capacity a node drops what it has no time for."""
    trials = _search(lambda rate: max(0.0, 1 - capacity / rate))
    reachable = capacity / (1 - DROP_LIMIT)
    found = highest_kept_up(trials)
    assert found is not None
    assert found <= reachable <= found * _BOUNDS.precision * (1 + 1e-9)
    assert len(trials) <= _BOUNDS.most_plays
    assert "and not at" in describe_search(trials, _BOUNDS)


@given(shares=st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12), start=st.floats(0.01, 100))
def test_it_ends_and_stays_within_its_bounds_whatever_is_dropped(shares, start):
    left = iter(shares)
    trials = _search(lambda _: next(left), start=start)
    assert 1 <= len(trials) <= _BOUNDS.most_plays
    assert all(_BOUNDS.lowest <= trial.rate <= _BOUNDS.highest for trial in trials)
    assert len({trial.rate for trial in trials}) == len(trials)


@pytest.mark.parametrize(
    ("share", "last", "sentence"),
    [
        (0.0, _BOUNDS.highest, "under 5% drops up to rate 16, the highest that was tried"),
        (1.0, _BOUNDS.lowest, "under 5% drops at no rate that was tried; the lowest was 0.0625"),
    ],
)
def test_at_a_bound_it_ends_and_says_so(share, last, sentence):
    trials = _search(lambda _: share)
    assert trials[-1].rate == last
    assert describe_search(trials, _BOUNDS).startswith(sentence)


def test_a_lucky_play_above_one_that_was_too_fast_does_not_count():
    trials = [Trial(rate=2.0, drop_share=0.5), Trial(rate=4.0, drop_share=0.0)]
    assert highest_kept_up(trials) is None
    assert next_rate(trials, _BOUNDS) == 1.0

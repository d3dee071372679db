"""Every image of a play is accounted for."""

from __future__ import annotations

import pytest

from swapnet_ros.replay.frame_totals import TaskTotals, account

_TOLD = {
    **{"received": "18", "processed": "9", "dropped": "5", "rate_limited": "2"},
    **{"without_boxes": "1", "refused": "1", "stale": "1", "late": "1", "failed": "1"},
    **{"state": "active", "deadline_misses": "1"},
}


def test_played_is_published_and_all_drops_by_cause():
    frames = account(20, TaskTotals.of(_TOLD), takes_boxes=False)
    assert frames.drops == {
        **{"newest_wins": 2, "rate_limit": 2, "no_boxes": 1, "max_age": 1, "deadline": 1},
        **{"refused": 1, "failed": 1, "unfinished": 0, "lost_in_transport": 2},
    }
    assert frames.published + sum(frames.drops.values()) == frames.played
    assert frames.received == frames.published + sum(frames.drops.values()) - 2
    # neither the rate that was asked for nor an image that cannot be used is a want of time
    assert frames.drop_share == pytest.approx((2 + 1 + 1 + 1 + 1 + 2) / 20)


def test_images_that_wait_for_boxes_at_the_end_get_none():
    before = TaskTotals.of({"received": "4", "processed": "2", "refused": "0"})
    after = TaskTotals.of(
        {"received": "14", "processed": "7", "dropped": "4", "without_boxes": "4"}
    )
    frames = account(10, after.since(before), takes_boxes=True)
    # of the seven without boxes, two are of the play before, and three still wait
    assert frames.drops["no_boxes"] == 5
    assert frames.published + sum(frames.drops.values()) == 10


def test_a_play_without_images_drops_nothing():
    assert account(0, TaskTotals(), takes_boxes=False).drop_share == 0.0

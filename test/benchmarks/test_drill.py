"""What a drill shows is judged rightly: it passes when all is well, and each fault fails it."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="talks of ROS nodes: make test")

from drill.checks import check_all
from drill.process_figures import Holdings, trend
from drill.record import CoreFigures, Drill, Heard, Sent, SentLog
from drill.thread_groups import COMPUTE, group_of
from drill.troubles import CAMERAS, CYCLE_S, Act, Shot, Trouble, orders

SECOND = 10**9
MIB = 2**20


def result(camera="steady", second=4, *, worked_on=4.05, topic="/a/lanes") -> Heard:
    """A result of the image that was sent at a second."""
    return Heard(
        node="a",
        topic=topic,
        camera=camera,
        stamp_ns=second * SECOND,
        began_ns=round(worked_on * SECOND),
    )


def log(*kinds: Shot) -> SentLog:
    """A camera that sent one message per second."""
    return SentLog(
        Sent(sent_ns=second * SECOND, stamp_ns=second * SECOND, kind=kind)
        for second, kind in enumerate(kinds or (Shot.FRESH,) * 20)
    )


def holding(
    at_s: int, *, private_bytes: int = 500 * MIB, shared_bytes: int = 60 * MIB, files: int = 20
) -> Holdings:
    return Holdings(
        at_s=at_s,
        rss_bytes=private_bytes + shared_bytes,
        private_bytes=private_bytes,
        shared_bytes=shared_bytes,
        threads=30,
        files=files,
    )


COUNTS = {
    "received": 20,
    "processed": 2,
    "dropped": 15,
    "refused": 1,
    "stale": 2,
    "late": 0,
    "failed": 0,
}
GOOD = Drill(
    scenario="small",
    demand_bytes=240 * MIB,
    max_age_s=3.0,
    duration_s=60.0,
    topics={"a": ["/a/lanes"]},
    sent={"steady": log(), "broken": log(Shot.FRESH, Shot.BROKEN)},
    heard=[result(), result(second=9, worked_on=9.5)],
    counts={"a": COUNTS},
    silences_s={("a", "killed"): 7.0, ("a", "stuck"): 6.0, ("a", "steady"): 1.0},
    core=[CoreFigures(budget_bytes=100 * MIB, leased_bytes=90 * MIB, peak_bytes=99 * MIB)],
    holdings=[holding(at_s) for at_s in range(60)],
    kills=1,
    returns_ns={"steady": [8 * SECOND, 12 * SECOND]},
    problems=[],
)


def failed(drill: Drill) -> list[str]:
    return [finding.claim for finding in check_all(drill) if not finding.holds]


def test_a_drill_without_a_fault_passes():
    assert failed(GOOD) == []


FAULTS = [
    ("demand over budget", {"demand_bytes": 231 * MIB}),
    (
        "leased bytes",
        {"core": [CoreFigures(budget_bytes=MIB, leased_bytes=MIB, peak_bytes=MIB + 1)]},
    ),
    ("every result that it counts", {"counts": {"a": {**COUNTS, "processed": 3, "stale": 1}}}),
    ("every result that it counts", {"topics": {"a": ["/a/lanes", "/a/info"]}}),
    ("stamp and frame_id", {"heard": [result(), replace(result(second=9), stamp_ns=9)]}),
    ("stamp and frame_id", {"heard": [result("broken", 1), result(second=9, worked_on=9.1)]}),
    ("newest wins", {"heard": [result(), result(second=9, worked_on=11.5)]}),
    ("older than max_age_s", {"max_age_s": 0.1, "heard": [result(worked_on=5.2), result()]}),
    ("accounted for by cause", {"counts": {"a": {**COUNTS, "dropped": 14}}}),
    ("broken images are refused", {"counts": {"a": {**COUNTS, "refused": 2, "stale": 1}}}),
    (
        "broken images are refused",
        {"counts": {"a": {**COUNTS, "refused": 0}}, "heard": [result("broken", 0)] * 10},
    ),
    ("tell silences", {"silences_s": {("a", "killed"): 7.0, ("a", "stuck"): 4.0}}),
    ("cameras that come back", {"returns_ns": {"steady": [10 * SECOND]}}),
    (
        "own memory",
        {"holdings": [holding(at_s, private_bytes=at_s * MIB) for at_s in range(60)]},
    ),
    (
        "shared with the cameras",
        {"holdings": [holding(at_s, shared_bytes=2 * at_s * MIB) for at_s in range(60)]},
    ),
    ("number of files", {"holdings": [holding(at_s, files=at_s) for at_s in range(60)]}),
    ("no errors", {"problems": ["a: a frame failed"]}),
]


@pytest.mark.parametrize(("claim", "changes"), FAULTS)
def test_every_fault_is_found(claim, changes):
    assert any(claim in found for found in failed(replace(GOOD, **changes)))


def test_no_refusal_in_few_turns_tells_nothing():
    few = replace(GOOD, counts={"a": {**COUNTS, "refused": 0, "stale": 3}})
    assert failed(few) == []
    (finding,) = (each for each in check_all(few) if "refused, and only" in each.claim)
    assert "this tells nothing" in finding.figures


def test_an_image_that_is_repeated_counts_from_its_last_time():
    sent = [
        Sent(sent_ns=time_ns, stamp_ns=100, kind=kind)
        for time_ns, kind in ((100, Shot.FRESH), (200, Shot.REPEATED), (300, Shot.REPEATED))
    ]
    log = SentLog(sent)
    assert log.sent_before(100, 250) == 200
    assert log.sent_before(100, 90) == 100  # the clocks of two processes' threads
    assert log.newest_before(299) == 200
    assert log.newest_before(99) == 0
    assert (log.has(100), log.has(200)) == (True, False)


def test_a_trend_compares_the_first_third_with_the_last():
    found = trend(range(0, 60, 10), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert (found.first, found.last, found.growth, found.largest) == (1.5, 5.5, 4.0, 6.0)
    assert found.per_min == pytest.approx(6.0)


def test_every_trouble_comes_once_in_every_cycle():
    names = {camera.name for camera in CAMERAS}
    one, two = list(orders(CYCLE_S)), list(orders(2 * CYCLE_S))
    assert [order.act for order in one] == [Act.KILL, Act.START, Act.RESTART]
    assert len(two) == 2 * len(one)
    assert {order.camera for order in two} <= names
    shots = [Trouble.STUCK.shot(second, 0) for second in range(int(CYCLE_S))]
    assert [shots.count(kind) for kind in (Shot.REPEATED, Shot.NOTHING)] == [6, 7]
    assert Trouble.BROKEN.shot(0.0, 4) is Shot.BROKEN
    assert all(Trouble.NONE.shot(0.0, index) is Shot.FRESH for index in range(10))


def test_threads_are_told_apart_by_their_names():
    assert group_of("swapnet-infer", is_python=True) == COMPUTE
    groups = {
        group_of(name, is_python=True)
        for name in (
            "swapnet-infer",
            "swapnet-fetch-1",
            "swapnet-spin-swapnet_cameras",
            "swapnet-spin-lane_detection",
            "swapnet-lane_detection",
            "MainThread",
        )
    }
    assert len(groups) == 6
    assert group_of("dds.ev.0", is_python=False) != group_of("python3", is_python=False)

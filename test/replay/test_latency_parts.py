"""The parts of a latency add up to it."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.replay.latency_parts import PARTS, split_latency

_SECONDS = st.floats(0.0, 10.0)


@given(
    queue_s=_SECONDS,
    decode_s=_SECONDS,
    at_core_s=_SECONDS,
    stall_s=_SECONDS,
    compute_s=_SECONDS,
    after_s=_SECONDS,
    publish_s=_SECONDS,
)
def test_parts_add_up_and_waiting_at_the_core_is_queueing(
    queue_s, decode_s, at_core_s, stall_s, compute_s, after_s, publish_s
):
    inference_s = at_core_s + stall_s + compute_s
    timing = SimpleNamespace(
        queue_s=queue_s,
        decode_s=decode_s,
        inference_s=inference_s,
        publish_s=publish_s,
        total_s=queue_s + decode_s + inference_s + after_s + publish_s,
        stall_s=stall_s,
        compute_s=compute_s,
    )
    parts = asdict(split_latency(timing))
    assert sum(parts[name] for name in PARTS) == pytest.approx(parts["latency_s"])
    assert parts["queue_s"] == pytest.approx(queue_s + at_core_s)
    assert parts["interpret_s"] == pytest.approx(after_s, abs=1e-9)


def test_clocks_that_differ_by_a_little_give_no_negative_time():
    times = {"queue_s": 0.0, "decode_s": 0.1, "inference_s": 0.2, "publish_s": 0.0}
    timing = SimpleNamespace(**times, total_s=0.3 - 1e-6, stall_s=0.1, compute_s=0.1 + 2e-6)
    parts = split_latency(timing)
    assert (parts.queue_s, parts.interpret_s) == (0.0, 0.0)

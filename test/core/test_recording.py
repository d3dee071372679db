"""The measured timeline of an inference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import BlockRead, SwapRuntime
from swapnet_core.recording import Entry, Inference, record_timeline
from swapnet_core.sizes import MIB


def _read(block: int, begin_s: float, end_s: float, offset_bytes: int = 0) -> BlockRead:
    return BlockRead(
        block=block, offset_bytes=offset_bytes, size_bytes=4096, begin_s=begin_s, end_s=end_s
    )


def _inference(
    begin_s: float, latency_s: float, entries: list[Entry], reads: list[BlockRead] | None
) -> Inference:
    return Inference(
        begin_s=begin_s, latency_s=latency_s, stall_s=0.0, faults=0, entries=entries, reads=reads
    )


def test_uses_and_stalls_fill_an_inference() -> None:
    inference = _inference(10.0, 3.0, [Entry(0, 0.0, 10.5), Entry(1, 0.25, 11.75)], [])
    timeline = record_timeline(inference)
    assert timeline is not None
    assert timeline.latency_s == 3.0
    spans = [(use.block, use.stall_s, use.begin_s, use.end_s) for use in timeline.uses]
    assert spans == [(None, 0.0, 0.0, 0.5), (0, 0.0, 0.5, 1.5), (1, 0.25, 1.75, 3.0)]


def test_reads_belong_to_the_inference_that_they_were_made_for() -> None:
    earlier = _inference(0.0, 5.0, [Entry(0, 0.0, 1.0), Entry(1, 0.0, 4.0)], [])
    for_earlier, ahead = _read(0, 0.5, 0.75), _read(0, 12.0, 12.5)
    own = [_read(0, 4.5, 4.75), _read(1, 4.75, 5.0), _read(1, 10.25, 10.5, offset_bytes=4096)]
    after = _read(1, 14.0, 15.0)
    inference = _inference(
        10.0, 3.0, [Entry(0, 0.0, 10.0), Entry(1, 0.0, 11.0)], [for_earlier, *own, ahead, after]
    )
    timeline = record_timeline(inference, earlier)
    assert timeline is not None
    assert [(r.block, r.begin_s) for r in timeline.reads] == [(0, -5.5), (1, -5.25), (1, 0.25)]
    assert [(r.block, r.begin_s) for r in timeline.reads_ahead] == [(0, 2.0)]


def test_a_block_that_comes_twice_in_an_inference_has_both_readings() -> None:
    reads = [_read(0, 1.0, 1.25), _read(1, 1.5, 1.75), _read(0, 2.0, 2.25)]
    entries = [Entry(0, 0.0, 1.25), Entry(1, 0.0, 1.75), Entry(0, 0.0, 2.25)]
    timeline = record_timeline(_inference(1.0, 2.0, entries, reads))
    assert timeline is not None
    assert [(r.block, r.begin_s) for r in timeline.reads] == [(0, 0.0), (1, 0.5), (0, 1.0)]
    assert timeline.reads_ahead == ()


def test_a_plan_that_changed_on_the_way_leaves_no_timeline() -> None:
    assert record_timeline(_inference(0.0, 1.0, [], None)) is None


def test_a_network_tells_its_newest_inference(tmp_path: Path) -> None:
    network = nn.Sequential(*[nn.Linear(512, 512) for _ in range(16)]).eval()
    image = torch.zeros(1, 512)
    with SwapRuntime(budget=6 * MIB, cache_dir=tmp_path) as runtime:
        model = runtime.load("network", network, (image,))
        assert model.timeline is None
        for _ in range(3):
            model(image)
            timeline, plan, stats = model.timeline, model.plan, model.stats()
            assert timeline is not None
            assert plan.uses  # something is streamed
            entered = [use.block for use in timeline.uses if use.block is not None]
            assert entered == list(plan.uses)
            times = [t for use in timeline.uses for t in (use.begin_s - use.stall_s, use.end_s)]
            assert times[0] == pytest.approx(0.0)
            assert times[-1] == pytest.approx(timeline.latency_s)
            for end_s, begin_s in zip(times[1:-1:2], times[2::2], strict=True):
                assert begin_s == pytest.approx(end_s)
            begins_s = {use.block: use.begin_s for use in timeline.uses}
            assert all(r.end_s <= begins_s[r.block] for r in timeline.reads)
            read_bytes = dict.fromkeys(plan.uses, 0)
            for read in timeline.reads:
                read_bytes[read.block] += read.size_bytes
            assert all(n in (0, plan.blocks[b].size_bytes) for b, n in read_bytes.items())
            assert any(read_bytes.values())
        assert stats.latency_s is not None
        assert timeline.latency_s <= stats.latency_s.max

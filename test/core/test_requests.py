"""Blocks are cut into requests of about the same size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.requests import cut_evenly
from swapnet_core.specs import PAGE_BYTES


@given(st.integers(1, 5000), st.integers(1, 1100))
def test_requests_are_few_and_of_one_size_without_gaps(pages: int, most_pages: int) -> None:
    requests = cut_evenly(pages * PAGE_BYTES, most_pages * PAGE_BYTES)
    end = 0
    for offset_bytes, size_bytes in requests:
        assert offset_bytes == end
        assert offset_bytes % PAGE_BYTES == 0
        assert 0 < size_bytes <= most_pages * PAGE_BYTES
        end += size_bytes
    assert end == pages * PAGE_BYTES
    assert len(requests) <= -(-pages // most_pages)
    *full, last = (size_bytes for _, size_bytes in requests)
    assert len(set(full)) <= 1
    # The last one has less by what rounding up to a page took from it.
    assert all(size - len(full) * PAGE_BYTES <= last <= size for size in full)


def test_a_block_of_empty_weights_takes_no_request() -> None:
    assert cut_evenly(0, PAGE_BYTES) == []


def test_what_is_a_little_larger_than_a_request_is_halved() -> None:
    assert cut_evenly(258 * PAGE_BYTES, 256 * PAGE_BYTES) == [
        (0, 129 * PAGE_BYTES),
        (129 * PAGE_BYTES, 129 * PAGE_BYTES),
    ]

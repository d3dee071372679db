"""Sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("96MiB", 96 * 1024**2),
        ("1.5 GiB", 3 * 512 * 1024**2),
        ("64M", 64 * 1024**2),
        ("500MB", 500_000_000),
        ("12kB", 12_000),
        (" 7 ", 7),
        ("3 b", 3),
        (4096, 4096),
    ],
)
def test_sizes_are_read_with_their_units(text: str | int, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "12 apples", "-5MiB", "1e6", "0", "0.1", 0, -1, "nan"])
def test_what_is_no_size_is_refused_by_name(text: str | int) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize("value", [None, 1.5, True, b"96MiB"])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(value)


@given(st.integers(min_value=1, max_value=2**45))
def test_a_written_size_reads_back_within_its_last_digit(size_bytes: int) -> None:
    back = parse_size(format_size(size_bytes))
    assert abs(back - size_bytes) <= max(0.051 * size_bytes, 0)
    if size_bytes < 1024:
        assert back == size_bytes

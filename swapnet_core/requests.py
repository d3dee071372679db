"""A block is read in requests of about the same size. Pure."""

from __future__ import annotations

from typing import NamedTuple

from swapnet_core.specs import round_up


class Request(NamedTuple):
    """Some bytes of a block.

    Attributes:
        offset_bytes: from the block's beginning.
    """

    offset_bytes: int
    size_bytes: int


def cut_evenly(size_bytes: int, most_bytes: int) -> list[Request]:
    """Cut a block into as few requests as do.

    They are as large as each other, to a page. Cut into 4 MiB and what is left over, one reading
    thread would be done early, and the block would wait for the other one.

    Args:
        size_bytes: of the block; a multiple of `PAGE_BYTES`. A block of empty weights has 0.
        most_bytes: the most that one request may have; a multiple of `PAGE_BYTES`.

    Returns:
        Requests in order, without gaps; none for a block of 0 bytes. Each begins at a multiple of
        `PAGE_BYTES`.
    """
    if not size_bytes:
        return []
    count = -(-size_bytes // most_bytes)
    step_bytes = round_up(-(-size_bytes // count))
    return [
        Request(offset_bytes, min(step_bytes, size_bytes - offset_bytes))
        for offset_bytes in range(0, size_bytes, step_bytes)
    ]

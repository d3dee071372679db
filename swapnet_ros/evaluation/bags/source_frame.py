"""One image of a bag, decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFrame:
    """One image of a recording.

    Attributes:
        topic: where it was published.
        stamp_ns: acquisition time from the image's header; the time of recording where the
            header has none (0).
        frame_id: the header's.
        image: uint8 [height, width, 3], RGB, contiguous.
        index: position among the images of its topic, from 0 in the order of recording. Images
            that cannot be decoded count, so that it does not depend on the decoder.
    """

    topic: str
    stamp_ns: int
    frame_id: str
    image: NDArray[np.uint8]
    index: int

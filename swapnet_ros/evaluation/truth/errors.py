"""What can be wrong with ground truth."""

from __future__ import annotations

from swapnet_core.errors import SwapNetError


class TruthError(SwapNetError, ValueError):
    """Labels cannot be used; those of files that cannot be read are a `LabelsError`."""

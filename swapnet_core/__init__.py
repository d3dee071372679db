"""Run PyTorch networks inside a memory budget smaller than they are.

>>> from swapnet_core import SwapRuntime
>>> with SwapRuntime(budget="96MiB") as runtime:
...     detector = runtime.load("object_detection", network, example_inputs=(image,))
...     output = detector(image)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swapnet_core.errors import (
    BlockCorruptError,
    BudgetTooSmallError,
    DeadlineMissedError,
    InputError,
    NetworkError,
    OutOfMemoryError,
    RuntimeClosedError,
    StorageError,
    SwapNetError,
    WeightsMismatchError,
)
from swapnet_core.reports import (
    Admission,
    BlockRead,
    BlockUse,
    InferenceTimeline,
    LatencyStats,
    ModelStats,
    NetworkLoad,
    RuntimeReport,
)
from swapnet_core.specs import SwapPlan

if TYPE_CHECKING:
    from swapnet_core.runtime import SwapRuntime
    from swapnet_core.swapped import SwappedModel

__all__ = [
    "Admission",
    "BlockCorruptError",
    "BlockRead",
    "BlockUse",
    "BudgetTooSmallError",
    "DeadlineMissedError",
    "InferenceTimeline",
    "InputError",
    "LatencyStats",
    "ModelStats",
    "NetworkError",
    "NetworkLoad",
    "OutOfMemoryError",
    "RuntimeClosedError",
    "RuntimeReport",
    "StorageError",
    "SwapNetError",
    "SwapPlan",
    "SwapRuntime",
    "SwappedModel",
    "WeightsMismatchError",
]

_WITH_TORCH = {"SwapRuntime": "runtime", "SwappedModel": "swapped"}


def __getattr__(name: str) -> Any:
    """Import what needs PyTorch at its first use: errors and sizes are wanted without it, too."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)

"""A cache of one measurement's own: what a prediction rests on is measured in the same run.

Compute times and the storage's speed are measured once and kept. A machine whose speed drifts is
not the one any more that they were measured on.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swapnet_core.cache import default_cache_dir
from swapnet_core.errors import StorageError


@contextlib.contextmanager
def fresh_cache(cache_dir: Path | None) -> Iterator[Path]:
    """Make an empty cache inside of another one, so on the same storage; removed afterwards.

    Args:
        cache_dir: the other one; None for the user's.

    Raises:
        StorageError: no directory can be made there.
    """
    root = default_cache_dir() if cache_dir is None else cache_dir
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            made = tempfile.TemporaryDirectory(prefix=".measuring-", dir=root)
        except OSError as error:
            message = f"cannot use the cache directory {root}: {error}"
            raise StorageError(message, path=root) from error
        yield Path(stack.enter_context(made))

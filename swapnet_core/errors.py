"""Every exception that swapnet raises on purpose.

::

    SwapNetError
    |-- BudgetTooSmallError     what must be in memory at once does not fit (also ValueError)
    |-- OutOfMemoryError        the system refuses memory that the budget allows (also MemoryError)
    |-- StorageError            the cache directory or a file in it cannot be used (also OSError)
    |   `-- BlockCorruptError   stored bytes are not the ones that were written
    |-- WeightsMismatchError    a weights file and a network do not belong together
    |-- NetworkError            a network cannot be traced or swapped
    |-- InputError              the arguments of an inference are not usable
    |-- DeadlineMissedError     a job's deadline passed before it started
    `-- RuntimeClosedError      the runtime or model was closed by its owner; nothing broke

Numbers are attributes, so that callers decide by them and not by parsing messages.
`InvariantError` stands outside the tree: it is a bug in swapnet, never a fault of the input.
"""

from __future__ import annotations

from pathlib import Path


class SwapNetError(Exception):
    """Base of all errors that swapnet raises on purpose."""


class BudgetTooSmallError(SwapNetError, ValueError):
    """What must be in memory at once does not fit into the budget.

    Attributes:
        needed_bytes: the smallest budget that would do.
        budget_bytes: the budget that was given.
    """

    def __init__(self, message: str, *, needed_bytes: int, budget_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes


class OutOfMemoryError(SwapNetError, MemoryError):
    """The system refuses memory that the budget allows.

    Attributes:
        needed_bytes: what was asked for.
    """

    def __init__(self, message: str, *, needed_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes


class StorageError(SwapNetError, OSError):
    """The cache directory, or a file in it, cannot be created, written or read.

    Attributes:
        path: the file or directory concerned.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class BlockCorruptError(StorageError):
    """Stored bytes are not the ones that were written: truncated, changed or not ours.

    Attributes:
        path: the damaged file.
        block: number of the first damaged block, or None where the file as a whole is unusable.
    """

    def __init__(self, message: str, *, path: Path, block: int | None = None) -> None:
        super().__init__(message, path=path)
        self.block = block


class WeightsMismatchError(SwapNetError, ValueError):
    """A weights file and a network do not belong together, or the file cannot be read."""


class NetworkError(SwapNetError, TypeError):
    """A network cannot be built, traced or swapped."""


class InputError(SwapNetError, ValueError):
    """The arguments of an inference are not usable."""


class DeadlineMissedError(SwapNetError, TimeoutError):
    """A job's deadline passed before it started; it was not run.

    Attributes:
        late_s: seconds by which the deadline had passed.
    """

    def __init__(self, message: str, *, late_s: float) -> None:
        super().__init__(message)
        self.late_s = late_s


class RuntimeClosedError(SwapNetError, RuntimeError):
    """The runtime or the model was closed by its owner."""


class InvariantError(AssertionError):
    """A promise that swapnet makes to itself does not hold: a bug in swapnet, please report it."""

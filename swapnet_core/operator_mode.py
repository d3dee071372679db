"""What sees every operator that the calling thread runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class OperatorMode(TorchDispatchMode, ABC):  # type: ignore[no-untyped-call]  # torch's own gap
    """Is asked to run every operator, while it is entered. For one thread."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]  # torch's own gap

    def __init__(self, passed: type | None = None) -> None:
        """Make one that is not entered.

        Args:
            passed: a class of tensors that run their operators themselves, by others.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own gap
        self._passed = passed

    @abstractmethod
    def run(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Run an operator, or do something else; returns what its caller gets."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by torch: that imports its compiler, 80 MiB that would be measured."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if self._passed in types:
            return NotImplemented
        return self.run(func, args, kwargs or {})

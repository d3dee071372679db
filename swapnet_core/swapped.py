"""What a user holds of a loaded network."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves

from swapnet_core.dispatch import Dispatcher
from swapnet_core.errors import DeadlineMissedError, InputError, RuntimeClosedError, SwapNetError
from swapnet_core.loading import Example
from swapnet_core.model import LoadedModel
from swapnet_core.reports import InferenceTimeline, ModelStats
from swapnet_core.specs import NetworkProfile, SwapPlan

_LOG = logging.getLogger(__name__)


def require_rate(name: str, rate_hz: float | None) -> None:
    """Refuse what is no rate.

    Raises:
        InputError: it is not above 0, or not finite.
    """
    if rate_hz is not None and not 0.0 < rate_hz < math.inf:
        raise InputError(
            f"the rate of the network {name!r} is {rate_hz} Hz; it must be above 0, or None for "
            "as often as there is time"
        )


class Changes(NamedTuple):
    """What a network's user can change in the runtime."""

    unload: Callable[[LoadedModel], None]
    set_rate: Callable[[LoadedModel, float | None], None]


class SwappedModel:
    """A loaded network. Any thread."""

    def __init__(
        self,
        model: LoadedModel,
        dispatcher: Dispatcher,
        changes: Changes,
        example: Example,
        *,
        priority: int,
        deadline_s: float | None,
    ) -> None:
        self.name = model.name
        self._model = model
        self._dispatcher = dispatcher
        self._changes = changes
        self._priority = priority
        self._deadline_s = deadline_s
        self._example_elements = _count_elements(example)
        self._has_warned = False

    @property
    def priority(self) -> int:
        """Jobs with a higher one run first; may be set, for jobs submitted from then on."""
        return self._priority

    @priority.setter
    def priority(self, priority: int) -> None:
        self._priority = priority

    @property
    def rate_hz(self) -> float | None:
        """Inferences per second that are wanted, as declared; None: as often as there is time."""
        return self._model.rate_hz

    def set_rate(self, rate_hz: float | None) -> None:
        """Declare another rate: shares of memory and the answer about rates follow.

        Plans are made anew, and come into force at the next boundary of two blocks; returns when
        they have. At once where the rate is the same.

        Args:
            rate_hz: inferences per second that will be wanted; None: as often as there is time.

        Raises:
            InputError: the rate is not above 0, or not finite.
            NetworkError: a network's forward calls this; the rate is noted, its plans are not made.
            RuntimeClosedError: the model, or the runtime, is closed.
            StorageError: residents cannot be read; whom that concerns tries again at every call.
        """
        self._model.require_open()
        if rate_hz == self._model.rate_hz:
            return
        require_rate(self.name, rate_hz)
        self._changes.set_rate(self._model, rate_hz)

    @property
    def plan(self) -> SwapPlan:
        """The plan in force.

        Raises:
            RuntimeClosedError: the model is closed.
            SwapNetError: it has none, since its memory or residents could not be had.
        """
        self._model.require_open()
        plan = self._model.plan
        if plan is None:
            raise SwapNetError(
                f"the network {self.name!r} has no plan at present: its memory or its residents "
                "could not be had; every call tries again, and says why"
            )
        return plan

    @property
    def profile(self) -> NetworkProfile:
        """What is known of the network, at the speed at which it runs of late.

        With it, plans and latencies for other budgets follow without the network.
        """
        return self._model.measured_profile

    @property
    def timeline(self) -> InferenceTimeline | None:
        """The newest inference as it was measured: when which block was read and used.

        None before the first inference, and where a new budget changed the plan in the middle of
        the newest one.
        """
        return self._model.timeline

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        """Run the network and wait for its output: same structure, same bits as the network's.

        It runs on the inference thread: the caller's `torch.autocast` does not reach it.

        Raises:
            RuntimeClosedError: the model is closed.
            StorageError: a block could not be read; the next call tries again.
            Exception: whatever the network raises.
        """
        self._look_at(inputs, kwargs)
        caller = self._model.caller()
        return self._dispatcher.run(
            self._model, lambda: self._model.run(inputs, kwargs, caller), priority=self._priority
        )

    def submit(self, *inputs: Any, deadline_s: float | None = None, **kwargs: Any) -> Future[Any]:
        """Queue an inference.

        Args:
            inputs: positional inputs of the network.
            deadline_s: seconds from now by which it must have started; None for the default
                given to `load`.
            kwargs: keyword inputs of the network.

        Returns:
            A future of the output; `DeadlineMissedError` where the deadline passed first,
            `RuntimeClosedError` where the model was closed first.

        Raises:
            RuntimeClosedError: the model is closed already.
        """
        self._look_at(inputs, kwargs)
        deadline_s = self._deadline_s if deadline_s is None else deadline_s
        caller = self._model.caller()
        future = self._dispatcher.submit(
            self._model,
            lambda: self._model.run(inputs, kwargs, caller),
            priority=self._priority,
            deadline_s=deadline_s,
        )
        if deadline_s is not None:
            future.add_done_callback(self._count_miss)
        return future

    def stats(self) -> ModelStats:
        """Return sizes and counters of this moment."""
        return self._model.stats()

    def close(self) -> None:
        """Unload the network and give its share to the others. Idempotent."""
        try:
            self._dispatcher.run_exclusive(lambda: self._changes.unload(self._model))
        except RuntimeClosedError:
            return  # the runtime's own close has done it

    def _count_miss(self, future: Future[Any]) -> None:
        if not future.cancelled() and isinstance(future.exception(), DeadlineMissedError):
            self._model.count_missed_deadline()

    def _look_at(self, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Say once that inputs are larger than the example: so may be the activations."""
        if self._has_warned:
            return
        elements = _count_elements(Example(inputs=inputs, kwargs=kwargs))
        if elements > self._example_elements:
            self._has_warned = True
            _LOG.warning(
                "%s: an input has %d elements, the example had %d; its activations may pass the "
                "budget: load it with an example of the largest size",
                self.name,
                elements,
                self._example_elements,
            )

    def __repr__(self) -> str:
        return f"<SwappedModel {self.name!r}, {self._model!r}>"


def _count_elements(example: Example) -> int:
    leaves = tree_leaves((example.inputs, dict(example.kwargs)))
    return sum(leaf.numel() for leaf in leaves if isinstance(leaf, torch.Tensor))

"""Jobs of networks: into the queue, and into the guess of what runs next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from swapnet_core.errors import NetworkError
from swapnet_core.forecast import Forecast
from swapnet_core.holding import Holding
from swapnet_core.model import LoadedModel
from swapnet_core.placement import Placement
from swapnet_core.scheduler import Scheduler

T = TypeVar("T")
_LOOK_AHEAD = 4


class Dispatcher:
    """Queues inferences, and tells the placement which weights will be wanted. Any thread."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._lock = threading.Lock()
        self._forecast: Forecast[Holding] = Forecast()
        self._is_inferring = False  # of the inference thread
        self.scheduler = Scheduler(self._tell)

    def submit(
        self,
        model: LoadedModel,
        run: Callable[[], T],
        *,
        priority: int,
        deadline_s: float | None = None,
    ) -> Future[T]:
        """Queue an inference; see `Scheduler.submit`.

        Args:
            model: whose inference it is: what is fetched ahead follows from who comes.
            run: the inference.
            priority: higher ones run first.
            deadline_s: seconds from now by which it must have started.

        Raises:
            RuntimeClosedError: the model, or the runtime, is closed.
        """
        with self._lock:  # a model is closed first and forgotten then: it is noted before, or not
            model.require_open()
            self._forecast.note(model.holding, time.monotonic(), model.rate_hz)
        return self.scheduler.submit(
            lambda: self._infer(run),
            priority=priority,
            deadline_s=deadline_s,
            subject=model.holding,
        )

    def run(self, model: LoadedModel, run: Callable[[], T], *, priority: int) -> T:
        """Queue an inference and wait for it; at once on the inference thread itself.

        Raises:
            NetworkError: on that thread, inside another inference.
            RuntimeClosedError: the model, or the runtime, is closed.
        """
        if self.scheduler.is_in_job:
            return self._infer(run)
        return self.submit(model, run, priority=priority).result()

    def run_exclusive(self, run: Callable[[], T]) -> T:
        """See `Scheduler.run_exclusive`.

        Raises:
            NetworkError: inside an inference.
        """
        self._require_no_inference()
        return self.scheduler.run_exclusive(run)

    def interrupt(self, run: Callable[[], T]) -> T:
        """See `Scheduler.interrupt`.

        Raises:
            NetworkError: inside an inference, on its own thread.
        """
        self._require_no_inference()
        return self.scheduler.interrupt(run)

    def forget(self, holding: Holding) -> None:
        """Expect no more jobs of these weights."""
        with self._lock:
            self._forecast.forget(holding)

    def close(self) -> None:
        """Finish the present job, drop the queued ones. Idempotent; not for a job."""
        self.scheduler.close()

    def _infer(self, run: Callable[[], T]) -> T:
        """On the inference thread."""
        self._require_no_inference()
        self._is_inferring = True
        try:
            return run()
        finally:
            self._is_inferring = False

    def _require_no_inference(self) -> None:
        """One inference has the slots: another one, or new plans, would overwrite its weights."""
        if self._is_inferring and self.scheduler.is_in_job:
            raise NetworkError(
                "a network's forward uses the runtime that runs it (calls a network, loads, "
                "unloads or sets the budget); do that before or after the inference"
            )

    def _tell(self) -> None:
        """Who is queued comes first; then who comes next by its rate."""
        coming = self.scheduler.upcoming(_LOOK_AHEAD)
        with self._lock:
            likely = self._forecast.order(time.monotonic())
        order = [*coming, *(holding for holding in likely if holding not in coming)]
        self._placement.expect(order[:_LOOK_AHEAD])

    def __repr__(self) -> str:
        return f"<Dispatcher {self.scheduler!r}>"

"""One device, one inference at a time: jobs by priority, then by earliest deadline.

[Note: interruptions]
Giving memory back cannot wait for the end of an inference. What is passed to `interrupt` runs
between two jobs, or inside one where the running network calls `run_interruptions`: that is at the
boundary of two blocks, where nothing of the old block is in use any more.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from swapnet_core.errors import DeadlineMissedError, RuntimeClosedError
from swapnet_core.first_heap import start_in_first_heap
from swapnet_core.openmp import release_pool

T = TypeVar("T")
_EXCLUSIVE_PRIORITY = math.inf
_FOR_EVER = math.inf


class _JobFuture(Future[T]):
    """A future whose callbacks cannot end the thread that settles it. Any thread.

    `concurrent.futures` logs every `Exception` of a callback and goes on with the next one. What
    is none (`SystemExit`) would end the inference thread, and leave other callbacks uncalled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settling_thread: int | None = None

    def settle(self, *, result: T | None = None, error: BaseException | None = None) -> None:
        """Set the result or the error, and run the callbacks."""
        self._settling_thread = threading.get_ident()
        try:
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(result)  # type: ignore[arg-type]  # a T where there is no error
        finally:
            self._settling_thread = None

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call `fn` when the job is done; at once, in the caller's thread, where it is already."""
        super().add_done_callback(functools.partial(self._call_back, fn))

    def _call_back(self, fn: Callable[[Future[T]], object], future: Future[T]) -> None:
        try:
            fn(future)
        except Exception:
            raise
        except BaseException as error:
            if self._settling_thread != threading.get_ident():
                raise  # the thread is the callback's own: its user may end it
            raise RuntimeError(f"a callback of a job raised {error!r}") from error


@dataclass(order=True, slots=True)
class _Job:
    rank: tuple[float, float, int]
    run: Callable[[], Any] = field(compare=False)
    future: _JobFuture[Any] = field(compare=False)
    subject: Any = field(compare=False, default=None)

    @property
    def deadline(self) -> float:
        return self.rank[1]

    @property
    def number(self) -> int:
        return self.rank[2]

    @property
    def is_exclusive(self) -> bool:
        return self.rank[0] == -_EXCLUSIVE_PRIORITY


class Scheduler:
    """Runs jobs on the thread `swapnet-infer`. Any thread may submit."""

    def __init__(self, on_change: Callable[[], None] | None = None) -> None:
        """Start the thread.

        Args:
            on_change: called without locks, in any thread, after a job was queued or has ended.
        """
        self._on_change = on_change or _ignore
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._jobs: list[_Job] = []
        self._interruptions: deque[_Job] = deque()
        self._numbers = itertools.count()
        self._exclusive_ended = -1
        self._present: Any = None
        self._is_open = True
        self._thread = start_in_first_heap(self._serve, name="swapnet-infer")

    @property
    def is_interrupted(self) -> bool:
        """Whether something waits to be run at the next boundary; costs next to nothing."""
        return bool(self._interruptions)

    @property
    def is_in_job(self) -> bool:
        """Whether the caller is the inference thread."""
        return threading.current_thread() is self._thread

    def submit(
        self,
        run: Callable[[], T],
        *,
        priority: float = 0,
        deadline_s: float | None = None,
        subject: Any = None,
    ) -> Future[T]:
        """Queue a job.

        Args:
            run: the job.
            priority: higher ones run first; equal ones by deadline, and those without in turn.
            deadline_s: seconds from now by which it must have started; later it is not run, and
                its future raises `DeadlineMissedError`.
            subject: what `upcoming` tells of it.

        Raises:
            RuntimeClosedError: the scheduler is closed.
        """
        if not self.is_in_job:
            release_pool()
        future: _JobFuture[T] = _JobFuture()
        deadline = _FOR_EVER if deadline_s is None else time.monotonic() + deadline_s
        with self._lock:
            self._require_open()
            rank = (-priority, deadline, next(self._numbers))
            heapq.heappush(self._jobs, _Job(rank, run, future, subject))
            self._work.notify()
        self._on_change()
        return future

    def run(self, run: Callable[[], T], *, priority: float = 0, subject: Any = None) -> T:
        """Run a job and wait for it; at once where the caller is the inference thread itself."""
        if self.is_in_job:
            return run()
        return self.submit(run, priority=priority, subject=subject).result()

    def run_exclusive(self, run: Callable[[], T]) -> T:
        """Run something between jobs, before all that are queued.

        After each such thing, the jobs that are queued then have their turn before the next one.
        """
        return self.run(run, priority=_EXCLUSIVE_PRIORITY)

    def interrupt(self, run: Callable[[], T]) -> T:
        """Run something at the next boundary of blocks, and wait; see [Note: interruptions]."""
        if self.is_in_job:
            return run()
        future: _JobFuture[T] = _JobFuture()
        with self._lock:
            self._require_open()
            rank = (0, _FOR_EVER, next(self._numbers))
            self._interruptions.append(_Job(rank, run, future))
            self._work.notify()
        return future.result()

    def run_interruptions(self) -> None:
        """Run what waits for a boundary. On the inference thread."""
        while True:
            with self._lock:  # or `close` may take it meanwhile
                if not self._interruptions:
                    return
                interruption = self._interruptions.popleft()
            _settle(interruption)

    def upcoming(self, count: int) -> list[Any]:
        """Return the subjects of the present job and of those that will run next, in order."""
        with self._lock:
            queued = heapq.nsmallest(count, self._jobs)
            subjects = [self._present, *(job.subject for job in queued)]
        return [subject for subject in subjects if subject is not None][:count]

    def close(self) -> None:
        """Finish the present job; cancel the queued ones. Idempotent; not for a job."""
        with self._lock:
            self._is_open = False
            jobs, self._jobs = [*self._jobs, *self._interruptions], []
            self._interruptions.clear()
            self._work.notify_all()
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.settle(error=RuntimeClosedError("the runtime was closed before the job"))
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._jobs and not self._interruptions and self._is_open:
                    self._work.wait()
                if not self._jobs and not self._interruptions:
                    return
                job = None
                if not self._interruptions:
                    job = self._take_job()
                    self._present = job.subject
            if job is None:
                self.run_interruptions()
            else:
                _settle(job)
                self._present = None
                if job.is_exclusive:
                    self._exclusive_ended = next(self._numbers)
            del job  # do not keep the last result alive while waiting
            self._on_change()

    def _take_job(self) -> _Job:
        """Take the job whose turn it is; see `run_exclusive`. Needs the lock."""
        if self._jobs[0].is_exclusive:
            others = [job for job in self._jobs if not job.is_exclusive]
            waited = [job for job in others if job.number < self._exclusive_ended]
            if waited:
                job = min(waited)
                self._jobs.remove(job)
                heapq.heapify(self._jobs)
                return job
        return heapq.heappop(self._jobs)

    def _require_open(self) -> None:
        if not self._is_open:
            raise RuntimeClosedError("the runtime is closed")

    def __repr__(self) -> str:
        with self._lock:
            return f"<Scheduler {len(self._jobs)} jobs queued>"


def _settle(job: _Job) -> None:
    """Run one job; its future learns of everything that is raised."""
    if not job.future.set_running_or_notify_cancel():
        return
    late_s = time.monotonic() - job.deadline
    if late_s > 0:
        message = f"the deadline passed {late_s:.3f} s before the job could start"
        job.future.settle(error=DeadlineMissedError(message, late_s=late_s))
        return
    try:
        result = job.run()
    except BaseException as error:
        job.future.settle(error=error)
    else:
        job.future.settle(result=result)


def _ignore() -> None:
    return None

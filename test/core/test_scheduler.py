"""One thread, one job at a time; order, errors and closing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swapnet_core.errors import DeadlineMissedError, RuntimeClosedError
from swapnet_core.scheduler import Scheduler


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    yield scheduler
    scheduler.close()


def _hold(scheduler: Scheduler) -> threading.Event:
    """Keep the thread busy until the event is set."""
    entered, opened = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        opened.wait(10)

    scheduler.submit(wait)
    assert entered.wait(10)
    return opened


def test_jobs_run_on_the_inference_thread(scheduler: Scheduler) -> None:
    assert scheduler.run(lambda: threading.current_thread().name) == "swapnet-infer"


def test_a_job_may_run_another_one_at_once(scheduler: Scheduler) -> None:
    assert scheduler.run(lambda: scheduler.run(lambda: 5)) == 5


_jobs = st.lists(st.tuples(st.integers(-2, 2), st.none() | st.integers(100, 105)), max_size=12)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_jobs)
def test_priority_then_deadline_then_age_decide(
    scheduler: Scheduler, jobs: list[tuple[int, int | None]]
) -> None:
    opened, order = _hold(scheduler), []
    futures = [
        scheduler.submit(lambda n=number: order.append(n), priority=priority, deadline_s=deadline)
        for number, (priority, deadline) in enumerate(jobs)
    ]
    first = threading.Thread(target=lambda: scheduler.run_exclusive(lambda: order.append(-1)))
    first.start()
    while repr(scheduler) != f"<Scheduler {len(jobs) + 1} jobs queued>":
        threading.Event().wait(0.001)
    opened.set()
    for future in futures:
        future.result(10)
    first.join(10)
    wanted = sorted(range(len(jobs)), key=lambda n: (-jobs[n][0], jobs[n][1] or 10**9, n))
    assert order == [-1, *wanted]


def test_equal_priorities_without_deadlines_run_in_turn(scheduler: Scheduler) -> None:
    opened, order = _hold(scheduler), []
    futures = [
        scheduler.submit(lambda n=number: order.append(n), priority=3) for number in range(50)
    ]
    opened.set()
    for future in futures:
        future.result(10)
    assert order == list(range(50))


@pytest.mark.parametrize("priority", [1, 2**31, 2**63])
def test_jobs_that_never_end_to_come_hold_no_change_up(scheduler: Scheduler, priority: int) -> None:
    ended = threading.Event()

    def again() -> None:
        if not ended.is_set():  # there is always one more in the queue
            scheduler.submit(again, priority=priority)

    for _ in range(2):
        scheduler.submit(again, priority=priority)
    done = []
    changes = [
        threading.Thread(target=lambda run=run: run(lambda: done.append(1)))
        for run in (scheduler.run_exclusive, scheduler.interrupt)
    ]
    for change in changes:
        change.start()
    for change in changes:
        change.join(10)
    ended.set()
    assert len(done) == 2


def test_what_a_job_raises_is_the_callers_and_the_thread_lives(scheduler: Scheduler) -> None:
    def fail() -> None:
        raise SystemExit("not ours to obey")

    with pytest.raises(SystemExit):
        scheduler.run(fail)
    assert scheduler.run(lambda: 1) == 1


def _leave(_future: object) -> None:
    raise SystemExit("not the thread's to obey")


def test_a_callback_that_wants_to_exit_is_logged_and_the_thread_lives(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    opened, called = _hold(scheduler), threading.Event()
    futures = [
        scheduler.submit(lambda: 1),
        scheduler.submit(lambda: {}[0]),
        scheduler.submit(lambda: 1, deadline_s=-1.0),
    ]
    for future in futures:
        future.add_done_callback(_leave)
    futures[-1].add_done_callback(lambda _future: called.set())
    opened.set()
    assert scheduler.run(lambda: 2) == 2
    assert called.wait(10)
    assert caplog.text.count("a callback of a job raised SystemExit") == 3
    with pytest.raises(SystemExit):
        futures[0].add_done_callback(_leave)  # it is done: the callback has the caller's thread


def test_a_callback_that_wants_to_exit_does_not_keep_the_scheduler_open() -> None:
    scheduler = Scheduler()
    opened = _hold(scheduler)
    queued = [scheduler.submit(lambda: 1) for _ in range(2)]
    for future in queued:
        future.add_done_callback(_leave)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    for future in queued:
        with pytest.raises(RuntimeClosedError):
            future.result(10)
    opened.set()
    closing.join(10)
    assert not closing.is_alive()


def test_a_deadline_that_passed_is_told_with_its_lateness(scheduler: Scheduler) -> None:
    opened = _hold(scheduler)
    future = scheduler.submit(lambda: 1, deadline_s=-1.0)
    opened.set()
    with pytest.raises(DeadlineMissedError) as refused:
        future.result(10)
    assert refused.value.late_s >= 1.0


def test_closing_refuses_what_is_queued_and_what_comes() -> None:
    scheduler = Scheduler()
    opened = _hold(scheduler)
    queued = scheduler.submit(lambda: 1)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    with pytest.raises(RuntimeClosedError):
        queued.result(10)
    opened.set()
    closing.join(10)
    scheduler.close()
    with pytest.raises(RuntimeClosedError):
        scheduler.run(lambda: 1)


def _interrupt(scheduler: Scheduler, run: Callable[[], object]) -> threading.Thread:
    """Interrupt from another thread; returns when the interruption waits."""
    thread = threading.Thread(target=lambda: scheduler.interrupt(run))
    thread.start()
    while not scheduler.is_interrupted:
        threading.Event().wait(0.001)
    return thread


def test_an_interruption_runs_at_the_boundaries_of_a_running_job(scheduler: Scheduler) -> None:
    order: list[str] = []
    entered, waiting = threading.Event(), threading.Event()

    def job() -> None:
        entered.set()
        waiting.wait(10)
        order.append("before")
        scheduler.run_interruptions()
        order.append("after")

    future = scheduler.submit(job)
    queued = scheduler.submit(lambda: order.append("next job"))
    assert entered.wait(10)
    thread = _interrupt(scheduler, lambda: order.append("interruption"))
    assert order == []
    waiting.set()
    thread.join(10)
    future.result(10)
    queued.result(10)
    assert order == ["before", "interruption", "after", "next job"]
    assert not scheduler.is_interrupted


def test_without_a_boundary_an_interruption_comes_before_the_next_job(scheduler: Scheduler) -> None:
    opened, order = _hold(scheduler), []
    queued = scheduler.submit(lambda: order.append("job"), priority=99)
    thread = _interrupt(scheduler, lambda: order.append("interruption"))
    opened.set()
    thread.join(10)
    queued.result(10)
    assert order == ["interruption", "job"]


def test_an_idle_scheduler_is_interrupted_at_once(scheduler: Scheduler) -> None:
    assert scheduler.interrupt(lambda: threading.current_thread().name) == "swapnet-infer"
    assert scheduler.run(lambda: scheduler.interrupt(lambda: 3)) == 3


def test_what_an_interruption_raises_is_its_callers(scheduler: Scheduler) -> None:
    with pytest.raises(KeyError):
        scheduler.interrupt(lambda: {}[0])
    assert scheduler.run(lambda: 1) == 1


def test_upcoming_tells_the_present_job_and_then_the_queue(scheduler: Scheduler) -> None:
    entered, opened = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        opened.wait(10)

    futures = [scheduler.submit(wait, subject="present")]
    assert entered.wait(10)
    futures += [
        scheduler.submit(lambda: None, subject="late", deadline_s=200.0),
        scheduler.submit(lambda: None),
        scheduler.submit(lambda: None, subject="early", deadline_s=100.0),
        scheduler.submit(lambda: None, subject="urgent", priority=1),
    ]
    assert scheduler.upcoming(9) == ["present", "urgent", "early", "late"]
    assert scheduler.upcoming(2) == ["present", "urgent"]
    opened.set()
    for future in futures:
        future.result(10)
    scheduler.run(lambda: None)
    assert scheduler.upcoming(9) == []


def test_every_submit_and_every_end_is_told() -> None:
    told: list[list[str]] = []
    scheduler = Scheduler(lambda: told.append(scheduler.upcoming(2)))
    opened = _hold(scheduler)
    future = scheduler.submit(lambda: None, subject="a")
    assert told[-1] == ["a"]
    opened.set()
    future.result(10)
    scheduler.close()
    assert told[-1] == []


def test_closing_refuses_interruptions_that_wait() -> None:
    scheduler = Scheduler()
    opened, errors = _hold(scheduler), []

    def interrupt() -> None:
        try:
            scheduler.interrupt(lambda: None)
        except RuntimeClosedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=interrupt)
    thread.start()
    while not scheduler.is_interrupted:
        threading.Event().wait(0.001)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    thread.join(10)
    opened.set()
    closing.join(10)
    assert errors == ["the runtime was closed before the job"]
    with pytest.raises(RuntimeClosedError):
        scheduler.interrupt(lambda: None)

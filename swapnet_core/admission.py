"""Keeps the answer to "do the declared rates fit?" up to date, beside the inferences."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.policy import Load, admit, assess, load_of
from swapnet_core.reports import Admission
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.specs import DeviceProfile, SwapPlan

_LOG = logging.getLogger(__name__)
_REFRESH_PERIOD_S = 30.0
"""A search takes seconds of a core: speeds that go up and down must not start one after another."""
_NO_NEWS = (0.8, 1.25)
"""Compute times within these factors of those that were asked about change no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What was asked last; see `AdmissionDesk.review`."""

    networks: tuple[SharedNetwork, ...]
    plans: tuple[SwapPlan, ...]
    device: DeviceProfile
    budget_bytes: int


class AdmissionDesk:
    """Answers at once under the plans in force; the smallest budget that would do comes later.

    That one takes many plans, which are made on threads `swapnet-admission`: the newest one's
    answer counts, the others end with the plan that they are at. Any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer: Admission | None = None
        self._question: _Question | None = None
        self._refreshed_s = -math.inf
        self._number = 0
        self._threads: list[threading.Thread] = []

    @property
    def answer(self) -> Admission | None:
        """The newest answer; None while there is no network."""
        return self._answer

    def review(
        self,
        networks: Sequence[SharedNetwork],
        plans: Sequence[SwapPlan],
        device: DeviceProfile,
        budget_bytes: int,
    ) -> None:
        """Look at networks under their plans; say so where their rates do not fit.

        Args:
            networks: all that are loaded, or are about to be.
            plans: theirs, in the same order.
            device: it runs on.
            budget_bytes: in force.
        """
        question = _Question(
            networks=tuple(networks),
            plans=tuple(plans),
            device=device,
            budget_bytes=budget_bytes,
        )
        with self._lock:
            number, answer = self._answer_at_once(question)
        self._look_further(number, question, answer)

    def refresh(self, networks: Sequence[SharedNetwork]) -> None:
        """Look again, under the same plans, where networks run at another speed than before.

        At most every half minute, and a few microseconds where nothing is to be done.

        Args:
            networks: those of the last review, as they are known now; others are left to the
                review that comes with them.
        """
        with self._lock:
            question = self._question
            is_early = time.monotonic() - self._refreshed_s < _REFRESH_PERIOD_S
            if question is None or is_early or not _has_news(question.networks, networks):
                return
            self._refreshed_s = time.monotonic()
            question = replace(question, networks=tuple(networks))
            number, answer = self._answer_at_once(question)
        self._look_further(number, question, answer)

    def close(self) -> None:
        """Stop looking. Idempotent."""
        with self._lock:
            self._number += 1
            self._question = None
            threads = self._threads
        for thread in threads:
            thread.join()

    def _answer_at_once(self, question: _Question) -> tuple[int, Admission | None]:
        """Answer without a search, and number the question. Needs the lock."""
        self._number += 1
        self._question = question
        loads = _loads(question.networks, question.plans)
        self._answer = assess(loads, question.device) if loads else None
        return self._number, self._answer

    def _look_further(self, number: int, question: _Question, answer: Admission | None) -> None:
        """Say what does not fit, and start the search."""
        if answer is None or not any(network.rate_hz for network in question.networks):
            return
        if not answer.fits:
            _LOG.warning("%s", answer.reason)
        thread = threading.Thread(
            target=self._find_enough,
            args=(number, question),
            name="swapnet-admission",
            daemon=True,
        )
        thread.start()
        with self._lock:
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]

    def _find_enough(self, number: int, question: _Question) -> None:
        networks, device = question.networks, question.device

        def loads_at(budget: int) -> list[Load]:
            if number != self._number:
                raise _OutdatedError
            return _loads(networks, plan_together(networks, device, budget_bytes=budget))

        try:
            answer = admit(
                loads_at,
                device,
                budget_bytes=question.budget_bytes,
                least_bytes=smallest_shared_budget_bytes(networks),
                full_bytes=sum(network.profile.demand_bytes for network in networks),
            )
        except (_OutdatedError, BudgetTooSmallError):
            return  # the networks or the budget have changed: another answer is on its way
        with self._lock:
            if number == self._number:
                self._answer = answer

    def __repr__(self) -> str:
        return f"<AdmissionDesk {self._answer.reason if self._answer else 'without networks'}>"


class _OutdatedError(Exception):
    """The question has changed."""


def _has_news(before: Sequence[SharedNetwork], now: Sequence[SharedNetwork]) -> bool:
    """Tell whether the same networks take another time to compute."""
    if [_identity(network) for network in before] != [_identity(network) for network in now]:
        return False
    fastest, slowest = _NO_NEWS
    times = [
        (a.profile.trace.compute_s, b.profile.trace.compute_s)
        for a, b in zip(before, now, strict=True)
    ]
    return any(not fastest * old <= new <= slowest * old for old, new in times)


def _identity(network: SharedNetwork) -> tuple[str, str, float | None]:
    return network.name, network.profile.digest, network.rate_hz


def _loads(networks: Sequence[SharedNetwork], plans: Sequence[SwapPlan]) -> list[Load]:
    return [
        load_of(network.name, network.rate_hz, network.profile, plan)
        for network, plan in zip(networks, plans, strict=True)
    ]

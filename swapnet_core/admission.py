"""Keeps the answer to "do the declared rates fit?" up to date, beside the inferences."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.policy import Load, admit, assess, load_of
from swapnet_core.reports import Admission
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.specs import DeviceProfile, SwapPlan

_LOG = logging.getLogger(__name__)


class AdmissionDesk:
    """Answers at once under the plans in force; the smallest budget that would do comes later.

    That one takes many plans, which are made on threads `swapnet-admission`: the newest one's
    answer counts, the others end with the plan that they are at. Any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answer: Admission | None = None
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
        with self._lock:
            self._number += 1
            number = self._number
            self._answer = assess(_loads(networks, plans), device) if networks else None
            answer = self._answer
        if answer is None or not any(network.rate_hz for network in networks):
            return
        if not answer.fits:
            _LOG.warning("%s", answer.reason)
        thread = threading.Thread(
            target=self._find_enough,
            args=(number, tuple(networks), device, budget_bytes),
            name="swapnet-admission",
            daemon=True,
        )
        thread.start()
        with self._lock:
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]

    def close(self) -> None:
        """Stop looking. Idempotent."""
        with self._lock:
            self._number += 1
            threads = self._threads
        for thread in threads:
            thread.join()

    def _find_enough(
        self,
        number: int,
        networks: Sequence[SharedNetwork],
        device: DeviceProfile,
        budget_bytes: int,
    ) -> None:
        def loads_at(budget: int) -> list[Load]:
            if number != self._number:
                raise _OutdatedError
            return _loads(networks, plan_together(networks, device, budget_bytes=budget))

        try:
            answer = admit(
                loads_at,
                device,
                budget_bytes=budget_bytes,
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


def _loads(networks: Sequence[SharedNetwork], plans: Sequence[SwapPlan]) -> list[Load]:
    return [
        load_of(network.name, network.rate_hz, network.profile, plan)
        for network, plan in zip(networks, plans, strict=True)
    ]

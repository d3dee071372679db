"""`budget="auto"`: a thread that moves the budget with the memory that the system has free."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from swapnet_core.errors import BudgetTooSmallError, RuntimeClosedError, SwapNetError
from swapnet_core.margin import Position, follow, start_position, tightest
from swapnet_core.sizes import format_size
from swapnet_core.system_memory import MemoryBound

POLL_S = 1.0

_LOG = logging.getLogger(__name__)


class AutoBudget:
    """Polls the system once per second on the thread `swapnet-memory`, once it is started.

    `start` and `close` are for the owner, who takes `budget_bytes` as the first budget in between.
    """

    def __init__(
        self,
        *,
        read: Callable[[], Sequence[MemoryBound]],
        held_bytes: Callable[[], int],
        smallest_bytes: Callable[[], int],
        apply: Callable[[int], None],
    ) -> None:
        """Choose the first budget. The functions are called from the thread, later.

        Args:
            read: ceilings over this process, as `read_memory_bounds`; called now, too.
            held_bytes: what the core holds of the memory that is not free; called now, too.
            smallest_bytes: what the loaded networks need at least; 0 while there are none.
            apply: sets a budget; may raise `BudgetTooSmallError` or `RuntimeClosedError`.

        Raises:
            InputError: the system does not tell how much memory it has free.
        """
        self._read = read
        self._held_bytes = held_bytes
        self._smallest_bytes = smallest_bytes
        self._apply = apply
        self._position = start_position(read(), held_bytes())
        self._refused_bytes: int | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swapnet-memory", daemon=True)

    @property
    def budget_bytes(self) -> int:
        """The budget that was chosen last. Any thread may ask."""
        return self._position.budget_bytes

    def start(self) -> None:
        """Start to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop, after a change that is under way. Idempotent; not for the thread of `apply`."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __enter__(self) -> AutoBudget:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        decided_s = time.monotonic()
        while not self._is_over.wait(POLL_S):
            now_s = time.monotonic()
            try:
                self._follow(now_s - decided_s)
            except RuntimeClosedError:
                return
            decided_s = now_s

    def _follow(self, elapsed_s: float) -> None:
        bounds, held_bytes = self._read(), self._held_bytes()
        before = self._position
        after = follow(
            before,
            bounds,
            held_bytes=held_bytes,
            smallest_bytes=self._smallest_bytes(),
            elapsed_s=elapsed_s,
        )
        if after.budget_bytes == before.budget_bytes:
            self._position = after
            return
        change = f"budget {format_size(before.budget_bytes)} to {format_size(after.budget_bytes)}"
        change += f": {tightest(bounds, held_bytes).reason}"
        try:
            self._apply(after.budget_bytes)
        except BudgetTooSmallError as error:
            self._say_refused(change, error)
            self._position = Position(budget_bytes=before.budget_bytes)
            return
        except RuntimeClosedError:
            raise
        except SwapNetError as error:
            # The budget did change; whoever uses the network that failed gets the error, too.
            _LOG.warning("%s; %s", change, error)
        else:
            _LOG.info("%s", change)
        self._position, self._refused_bytes = after, None

    def _say_refused(self, change: str, error: BudgetTooSmallError) -> None:
        """Warn, once as long as the networks need the same."""
        if error.needed_bytes != self._refused_bytes:
            _LOG.warning("cannot change the %s; %s", change, error)
        self._refused_bytes = error.needed_bytes

    def __repr__(self) -> str:
        return f"<AutoBudget {format_size(self.budget_bytes)}>"

"""Lifecycle nodes whose transitions may fail without harm."""

from __future__ import annotations

import abc
import traceback
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode, LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn as Transition

from swapnet_core import SwapNetError


class GuardedLifecycleNode(LifecycleNode, abc.ABC):
    """A lifecycle node that tells why a transition failed, and stays as it was.

    A subclass says what to do; transitions run on the node's executor thread.

    Attributes:
        failed_transition: name of the transition that failed last; empty once one succeeded.
        last_problem: what went wrong last, for the diagnostics; empty where nothing did.
    """

    failed_transition = ""
    last_problem = ""

    @abc.abstractmethod
    def load(self) -> None:
        """Take what the node needs for its work, or nothing of it; configure."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Begin to take work; activate."""

    @abc.abstractmethod
    def drain(self) -> None:
        """Take no more work and finish what is in hand; idempotent; deactivate."""

    @abc.abstractmethod
    def unload(self) -> None:
        """Give back what `load` took; idempotent; clean up."""

    @property
    def state_label(self) -> str:
        """The lifecycle state: `unconfigured`, `inactive`, `active` or `finalized`."""
        return self._state_machine.current_state[1]

    def start(self) -> None:
        """Configure and activate."""
        if self.trigger_configure() == Transition.SUCCESS:
            self.trigger_activate()

    def finish(self) -> None:
        """Shut down, unless that has happened already."""
        if self.state_label != "finalized":
            self.trigger_shutdown()

    def on_configure(self, state: LifecycleState) -> Transition:
        """Load."""
        return self._guard("configure", state, self.load)

    def on_activate(self, state: LifecycleState) -> Transition:
        """Open the publishers, then begin, all or nothing."""
        return self._guard("activate", state, self._begin_or_drain, first=super().on_activate)

    def on_deactivate(self, state: LifecycleState) -> Transition:
        """Drain, then close the publishers."""
        return self._guard("deactivate", state, self.drain, last=super().on_deactivate)

    def on_cleanup(self, state: LifecycleState) -> Transition:
        """Unload."""
        return self._guard("clean up", state, self.unload)

    def on_shutdown(self, state: LifecycleState) -> Transition:
        """Drain and unload, from whatever state."""
        return self._guard("shut down", state, self._release)

    def on_error(self, state: LifecycleState) -> Transition:
        """Drain and unload after rclpy itself failed; the node is unconfigured then."""
        return self._guard("recover", state, self._release)

    def _begin_or_drain(self) -> None:
        try:
            self.begin()
        except BaseException:
            self.drain()
            raise

    def _release(self) -> None:
        self.drain()
        self.unload()

    def _guard(
        self,
        name: str,
        state: LifecycleState,
        act: Callable[[], None],
        *,
        first: Callable[[LifecycleState], Transition] | None = None,
        last: Callable[[LifecycleState], Transition] | None = None,
    ) -> Transition:
        """Act; failures go to the log, the diagnostics and whoever asked for the transition."""
        try:
            if first is not None:
                first(state)
            act()
            if last is not None:
                last(state)
        except SwapNetError as error:
            return self._fail(name, str(error))
        except Exception as error:  # a bug, of ours or of a user's network: with its traceback
            return self._fail(name, f"{type(error).__name__}: {error}", traceback.format_exc())
        self.failed_transition = ""
        return Transition.SUCCESS

    def _fail(self, name: str, reason: str, details: str = "") -> Transition:
        self.failed_transition, self.last_problem = name, reason
        self.get_logger().error(f"cannot {name}: {reason}\n{details}".rstrip())
        return Transition.FAILURE

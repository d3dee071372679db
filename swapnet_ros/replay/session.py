"""A scenario's live nodes, loaded once, into which a bag is played as often as wanted.

[Note: one process for all plays]
All plays go into the same process: loading takes minutes at its first time, the core's plans rest
on what it saw of late, and a robot's process has run for a while, too. Every play has counters of
its own, as differences to those before it, and begins only once the one before has come to rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.stop_request import StopRequest
from swapnet_ros.evaluation.network_account import NetworkAccount
from swapnet_ros.msg import SwapStatus
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.dds_environment import prefer_shared_memory
from swapnet_ros.nodes.hosted_nodes import CORE_NODE
from swapnet_ros.nodes.live_run import LiveRunError, crash_of, wait_until_loaded
from swapnet_ros.replay.frame_totals import TaskTotals
from swapnet_ros.replay.memory_watch import MemorySample, MemoryWatch
from swapnet_ros.replay.play_record import PlayRecord
from swapnet_ros.replay.player_command import Player, read_summary
from swapnet_ros.replay.replay_job import ReplayJob
from swapnet_ros.replay.replay_monitor import ReplayMonitor

_SPIN_S = 0.05
_QUIET_S = 3.0  # longer than diagnostics take to come round
_TOLD_LIMIT_S = 10.0  # status and accounts come once per second, from nodes that find the listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One play and what came of it.

    Attributes:
        rate: bag seconds per second, as asked for.
        reached_rate: as `/clock` showed it; None where the bag's time never moved.
        record: the results.
        totals: each task node's counters over the play.
        played: images by topic of the bag, as the project's own player told; None where it did not.
        clock_ns: the bag's time at the end.
        elapsed_s: from the beginning of the bag's time to the last result.
        status: the core's newest.
        memory: of the nodes' process.
        failure: why the play broke off; None where nothing failed.
        is_complete: the bag was played to its end.
    """

    rate: float
    reached_rate: float | None
    record: PlayRecord
    totals: Mapping[str, TaskTotals]
    played: Mapping[str, int] | None
    clock_ns: int
    elapsed_s: float
    status: SwapStatus
    memory: tuple[MemorySample, ...]
    failure: LiveRunError | None
    is_complete: bool


class ReplaySession:
    """The nodes' process and a listener to it. For the main thread; use it as a context manager."""

    def __init__(
        self,
        job: ReplayJob,
        player: Player,
        *,
        logs: Path,
        stop: StopRequest,
        show: Callable[[str], None],
    ) -> None:
        """Start the nodes; `load` waits for them.

        Args:
            job: what they are told.
            player: plays the bag.
            logs: folder for what the processes print.
            stop: made when the user wants no more.
            show: told in a few words what is going on, several times per second.
        """
        self._player, self._logs, self._stop, self._show = player, logs, stop, show
        prefer_shared_memory(installed("share") / "config" / "fastdds_shared_memory.xml")
        with ExitStack() as stack:
            rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self._monitor = ReplayMonitor(job.nodes)
            stack.callback(self._monitor.destroy_node)
            self._executor = SingleThreadedExecutor()
            self._executor.add_node(self._monitor)
            stack.callback(self._executor.shutdown)
            command = [str(installed("lib") / "perception"), "--ros-args", *job.ros_arguments]
            self._perception = stack.enter_context(
                ChildProcess("perception", command, log=logs / "perception.log")
            )
            self._closing = stack.pop_all()

    def __repr__(self) -> str:
        return f"<ReplaySession of {self._perception!r}>"

    def __enter__(self) -> ReplaySession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the nodes and the listener; may be called again."""
        self._closing.close()

    def load(self) -> None:
        """Wait until all networks are loaded, and the core has told of itself.

        Raises:
            LiveRunError: a network cannot be loaded, or the process has ended.
            InputError: somebody else uses the topics.
            KeyboardInterrupt: a stop was asked for.
        """
        wait_until_loaded(self._monitor, self._spin_while_loading, self._perception)
        self._wait_for_status()
        for topic in (*(each.played_as for each in self._player.topics), "/clock"):
            self._require_publishers(topic, most=0)
        self._require_publishers(f"/{CORE_NODE}/status", most=1)

    def play(self, rate: float) -> Play:
        """Play the bag once, and wait for the last results.

        A stop ends the player; what was played until then is waited for. What fails once images
        are played is told in the play.

        Raises:
            LiveRunError: a process ended before anything was played.
        """
        monitor, watch = self._monitor, MemoryWatch()
        monitor.begin_play()
        before = dict(monitor.totals)
        command = self._player.command(rate)
        failure: LiveRunError | None = None
        with ChildProcess("bag_player", command, log=self._logs / "bag_player.log") as child:
            try:
                self._until_played(child, watch, rate)
                self._until_quiet(before, watch)
            except LiveRunError as error:
                failure = error
            child.stop()
            played = read_summary(child.last_lines(1))
        if monitor.status is None or (failure is not None and not monitor.clock.now_ns):
            raise failure or LiveRunError("the core has told nothing of itself")
        return Play(
            rate=rate,
            reached_rate=monitor.clock.rate,
            record=monitor.record,
            totals={name: monitor.totals[name].since(each) for name, each in before.items()},
            played=played,
            clock_ns=monitor.clock.now_ns,
            elapsed_s=self._elapsed_s(),
            status=monitor.status,
            memory=tuple(watch.samples),
            failure=failure,
            is_complete=failure is None and not self._stop.is_made,
        )

    def accounts(self) -> dict[str, NetworkAccount]:
        """Ask what the core knows of every task's network now, its last inference included.

        Nodes that do not answer in time are left out.

        Raises:
            LiveRunError: the nodes' process has ended.
        """
        monitor, end_s = self._monitor, time.monotonic() + _TOLD_LIMIT_S
        monitor.accounts.clear()
        with monitor.listening_to_accounts():
            while len(monitor.accounts) < len(monitor.totals) and time.monotonic() < end_s:
                self._show("hearing of the last inferences")
                self._spin(None)
        return dict(monitor.accounts)

    def _until_played(self, player: ChildProcess, watch: MemoryWatch, rate: float) -> None:
        while player.exit_code is None and not self._stop.is_made:
            self._show(self._describe(f"rate {rate:.3g}"))
            self._spin(watch)
        if self._stop.is_made:
            player.stop()
        elif player.exit_code != 0:
            raise crash_of(player)

    def _until_quiet(self, before: Mapping[str, TaskTotals], watch: MemoryWatch) -> None:
        """Wait until every image is accounted for, or nothing happens any more."""
        monitor, begin_s = self._monitor, time.monotonic()
        seen, changed_s = (dict(monitor.totals), monitor.record.heard), begin_s
        while True:
            self._show(self._describe("finishing"))
            self._spin(watch)
            now = dict(monitor.totals), monitor.record.heard
            if now != seen:
                seen, changed_s = now, time.monotonic()
            if all(self._is_settled(name, each, begin_s) for name, each in before.items()):
                return
            if time.monotonic() - changed_s > _QUIET_S + self._round_s():
                return

    def _is_settled(self, task: str, before: TaskTotals, since_s: float) -> bool:
        """Whether a node has told since then that nothing is left, and all its results are here."""
        monitor = self._monitor
        now = monitor.totals[task]
        return (
            monitor.heard_s[task] > since_s
            and now.unfinished == 0
            and monitor.record.heard[task] >= now.since(before).processed
        )

    def _round_s(self) -> float:
        """How long a result may take at most: all others' turns, and what was seen so far."""
        status = self._monitor.status
        models = status.models if status is not None else ()
        seen_s = (
            parts.latency_s
            for name in self._monitor.totals
            for parts in self._monitor.record.parts(name)[-10:]
        )
        return max(2 * sum(model.predicted_latency_s for model in models), *seen_s, 0.0)

    def _elapsed_s(self) -> float:
        began_s, last_s = self._monitor.clock.began_s, self._monitor.record.last_heard_s
        return 0.0 if began_s is None or last_s is None else max(0.0, last_s - began_s)

    def _wait_for_status(self) -> None:
        """Memory is watched from the core's first status on; it may be slow to find us."""
        end_s = time.monotonic() + _TOLD_LIMIT_S
        while self._monitor.status is None and time.monotonic() < end_s:
            self._spin_while_loading()

    def _spin_while_loading(self) -> None:
        if self._stop.is_made:
            raise KeyboardInterrupt
        self._show(f"loading {', '.join(self._monitor.waiting_for) or 'is over'}")
        self._spin(None)

    def _spin(self, watch: MemoryWatch | None) -> None:
        """Serve callbacks for a moment, then look at the nodes' process."""
        end_s = time.monotonic() + _SPIN_S
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)
        if self._perception.exit_code is not None:
            raise crash_of(self._perception)
        status = self._monitor.status
        # A short play may be over before its clock is heard.
        has_begun = self._monitor.clock.now_ns or any(self._monitor.record.heard.values())
        if watch is not None and status is not None and has_begun:
            held_bytes = self._perception.anonymous_bytes() - status.baseline_bytes
            watch.look(
                core_bytes=status.leased_bytes,
                process_bytes=max(0, held_bytes),
                budget_bytes=status.budget_bytes,
            )

    def _describe(self, phase: str) -> str:
        results = ", ".join(f"{name} {n}" for name, n in self._monitor.record.heard.items())
        return f"{phase}: {results}"

    def _require_publishers(self, topic: str, *, most: int) -> None:
        if self._monitor.count_publishers(topic) > most:
            raise InputError(
                f"somebody else publishes on {topic} in this ROS domain, which would be measured, "
                "too; stop them, or give the replay a domain of its own: ROS_DOMAIN_ID=77 swapnet "
                "evaluate ..."
            )


def installed(part: str) -> Path:
    """Return the package's folder in a part of its install space: `lib` or `share`.

    Raises:
        InputError: the package is not in a sourced workspace.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        return Path(get_package_prefix("swapnet_ros"), part, "swapnet_ros")
    except PackageNotFoundError as error:
        raise InputError(
            "--mode replay starts the nodes of the ROS package swapnet_ros, and no sourced "
            "workspace has it; build it and source its install/setup.bash"
        ) from error

"""A scenario under load for minutes, with cameras that are killed, get stuck, race, and lie.

    make endurance SCENARIO=self_driving MINUTES=10 IMAGES='/data/road/*.jpg'

The real nodes run in one process, as `ros2 launch` starts them, on a budget of the networks' demand
over 2.32. Every node takes the five cameras of `drill/troubles.py`, each a process of its own, over
DDS. Prints what was seen and checked as Markdown, and leaves it in `out/` with the logs. Exit code
0: everything held; 1: a check failed; 2: it could not be run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from drill.checks import OUTCOMES, RATIO, check_all
from drill.crew import CameraCrew
from drill.listener import Listener
from drill.process_figures import Holdings, read_holdings
from drill.record import Drill, SentLog
from drill.report import markdown, write_json
from drill.scenario import (
    ScenarioError,
    demand_bytes,
    executable,
    find_scenario,
    hosted_nodes,
    result_topics,
    write_parameters,
)
from drill.troubles import CAMERAS, CYCLE_S, orders

from swapnet_core.errors import SwapNetError
from swapnet_core.sizes import format_size
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.dds_environment import prefer_shared_memory
from swapnet_ros.nodes.hosted_nodes import HostedNode

EXIT_FAILED, EXIT_USAGE = 1, 2

_ROOT = Path(__file__).resolve().parents[1]
_MAX_AGE_S = 3.0
_LOADING_S = 600.0
_WARM_RESULTS = 3
_SETTLING_S = 60.0
_SAMPLE_S = 1.0
_POLL_S = 0.1


class Endurance:
    """One run from the plan to the end of all processes. For the main thread."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._path: Path = find_scenario(options.scenario)
        self._nodes: Sequence[HostedNode] = hosted_nodes(self._path)
        self._duration_s: float = options.minutes * 60.0
        self._images: str = options.images
        self._out: Path = options.out.resolve()
        self._topics: Mapping[str, list[str]] = {node.name: [] for node in self._nodes}
        for topic in result_topics(self._nodes):
            self._topics[topic.node].append(topic.topic)
        self._holdings: list[Holdings] = []
        self._problems: list[str] = []

    def run(self) -> Drill:
        """Do everything.

        Raises:
            ScenarioError: the process or a camera does not get going.
        """
        self._out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            crew = stack.enter_context(CameraCrew(CAMERAS, images=self._images, out=self._out))
            demand = demand_bytes(self._path, ratio=RATIO)
            _say(f"{self._path.stem}: {len(self._nodes)} nodes, demand {format_size(demand)}")
            listener = stack.enter_context(Listener(result_topics(self._nodes)))
            perception = stack.enter_context(self._start_perception(int(demand / RATIO)))
            self._wait_until(
                lambda: all(listener.state(node.name) == "active" for node in self._nodes),
                perception,
                patience_s=_LOADING_S,
                what="all nodes to be active",
            )
            self._start_cameras(crew, listener, perception)
            self._play(crew, perception)
            silences_s = dict(listener.silences_s)
            crew.stop()
            self._settle(listener, perception)
            errors = list(listener.errors)
        self._read_ends(perception)
        return Drill(
            scenario=self._path.stem,
            demand_bytes=demand,
            max_age_s=_MAX_AGE_S,
            duration_s=self._duration_s,
            topics=self._topics,
            sent={each.name: SentLog.read(crew.sent_log(each.name)) for each in CAMERAS},
            heard=listener.heard,
            counts={node: _counts(listener.values[node]) for node in self._topics},
            silences_s=silences_s,
            core=listener.core,
            holdings=self._holdings,
            kills=crew.kills,
            returns_ns=crew.returns_ns,
            problems=[*errors, *self._problems],
        )

    def _start_perception(self, budget_bytes: int) -> ChildProcess:
        cameras = {"cameras": [each.name for each in CAMERAS], "max_age_s": _MAX_AGE_S}
        sections = {"swapnet": {"budget": f"{budget_bytes}B"}}
        changes = self._out / "changes.yaml"
        write_parameters(changes, {**sections, **dict.fromkeys(self._topics, cameras)})
        files = [part for path in (self._path, changes) for part in ("--params-file", str(path))]
        command = [executable("perception"), "--ros-args", *files]
        return ChildProcess("perception", command, log=self._out / "perception.log")

    def _start_cameras(
        self, crew: CameraCrew, listener: Listener, perception: ChildProcess
    ) -> None:
        """Return when the nodes are at work; from then on a silence is one of the drill's."""
        crew.start()

        def are_warm() -> bool:
            done = Counter(each.topic for each in listener.heard)
            return all(done[topics[0]] >= _WARM_RESULTS for topics in self._topics.values())

        self._wait_until(
            lambda: crew.ended() or are_warm(),
            perception,
            patience_s=_LOADING_S,
            what="the first results of all nodes",
        )
        if crew.ended():
            raise ScenarioError(f"cameras ended: see {self._out}/camera_{crew.ended()[0]}.log")
        listener.silences_s.clear()

    def _play(self, crew: CameraCrew, perception: ChildProcess) -> None:
        """Give the cameras their orders, and look at the process every second."""
        begin_s = time.monotonic()
        due = list(orders(self._duration_s))
        while (now_s := time.monotonic() - begin_s) < self._duration_s:
            while due and due[0].due_s <= now_s:
                crew.obey(due.pop(0))
            if perception.exit_code is not None:
                raise ScenarioError(f"perception ended:\n{perception.last_lines()}")
            if not self._holdings or now_s >= self._holdings[-1].at_s + _SAMPLE_S:
                self._holdings.append(read_holdings(perception.pid, now_s))
            time.sleep(_POLL_S)
        self._problems += [f"camera {name} ended by itself" for name in crew.ended()]

    def _settle(self, listener: Listener, perception: ChildProcess) -> None:
        """Deactivate the nodes, and wait for the counts that are final then."""
        for node in self._topics:
            if not listener.deactivate(node):
                self._problems.append(f"{node} was not deactivated")
        listener.values.clear()
        self._wait_until(
            lambda: all(listener.state(node) == "inactive" for node in self._topics),
            perception,
            patience_s=_SETTLING_S,
            what="all nodes to be inactive",
        )

    def _read_ends(self, perception: ChildProcess) -> None:
        if perception.exit_code != 0:
            self._problems.append(f"perception ended with exit code {perception.exit_code}")
        lines = (self._out / "perception.log").read_text(errors="replace").splitlines()
        marks = ("[ERROR]", "Traceback")
        self._problems += [line for line in lines if any(mark in line for mark in marks)]

    def _wait_until(
        self,
        is_so: Callable[[], object],
        perception: ChildProcess,
        *,
        patience_s: float,
        what: str,
    ) -> None:
        end_s = time.monotonic() + patience_s
        while not is_so():
            if perception.exit_code is not None or time.monotonic() > end_s:
                raise ScenarioError(f"waited in vain for {what}:\n{perception.last_lines()}")
            time.sleep(_POLL_S)


def _counts(values: Mapping[str, str]) -> dict[str, int]:
    return {name: int(values[name]) for name in ("received", *OUTCOMES)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", help="One of config/, or a parameter file of your own.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--images", default="", help="Pattern of files; empty: a drawn road.")
    parser.add_argument("--out", type=Path, default=Path("out/endurance"))
    options = parser.parse_args(arguments)
    if options.minutes * 60.0 < CYCLE_S:
        parser.error(f"--minutes: {CYCLE_S / 60.0:g} at least, in which every trouble comes once")
    return options


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one drill and judge it."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    prefer_shared_memory(_ROOT / "config" / "fastdds_shared_memory.xml")
    try:
        drill = Endurance(options).run()
    except (ScenarioError, SwapNetError) as error:
        _say(f"endurance: {error}")
        return EXIT_USAGE
    findings = check_all(drill)
    text = markdown(drill, findings)
    (options.out / "endurance.md").write_text(text, encoding="utf-8")
    write_json(options.out / "endurance.json", drill, findings)
    print(text)
    return 0 if all(each.holds for each in findings) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())

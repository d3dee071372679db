"""Which share of a scenario's processor time is not the networks' compute, and what it is.

    make cpu-share

The real nodes run in this process, since only from inside a thread's number leads to its name. A
camera process feeds them over DDS with 1280x720 at 30 Hz, another process hears their results. The
networks compute on one thread, so that every thread has one purpose; with more of them compute
takes more, and the rest weighs less. Prints a table of groups of threads, and leaves all threads in
`out/`. Exit code 1: the share that is not compute is above the target.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from drill.crew import CameraCrew
from drill.process_figures import read_thread_times
from drill.report import table
from drill.scenario import ScenarioError, find_scenario, write_parameters
from drill.thread_groups import COMPUTE, group_of
from drill.troubles import CameraSpec

from swapnet_core.errors import SwapNetError
from swapnet_ros.evaluation.run_summary import describe_machine, describe_versions
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.container import PerceptionHost
from swapnet_ros.nodes.dds_environment import prefer_shared_memory

EXIT_FAILED, EXIT_USAGE = 1, 2
TARGET_SHARE = 0.10

_BENCHMARKS = Path(__file__).resolve().parent
_PROFILE = _BENCHMARKS.parent / "config" / "fastdds_shared_memory.xml"
_CAMERA = CameraSpec(name="front", rate_hz=30.0, story="1280x720, bgr8")
_LOADING_S = 600.0
_WARM_UP_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadShare:
    """One thread's part of the processor time of the measurement."""

    group: str
    name: str
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuShares:
    """What was measured.

    Attributes:
        wall_s: length of the measurement.
        process_cpu_s: processor time of the whole process, from its own clock.
        threads: every thread that was there at the end.
        frames: images received and processed meanwhile, by node.
    """

    wall_s: float
    process_cpu_s: float
    threads: tuple[ThreadShare, ...]
    frames: Mapping[str, tuple[int, int]]

    def by_group(self) -> dict[str, float]:
        """Processor time by group, most first."""
        found: dict[str, float] = {}
        for thread in self.threads:
            found[thread.group] = found.get(thread.group, 0.0) + thread.cpu_s
        ended_s = self.process_cpu_s - sum(found.values())
        found["threads that ended, and rounding"] = max(0.0, ended_s)
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def other_share(self) -> float:
        """Part of the processor time that is not the networks' compute."""
        return 1.0 - self.by_group().get(COMPUTE, 0.0) / self.process_cpu_s


def measure(host: PerceptionHost, seconds: float) -> CpuShares:
    """Measure a process whose nodes are at work."""
    frames_before = _frames(host)
    before, begin_cpu_s, begin_s = (
        read_thread_times(os.getpid()),
        time.process_time(),
        time.monotonic(),
    )
    time.sleep(seconds)
    after, cpu_s = read_thread_times(os.getpid()), time.process_time() - begin_cpu_s
    wall_s = time.monotonic() - begin_s
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    threads = []
    for number, thread in after.items():
        name = names.get(number, thread.name)
        spent_s = thread.cpu_s - (before[number].cpu_s if number in before else 0.0)
        group = group_of(name, is_python=number in names)
        threads.append(ThreadShare(group=group, name=name, cpu_s=spent_s))
    threads.sort(key=lambda each: -each.cpu_s)
    frames = {
        node: (received - frames_before[node][0], processed - frames_before[node][1])
        for node, (received, processed) in _frames(host).items()
    }
    return CpuShares(wall_s=wall_s, process_cpu_s=cpu_s, threads=tuple(threads), frames=frames)


def _frames(host: PerceptionHost) -> dict[str, tuple[int, int]]:
    counts = {task.get_name(): task.counts for task in host.tasks}
    return {name: (each.received, each.processed) for name, each in counts.items()}


def run(options: argparse.Namespace) -> CpuShares:
    """Bring the nodes up, feed them, and measure.

    Raises:
        ScenarioError: they do not get going.
        SwapNetError: the scenario has mistakes.
    """
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    path = find_scenario(options.scenario)
    changes = write_parameters(out / "changes.yaml", {"*": {"cameras": [_CAMERA.name]}})
    files = [part for each in (path, changes) for part in ("--params-file", str(each))]
    with ExitStack() as stack:
        host = stack.enter_context(PerceptionHost(["--ros-args", *files]))
        listening = [sys.executable, "-m", "drill.listener", str(path)]
        log = out / "listener.log"
        stack.enter_context(ChildProcess("listener", listening, log=log, folder=_BENCHMARKS))
        crew = stack.enter_context(CameraCrew((_CAMERA,), images=options.images, out=out))
        host.start()
        crew.start()
        _wait_for_results(host)
        time.sleep(_WARM_UP_S)
        return measure(host, options.seconds)


def _wait_for_results(host: PerceptionHost) -> None:
    end_s = time.monotonic() + _LOADING_S
    while any(processed == 0 for _, processed in _frames(host).values()):
        if time.monotonic() > end_s:
            raise ScenarioError(f"not every node has a result after {_LOADING_S:g} s: {host!r}")
        time.sleep(_POLL_S)


def markdown(shares: CpuShares) -> str:
    """Write the groups with their shares, and what the nodes did meanwhile."""
    groups = [
        [name, f"{cpu_s:.2f}", f"{cpu_s / shares.process_cpu_s:.2%}"]
        for name, cpu_s in shares.by_group().items()
    ]
    groups.append(["**not compute**", "", f"**{shares.other_share:.2%}**"])
    nodes = [
        [f"`{node}`", f"{received / shares.wall_s:.1f}", f"{processed / shares.wall_s:.2f}"]
        for node, (received, processed) in shares.frames.items()
    ]
    whole = (
        f"{shares.process_cpu_s:.1f} s of processor time in {shares.wall_s:.1f} s, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    return "\n\n".join(
        (
            whole,
            table(["threads", "CPU, s", "share"], groups),
            table(["node", "images per s received", "processed"], nodes),
        )
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="?", default="self_driving")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--images", default="", help="Pattern of files; empty: a drawn road.")
    parser.add_argument("--out", type=Path, default=Path("out/cpu_share"))
    return parser.parse_args(arguments)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and judge."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    prefer_shared_memory(_PROFILE)
    try:
        shares = run(options)
    except (ScenarioError, SwapNetError) as error:
        print(f"cpu_share: {error}", file=sys.stderr)
        return EXIT_USAGE
    facts = {
        **asdict(shares),
        "by_group_s": shares.by_group(),
        "other_share": shares.other_share,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    (options.out / "cpu_share.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(markdown(shares))
    return 0 if shares.other_share <= TARGET_SHARE else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())

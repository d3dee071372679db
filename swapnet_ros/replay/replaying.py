"""One replay: a bag played into a scenario's nodes, at one or several rates, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swapnet_core.cache import default_cache_dir
from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.direct.account_files import write_accounts
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.evaluation.direct.evaluation import read_outcome
from swapnet_ros.evaluation.direct.figures import write_figures
from swapnet_ros.evaluation.direct.origin import describe_commit, describe_storage
from swapnet_ros.evaluation.direct.progress_file import read_progress
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.evaluation.direct.scoring import Scoring
from swapnet_ros.evaluation.direct.stop_request import StopRequest
from swapnet_ros.evaluation.network_account import NetworkAccount
from swapnet_ros.evaluation.run_summary import describe_machine, describe_versions
from swapnet_ros.nodes.live_run import LiveRunError
from swapnet_ros.replay.answered_frames import AnsweredFrames, count_played, remove_stale
from swapnet_ros.replay.memory_watch import write_memory
from swapnet_ros.replay.player_command import Player, require_ros2bag, storage_of
from swapnet_ros.replay.player_kind import PlayerKind
from swapnet_ros.replay.rate_search import (
    SearchBounds,
    Trial,
    describe_search,
    highest_kept_up,
    next_rate,
)
from swapnet_ros.replay.replay_figures import play_figures, status_figures, task_figures
from swapnet_ros.replay.replay_job import ReplayJob, make_job
from swapnet_ros.replay.session import Play, ReplaySession, installed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What to replay.

    Attributes:
        bag: its path.
        config: the scenario's parameter file.
        out: folder of the report; made where there is none.
        tasks: of the scenario, joined with the bag's topics.
        budget: goes before the scenario's; empty for that one.
        scenario_budget: the scenario's own.
        cache_dir: for block files; None for the user's cache folder.
        rates: to play at, one after the other. The report is of the first one.
        is_searching: go on from there to the highest rate that the nodes keep up with.
        player: who plays.
        configuration: what the user asked for, of JSON types, for the figures.
    """

    bag: Path
    config: Path
    out: Path
    tasks: Sequence[DirectTask]
    budget: str
    scenario_budget: str
    cache_dir: Path | None
    rates: tuple[float, ...] = (1.0,)
    is_searching: bool = False
    player: PlayerKind = PlayerKind.OWN
    configuration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def topics(self) -> list[str]:
        """The bag's topics that the tasks look at, each once."""
        return list(dict.fromkeys(topic for task in self.tasks for topic in task.topics))


def replay_bag(
    request: ReplayRequest, bag: BagReader, scoring: Scoring, show: Callable[[str], None]
) -> dict[str, Any]:
    """Play a bag into the scenario's nodes, and leave the report's files.

    Ctrl-C ends the play, and leaves a report of what was played so far.

    Args:
        request: what to replay.
        bag: opened, of the same path.
        scoring: where accuracy is counted.
        show: told in a few words what is going on, several times per second.

    Returns:
        The figures, as they stand in `figures.json`, with the results' accuracy and problems.

    Raises:
        InputError: the bag has no images for the tasks, or something that is needed is not there.
        LiveRunError: a process failed. Where images had been played before, a report of them is
            there all the same.
        KeyboardInterrupt: a stop was asked for before anything was played.
    """
    _check(request, bag)
    job = make_job(
        request.config,
        request.tasks,
        bag.topics,
        budget=request.budget,
        cache_dir=request.cache_dir,
    )
    with StopRequest() as stop:
        run = _Run(request, bag, scoring)
        player = Player(
            kind=request.player,
            bag=request.bag.absolute(),
            topics=job.topics,
            program=installed("lib") / "bag_player",
            storage=storage_of(bag),
        )
        play, played = run.play_all(job, player, stop, show)
        show("writing the report")
        outcome = run.report(play, played)
    if run.failure is not None:
        raise run.failure
    return outcome


class _Run:
    """The plays of one replay, and what is kept of them. For the main thread."""

    def __init__(self, request: ReplayRequest, bag: BagReader, scoring: Scoring) -> None:
        self._request, self._bag, self._scoring = request, bag, scoring
        self._rows: list[dict[str, Any]] = []
        self._accounts: dict[str, NetworkAccount] = {}
        self.failure: LiveRunError | None = None

    def __repr__(self) -> str:
        return f"<_Run of {len(self._rows)} plays>"

    def play_all(
        self, job: ReplayJob, player: Player, stop: StopRequest, show: Callable[[str], None]
    ) -> tuple[Play, dict[str, int]]:
        """Play at all rates; what fails once there is something to report is kept in `failure`.

        Returns:
            The first play, and how many images of each topic were played in it.
        """
        logs = self._request.out
        logs.mkdir(parents=True, exist_ok=True)
        with ReplaySession(job, player, logs=logs, stop=stop, show=show) as session:
            session.load()
            first = self._keep(session.play(self._request.rates[0]))
            try:
                if self.failure is None:
                    self._accounts = session.accounts()
                for rate in self._further_rates():
                    if stop.is_made or self.failure is not None:
                        break
                    self._keep(session.play(rate))
            except LiveRunError as error:  # raised again once the report is written
                self.failure = error
        return first

    def report(self, play: Play, played: Mapping[str, int]) -> dict[str, Any]:
        """Write all files: of the first play, with a row of figures for each."""
        request = self._request
        folder = ReportFolder(path=request.out)
        remove_stale(folder)
        is_complete = all(row["complete"] for row in self._rows)
        frames = AnsweredFrames(folder, request.tasks, play.record)
        answers = frames.take_all(self._bag, played, self._scoring, is_complete=is_complete)
        write_memory(folder.memory, play.memory)
        write_accounts(folder, self._accounts, {task.name: task.rate_hz for task in request.tasks})
        figures = {
            "mode": "replay",
            "complete": is_complete,
            "frames_done": answers.frames,
            "frames_played": sum(played.values()),
            "frames_in_bag": sum(self._bag.image_topics[topic] for topic in request.topics),
            "budget": request.budget or request.scenario_budget,
            "player": request.player.value,
            "rate": play.rate,
            "reached_rate": play.reached_rate,
            "elapsed_s": play.elapsed_s,
            "frames_per_s": answers.frames / play.elapsed_s if play.elapsed_s else 0.0,
            **status_figures(play.status),
            "process_peak_bytes": self._rows[0]["process_peak_bytes"],
            "tasks": task_figures(self._rows[0], play, answers),
            "rates": self._rows,
            **self._search_figures(),
            "cache": describe_storage(request.cache_dir or default_cache_dir()),
            "machine": describe_machine(),
            "versions": describe_versions(),
            "commit": describe_commit(),
            "configuration": dict(request.configuration),
        }
        write_figures(folder.figures, figures)
        return read_outcome(folder)

    def _further_rates(self) -> Iterator[float]:
        """Rates after the first; those of a search follow from the plays before."""
        yield from self._request.rates[1:]
        if self._request.is_searching:
            while (rate := next_rate(self._trials(), SearchBounds())) is not None:
                yield rate

    def _keep(self, play: Play) -> tuple[Play, dict[str, int]]:
        request = self._request
        until_ns = None if play.is_complete else play.clock_ns
        played = count_played(self._bag, request.topics, play.played, until_ns=until_ns)
        self._rows.append(play_figures(play, request.tasks, played))
        self.failure = play.failure
        return play, played

    def _trials(self) -> list[Trial]:
        return [
            Trial(rate=row["rate"], drop_share=row["drop_share"])
            for row in self._rows
            if row["complete"]
        ]

    def _search_figures(self) -> dict[str, Any]:
        """The highest rate with few enough drops; null where there is none among the plays."""
        trials = self._trials()
        found: dict[str, Any] = {"highest_rate": highest_kept_up(trials)}
        if self._request.is_searching and trials:
            found["rate_search"] = describe_search(trials, SearchBounds())
        return found


def _check(request: ReplayRequest, bag: BagReader) -> None:
    for topic in request.topics:
        with closing(bag.stored_messages((topic,))) as messages:
            if next(messages, None) is None:
                raise InputError(
                    f"{topic} has no images in {request.bag}; `swapnet bag {request.bag} --info` "
                    "lists what it has"
                )
    earlier = read_progress(ReportFolder(path=request.out).progress)
    if earlier is not None and earlier.frames and not earlier.is_complete:
        raise InputError(
            f"{request.out} has an evaluation in direct mode that was stopped after "
            f"{earlier.frames} frames; give another --out, or remove that folder to give it up"
        )
    if request.player is PlayerKind.ROS2BAG:
        require_ros2bag()

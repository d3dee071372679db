"""`swapnet evaluate --mode replay`: a bag played into a scenario's live nodes."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import typer
from rich.console import Console

from swapnet_core.errors import InputError, SwapNetError
from swapnet_ros.cli.evaluate import Mode
from swapnet_ros.cli.evaluate_inputs import open_inputs, say
from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.cli.evaluate_pages import write_pages
from swapnet_ros.cli.evaluate_runs import evaluate_each
from swapnet_ros.cli.evaluate_scenario import JoinedScenario
from swapnet_ros.cli.replay_view import replay_tables
from swapnet_ros.evaluation.direct.budget_words import UNLIMITED
from swapnet_ros.evaluation.direct.report_folder import ReportFolder
from swapnet_ros.replay.live_comparison import write_live_comparison
from swapnet_ros.replay.player_kind import PlayerKind

_FAILED, _STOPPED = 1, 130
DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayWords:
    """What only a replay takes, as the command line has it.

    Attributes:
        rate: of `--rate`.
        rates: of `--rates`, with commas.
        is_searching: of `--find-rate`.
        player: of `--player`.
        against: of `--against`.
    """

    rate: float | None = None
    rates: str | None = None
    is_searching: bool = False
    player: PlayerKind | None = None
    against: str | None = None

    def require_none(self) -> None:
        """Make sure that direct mode was not asked for something that only a replay does.

        Raises:
            InputError: it was.
        """
        given = {
            "--rate": self.rate,
            "--rates": self.rates,
            "--find-rate": self.is_searching or None,
            "--player": self.player,
        }
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option} says how a bag is played: add --mode replay")

    def play_rates(self) -> tuple[float, ...]:
        """The rates to play at, one after the other.

        Raises:
            InputError: a rate that cannot be, or words that do not go together.
        """
        ways = [self.rate is not None, self.rates is not None, self.is_searching]
        if sum(ways) > 1:
            raise InputError("give one of --rate, --rates and --find-rate")
        if self.rates is None:
            return (1.0 if self.rate is None else _rate(str(self.rate)),)
        rates = tuple(_rate(word) for word in self.rates.split(",") if word.strip())
        if not rates or len(set(rates)) < len(rates):
            raise InputError("--rates takes different rates with commas: 0.5,1,2")
        return rates


def evaluate_live(
    options: EvaluateOptions, words: ReplayWords, *, budgets: str | None, as_json: bool
) -> None:
    """Replay a bag, and say what came of it.

    Args:
        options: what both modes take.
        words: what only a replay takes.
        budgets: of `--budgets`, which it does not take.
        as_json: print JSON instead of tables.

    Raises:
        InputError: words that do not go together, or something that is needed is not there.
        Exit: with the command's exit code, where that is not 0.
    """
    _check(options, words, budgets)
    rates = words.play_rates()
    outcome = _replay(options, words, rates)
    comparison = None
    if words.against is not None and outcome["complete"]:
        comparison = _compare(options, words.against)
    write_pages([options], with_curve=outcome["complete"])
    if as_json:
        print(json.dumps({**outcome, "comparison": comparison}, indent=2))
    else:
        Console().print(*replay_tables(outcome, comparison), sep="\n")
    if not outcome["complete"]:
        say(f"stopped after {outcome['frames_played']} images; the report is of these")
        raise typer.Exit(_STOPPED)
    if comparison is not None and not comparison["is_equal"]:
        raise typer.Exit(_FAILED)


def _replay(
    options: EvaluateOptions, words: ReplayWords, rates: tuple[float, ...]
) -> dict[str, Any]:
    try:
        from swapnet_ros.nodes.live_run import LiveRunError
        from swapnet_ros.replay.replaying import replay_bag
    except ImportError as error:
        raise InputError(
            f"--mode replay talks to ROS nodes, and {error.name} cannot be imported; source ROS 2 "
            "and this workspace's install/setup.bash first, or leave --mode replay out"
        ) from error
    with ExitStack() as exits:
        inputs = open_inputs(options, exits)
        request = _request(options, words, rates, inputs.scenario)
        status = exits.enter_context(Console(stderr=True).status("starting the nodes"))
        try:
            return replay_bag(request, inputs.bag, inputs.scoring, status.update)
        except LiveRunError as error:
            write_pages([options], with_curve=False)
            say(f"replay: {error}")
            raise typer.Exit(error.exit_code) from error
        except SwapNetError:
            folder = ReportFolder(path=options.out)
            if not folder.page.exists():  # of this replay: an earlier one's was removed
                with suppress(SwapNetError):  # the first error is told
                    write_pages([options], with_curve=False)
            raise
        except KeyboardInterrupt as error:
            say("stopped; no report was written")
            raise typer.Exit(_STOPPED) from error


def _request(
    options: EvaluateOptions,
    words: ReplayWords,
    rates: tuple[float, ...],
    scenario: JoinedScenario,
) -> Any:
    from swapnet_ros.replay.replaying import ReplayRequest

    return ReplayRequest(
        bag=options.bag,
        config=options.config,
        out=options.out,
        tasks=scenario.tasks,
        budget=options.budget,
        scenario_budget=scenario.budget,
        cache_dir=options.cache_dir or scenario.cache_dir,
        rates=rates,
        is_searching=words.is_searching,
        player=words.player or PlayerKind.OWN,
        configuration={
            "command": {**options.to_json(), "mode": Mode.REPLAY.value, "rates": list(rates)},
            "tasks": {task.name: dict(task.values) for task in scenario.tasks},
        },
    )


def _check(options: EvaluateOptions, words: ReplayWords, budgets: str | None) -> None:
    if budgets is not None:
        raise InputError(
            "--budgets compares budgets in direct mode; a replay has one, --budget. Replay once "
            "for each, with an --out of its own"
        )
    if options.budget == UNLIMITED:
        raise InputError(
            "--budget unlimited are the plain networks, which no node runs; --against unlimited "
            "compares a replay with them"
        )
    if options.is_resumed:
        raise InputError("--resume goes on in direct mode; a replay that was stopped starts anew")
    if options.is_recorded:
        raise InputError(
            "--record goes with direct mode; of live nodes, `ros2 bag record` records the topics"
        )
    if words.against not in (None, UNLIMITED, DIRECT):
        raise InputError(
            f"with --mode replay, --against takes `{UNLIMITED}` (the plain networks) or "
            f"`{DIRECT}` (direct mode within the same budget), not {words.against!r}"
        )


def _compare(options: EvaluateOptions, against: str) -> dict[str, Any]:
    """Evaluate the bag in direct mode, in a process of its own, and compare the results."""
    folder = options.out / against
    budget = UNLIMITED if against == UNLIMITED else options.budget
    exit_code = evaluate_each([replace(options, budget=budget, out=folder)])
    if exit_code:
        raise typer.Exit(exit_code)
    return write_live_comparison(ReportFolder(path=options.out), ReportFolder(path=folder))


def _rate(word: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise InputError(f"a rate is how many bag seconds pass in one, such as 0.5, not {word!r}")
    return rate

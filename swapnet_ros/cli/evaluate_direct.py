"""`swapnet evaluate` in direct mode: one budget in this process, or several one after the other."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import typer
from rich.console import Console

from swapnet_core.errors import SwapNetError
from swapnet_ros.cli.evaluate_inputs import open_inputs, say
from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.cli.evaluate_pages import write_pages
from swapnet_ros.cli.evaluate_runs import EndedError, compare_runs, evaluate_each
from swapnet_ros.cli.evaluate_scenario import JoinedScenario
from swapnet_ros.cli.evaluate_view import comparison_table, figures_tables
from swapnet_ros.cli.images_bar import images_bar
from swapnet_ros.evaluation.direct.evaluation import Listeners, evaluate_bag
from swapnet_ros.evaluation.direct.label_spec import LabelSpec
from swapnet_ros.evaluation.direct.request import DirectRequest

_FAILED, _STOPPED = 1, 130


def evaluate_one(options: EvaluateOptions, *, is_part: bool, as_json: bool) -> None:
    """Evaluate one budget, and show what it came to."""
    outcome = _evaluate_here(options, is_part=is_part)
    if not is_part:
        write_pages([options], with_curve=outcome["complete"])
    if as_json:
        print(json.dumps(outcome, indent=2))
    else:
        Console().print(*figures_tables(outcome), sep="\n")
    if not outcome["complete"]:
        say(f"stopped after {outcome['frames_done']} frames; --resume goes on from there")
        raise typer.Exit(_STOPPED)


def _evaluate_here(options: EvaluateOptions, *, is_part: bool) -> dict[str, Any]:
    """Evaluate one budget in this process, with a progress bar.

    Where it ends with an error after some frames, the page is of these.
    """
    done_here = 0
    try:
        with ExitStack() as exits:
            inputs = open_inputs(options, exits)
            request = _request(options, inputs.scenario, inputs.spec)
            progress = exits.enter_context(images_bar())
            bar = progress.add_task(request.budget, total=None)

            def loading(task: str) -> None:
                progress.update(bar, description=f"{request.budget}: loading {task}")

            def done(frames: int, total: int) -> None:
                nonlocal done_here
                done_here = frames
                progress.update(bar, description=request.budget, completed=frames, total=total)

            listeners = Listeners(loading=loading, done=done)
            return evaluate_bag(request, inputs.bag, inputs.scoring, listeners)
    except Exception:
        if done_here and not is_part:
            with suppress(SwapNetError):  # the first error is told
                write_pages([options], with_curve=False)
        raise


def _request(options: EvaluateOptions, scenario: JoinedScenario, spec: LabelSpec) -> DirectRequest:
    return DirectRequest(
        bag=options.bag,
        out=options.out,
        tasks=scenario.tasks,
        budget=options.budget or scenario.budget,
        device=scenario.device,
        host_budget=scenario.host_budget,
        read_priority=scenario.read_priority,
        cache_dir=options.cache_dir or scenario.cache_dir,
        is_resumed=options.is_resumed,
        is_recorded=options.is_recorded,
        labels=spec.to_json(),
        configuration={
            "command": options.to_json(),
            "tasks": {task.name: dict(task.values) for task in scenario.tasks},
        },
    )


def evaluate_several(options: EvaluateOptions, budgets: list[str], *, as_json: bool) -> None:
    """Evaluate several budgets, each in a process of its own, and compare them."""
    runs = [options] + [
        replace(options, budget=budget, out=options.out / budget) for budget in budgets[1:]
    ]
    try:
        exit_code = evaluate_each(runs)
    except EndedError:
        write_pages(runs, with_curve=False)
        raise
    comparison = {} if exit_code else compare_runs(runs)
    write_pages(runs, with_curve=not exit_code)
    if exit_code:
        raise typer.Exit(exit_code)
    if as_json:
        print(json.dumps(comparison, indent=2))
    else:
        Console().print(comparison_table(comparison))
    if not comparison["is_equal"]:
        raise typer.Exit(_FAILED)

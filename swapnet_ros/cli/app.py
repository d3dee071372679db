"""The `swapnet` command: what users type. Exit codes: 0 done, 1 failed, 2 bad usage or input.

[Note: a command that starts fast]
PyTorch takes seconds to import, and torchvision's operators take PyTorch's compiler along. So this
module and those that declare commands import nothing of it: neither networks nor the core. What a
command needs is imported when it runs, inside its function.
"""

from __future__ import annotations

import contextlib
import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from swapnet_ros.cli.bag import bag
from swapnet_ros.cli.evaluate import evaluate
from swapnet_ros.cli.options import CacheOption, JsonOption
from swapnet_ros.cli.report import report

app = typer.Typer(
    help="Run networks inside a memory budget smaller than they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FAILED, _BAD_INPUT = 1, 2


class Rival(str, Enum):
    """What `bench` can measure beside the core's own plan."""

    TWO_BLOCKS = "two-blocks"


app.command()(bag)


@app.callback()
def swapnet() -> None:
    """Run networks inside a memory budget smaller than they are."""


@app.command()
def bench(
    network: Annotated[
        str, typer.Argument(help="torchvision name, yolov3, ufld_resnet18, or a .cfg file.")
    ],
    shape: Annotated[
        str | None, typer.Option("--input", help="Shape of the input, e.g. 1x3x224x224.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Memory budget, e.g. 96MiB.")] = None,
    budget_ratio: Annotated[float | None, typer.Option(help="Demand over budget.")] = None,
    pairs: Annotated[int, typer.Option(min=1, help="How many paired runs.")] = 10,
    against: Annotated[
        Rival | None, typer.Option(help="A plan to measure in turn with the core's own.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many threads compute; by default torch's choice.")
    ] = None,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Alternate the plain network in memory and the swapped one; print paired ratios."""
    from swapnet_core.sizes import parse_size
    from swapnet_ros.cli.bench_view import bench_table
    from swapnet_ros.cli.networks import named_network, parse_shape
    from swapnet_ros.cli.paired import choose_budget, compute_threads, measure_pairs
    from swapnet_ros.cli.two_blocks import two_block_plan

    found = named_network(network, None if shape is None else parse_shape(shape))
    wanted_bytes = None if budget is None else parse_size(budget)
    rivals = {None: None, Rival.TWO_BLOCKS: two_block_plan}
    bar = Progress(console=Console(stderr=True), transient=True)
    with compute_threads(threads), bar as progress:
        task = progress.add_task(f"{network}: pairs", total=pairs)
        result = measure_pairs(
            found,
            budget_bytes=lambda demand: choose_budget(demand, wanted_bytes, budget_ratio),
            rival=rivals[against],
            pairs=pairs,
            cache_dir=cache_dir,
            progress=lambda done: progress.update(task, completed=done),
        )
    if as_json:
        print(json.dumps(result.to_json(), indent=2))
    else:
        Console().print(bench_table(result))
    if not result.is_right:
        raise typer.Exit(_FAILED)


@app.command()
def plan(
    target: Annotated[
        str, typer.Argument(help="A network as for bench, or a scenario's .yaml file.")
    ],
    shape: Annotated[
        str | None, typer.Option("--input", help="Shape of the input, e.g. 1x3x224x224.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Inferences per second that are wanted.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Memory budget, e.g. 96MiB; a scenario has its own.")
    ] = None,
    budget_ratio: Annotated[float | None, typer.Option(help="Demand over budget.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, unified or auto; a scenario has its own."),
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw the curve into this file.")] = None,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a network or a scenario fits a budget, at which latency and rates."""
    from swapnet_ros.cli.plan_target import find_wanted
    from swapnet_ros.cli.plan_view import plan_json, plan_tables, write_picture
    from swapnet_ros.cli.planning import plan_set, profile_all

    wanted = find_wanted(
        target, shape=shape, rate_hz=rate, budget=budget, ratio=budget_ratio, device=device
    )
    backend = wanted.hardware.backend
    errors = Console(stderr=True)
    for remark in wanted.remarks:
        errors.print(remark, markup=False, highlight=False, soft_wrap=True)
    with errors.status(target) as status, contextlib.closing(backend):
        networks = profile_all(
            wanted.networks,
            hardware=wanted.hardware,
            host_budget_bytes=wanted.host_budget_bytes,
            cache_dir=cache_dir or wanted.cache_dir,
            progress=status.update,
        )
        budget_bytes = wanted.budget_bytes(networks.demand_bytes)
        answer = plan_set(networks, budget_bytes, device_kind=backend.kind, progress=status.update)
        if png is not None:
            write_picture(answer, png)
    if as_json:
        print(json.dumps(plan_json(answer), indent=2))
    else:
        Console().print(plan_tables(answer))
    if not answer.fits:
        raise typer.Exit(_FAILED)


@app.command()
def top(
    once: Annotated[bool, typer.Option(help="Print one round and end.")] = False,
    patience: Annotated[
        float, typer.Option(min=0.1, help="With --once: seconds to wait for a process.")
    ] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Show the perception processes of this ROS domain live: memory, rates, latency, drops."""
    from swapnet_core.errors import InputError

    try:
        from swapnet_ros.cli.top import show_live, show_once
        from swapnet_ros.nodes.status_listener import StatusListener
    except ImportError as error:
        raise InputError(
            f"top talks to ROS nodes, and {error.name} cannot be imported; source ROS 2 and this "
            "workspace's install/setup.bash first"
        ) from error
    if as_json and not once:
        raise InputError("--json goes with --once: a live view has no end")
    with StatusListener() as listener:
        if not once:
            show_live(listener, Console())
        elif not show_once(listener, Console(), as_json=as_json, patience_s=patience):
            Console(stderr=True).print(
                f"no perception process within {patience:g} s; is one running, with the same "
                "ROS_DOMAIN_ID and discovery range?"
            )
            raise typer.Exit(_FAILED)


app.command()(evaluate)
app.command()(report)


@app.command()
def verify(cache_dir: CacheOption = None, as_json: JsonOption = False) -> None:
    """Read every block file in the cache and compare it with its digests."""
    from swapnet_ros.cli.verifying import verify_all, verify_table

    rows = verify_all(cache_dir)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        Console().print(verify_table(rows))
    if any(row["state"] != "good" for row in rows):
        raise typer.Exit(_FAILED)


def main() -> None:
    """Run the command; errors of the input become one line and exit code 2."""
    try:
        app()
    except Exception as error:
        from swapnet_core.errors import SwapNetError

        if not isinstance(error, (SwapNetError, ValueError)):
            raise
        # escaped: an error may name a list, which looks like markup
        text = f"[red]error:[/red] {escape(str(error))}"
        Console(stderr=True).print(text, highlight=False, soft_wrap=True)
        sys.exit(_BAD_INPUT)

"""`swapnet evaluate`: a bag through a scenario's tasks, without ROS or played into its nodes."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from swapnet_ros.cli.options import JsonOption
from swapnet_ros.replay.player_kind import PlayerKind

_REPLAY = "With --mode replay"


class Mode(str, Enum):
    """How a bag gets to the tasks."""

    DIRECT = "direct"
    REPLAY = "replay"


BagArgument = Annotated[
    Path, typer.Argument(help="The bag: its folder, or one .mcap or .db3 file.")
]
ConfigOption = Annotated[Path, typer.Option(help="The scenario's parameter file.")]
OutOption = Annotated[Path, typer.Option(help="Folder for the report.")]
BudgetOption = Annotated[
    str | None,
    typer.Option(help="Memory budget: a size, auto or unlimited; else the scenario's own."),
]
BudgetsOption = Annotated[
    str | None, typer.Option(help="Several budgets, one after the other: 64MiB,128MiB.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        help="`unlimited`: compare with the plain networks. In replay mode, `direct`, too: with "
        "direct mode within the same budget."
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with what was stopped in --out.")
]
RecordOption = Annotated[
    bool, typer.Option("--record", help="Write the results as a bag, too: OUT/results_bag.")
]
RemapOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Another topic, as for a node: image:=/camera/front/image_raw; several times, if "
        "need be."
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Ground truth: a topic of the bag, files, or a .yaml that says more; several times, "
        "if need be."
    ),
]
CacheOption = Annotated[
    Path | None, typer.Option(help="Directory for block files; else the scenario's own.")
]
ModeOption = Annotated[
    Mode, typer.Option(help="direct: without ROS. replay: played into the live nodes.")
]
RateOption = Annotated[
    float | None,
    typer.Option(rich_help_panel=_REPLAY, help="Bag seconds per second; 1 without it."),
]
RatesOption = Annotated[
    str | None,
    typer.Option(rich_help_panel=_REPLAY, help="Several, one after the other: 0.5,1,2."),
]
FindRateOption = Annotated[
    bool,
    typer.Option(
        "--find-rate", rich_help_panel=_REPLAY, help="Find the highest with under 5 % drops."
    ),
]
PlayerOption = Annotated[
    PlayerKind | None,
    typer.Option(rich_help_panel=_REPLAY, help="Who plays; own without it."),
]
PartOption = Annotated[
    bool, typer.Option("--part", hidden=True, help="One of several: leave out the page.")
]


def evaluate(
    bag: BagArgument,
    config: ConfigOption,
    out: OutOption,
    budget: BudgetOption = None,
    budgets: BudgetsOption = None,
    against: AgainstOption = None,
    labels: LabelsOption = None,
    remap: RemapOption = None,
    record: RecordOption = False,
    resume: ResumeOption = False,
    cache_dir: CacheOption = None,
    as_json: JsonOption = False,
    is_part: PartOption = False,
    mode: ModeOption = Mode.DIRECT,
    rate: RateOption = None,
    rates: RatesOption = None,
    find_rate: FindRateOption = False,
    player: PlayerOption = None,
) -> None:
    """Run a bag's images through a scenario's tasks; report results, accuracy, time and memory."""
    from swapnet_ros.cli.evaluate_direct import evaluate_one, evaluate_several
    from swapnet_ros.cli.evaluate_options import EvaluateOptions, read_budgets
    from swapnet_ros.cli.evaluate_replay import ReplayWords, evaluate_live

    is_live = mode is Mode.REPLAY
    words = ReplayWords(
        rate=rate, rates=rates, is_searching=find_rate, player=player, against=against
    )
    if not is_live:
        words.require_none()
    chosen = read_budgets(budget, None if is_live else budgets, None if is_live else against)
    options = EvaluateOptions(
        bag=bag,
        config=config,
        out=out,
        budget=chosen[0],
        is_resumed=resume,
        is_recorded=record,
        remaps=tuple(remap or ()),
        labels=tuple(labels or ()),
        cache_dir=cache_dir,
    )
    if is_live:
        evaluate_live(options, words, budgets=budgets, as_json=as_json)
    elif len(chosen) > 1:
        evaluate_several(options, chosen, as_json=as_json)
    else:
        evaluate_one(options, is_part=is_part, as_json=as_json)

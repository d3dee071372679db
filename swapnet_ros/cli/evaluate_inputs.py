"""What both modes of `swapnet evaluate` open before they begin: bag, scenario and ground truth."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console

from swapnet_ros.cli.evaluate_options import EvaluateOptions
from swapnet_ros.cli.evaluate_scenario import JoinedScenario, join_scenario, parse_remaps
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.direct.label_spec import LabelSpec, read_label_spec
from swapnet_ros.evaluation.direct.label_truth import make_scoring
from swapnet_ros.evaluation.direct.scoring import Scoring


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateInputs:
    """A bag, the tasks that look at it, and what their results are compared with."""

    bag: BagReader
    scenario: JoinedScenario
    spec: LabelSpec
    scoring: Scoring


def open_inputs(options: EvaluateOptions, exits: ExitStack) -> EvaluateInputs:
    """Open everything that the options name; remarks about it are told.

    Args:
        options: of the command.
        exits: closes the bag.

    Raises:
        InputError: something is not there, or does not fit.
        BagError: the bag cannot be read.
    """
    bag = exits.enter_context(BagReader(options.bag))
    scenario = join_scenario(options.config, bag.image_topics, parse_remaps(options.remaps))
    for remark in scenario.remarks:
        say(remark)
    spec = read_label_spec(options.labels, tuple(bag.topics))
    scoring = make_scoring(spec, scenario.tasks, exits.enter_context(BagReader(options.bag)))
    return EvaluateInputs(bag=bag, scenario=scenario, spec=spec, scoring=scoring)


def say(text: str) -> None:
    """Tell the user something beside the command's output."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)

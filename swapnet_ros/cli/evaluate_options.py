"""What `swapnet evaluate` was asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swapnet_core.errors import InputError
from swapnet_core.sizes import parse_size
from swapnet_ros.evaluation.direct.budget_words import UNLIMITED

_AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """The words of the command line.

    Attributes:
        bag: folder or file.
        config: the scenario's parameter file.
        out: folder of the report.
        budget: a size, `auto` or `unlimited`; empty for the scenario's own.
        is_resumed: go on with an evaluation that was stopped.
        is_recorded: write the results as a bag, too.
        remaps: `name:=name` each.
        labels: ground truth, as `--labels` has it.
        cache_dir: for block files; None for the scenario's.
    """

    bag: Path
    config: Path
    out: Path
    budget: str
    is_resumed: bool
    is_recorded: bool
    remaps: tuple[str, ...]
    labels: tuple[str, ...]
    cache_dir: Path | None

    def to_json(self) -> dict[str, Any]:
        """Return the words as plain JSON types."""
        return {
            key: str(each) if isinstance(each, Path) else each for key, each in asdict(self).items()
        }

    def command(self) -> list[str]:
        """The command that evaluates just this, in a process of its own, and makes no page."""
        words = [sys.executable, "-m", "swapnet_ros.cli", "evaluate", str(self.bag), "--part"]
        words += ["--config", str(self.config), "--out", str(self.out)]
        words += ["--budget", self.budget] if self.budget else []
        words += ["--resume"] if self.is_resumed else []
        words += ["--record"] if self.is_recorded else []
        words += [word for each in self.remaps for word in ("--remap", each)]
        words += [word for each in self.labels for word in ("--labels", each)]
        words += ["--cache-dir", str(self.cache_dir)] if self.cache_dir is not None else []
        return words


def read_budgets(budget: str | None, budgets: str | None, against: str | None) -> list[str]:
    """Say which budgets are to be evaluated, the report's own first.

    Args:
        budget: of `--budget`; None for the scenario's own, which is returned as "".
        budgets: of `--budgets`, with commas.
        against: of `--against`.

    Raises:
        InputError: words that do not go together, or that name no budget.
    """
    if budget is not None and budgets is not None:
        raise InputError("--budget is one budget and --budgets are several; give one of the two")
    if against not in (None, UNLIMITED):
        raise InputError(f"--against takes `{UNLIMITED}`, not {against!r}; see --budgets")
    chosen = [""] if budget is None else [budget]
    if budgets is not None:
        chosen = [word.strip() for word in budgets.split(",") if word.strip()]
    if not chosen:
        raise InputError("--budgets names none; write them as 64MiB,128MiB")
    chosen += [UNLIMITED] if against is not None and UNLIMITED not in chosen else []
    _check(chosen)
    return chosen


def _check(budgets: Sequence[str]) -> None:
    for budget in budgets:
        if budget not in ("", _AUTO, UNLIMITED):
            try:
                parse_size(budget)
            except ValueError as error:
                raise InputError(f"{error}; or `{_AUTO}`, or `{UNLIMITED}`") from error
    if len(set(budgets)) < len(budgets):
        raise InputError(f"a budget stands in {', '.join(budgets)} twice")

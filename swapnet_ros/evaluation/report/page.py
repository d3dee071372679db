"""Puts the report together: one HTML file that needs nothing beside it, and no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from markupsafe import Markup, escape

from swapnet_core.errors import StorageError
from swapnet_ros.evaluation.report.accuracy import accuracy_section
from swapnet_ros.evaluation.report.blocks import Section
from swapnet_ros.evaluation.report.budgets import budgets_section
from swapnet_ros.evaluation.report.latency import latency_section
from swapnet_ros.evaluation.report.live import live_section
from swapnet_ros.evaluation.report.memory import memory_section
from swapnet_ros.evaluation.report.run_reader import read_report
from swapnet_ros.evaluation.report.run_record import ReportRecord, RunRecord
from swapnet_ros.evaluation.report.samples import samples_section
from swapnet_ros.evaluation.report.setup import problems_section, setup_section
from swapnet_ros.evaluation.report.summary import summary_section
from swapnet_ros.evaluation.report.tasks import tasks_section
from swapnet_ros.evaluation.report.timeline import timeline_section
from swapnet_ros.evaluation.whole_text import write_whole

_TEMPLATES = Path(__file__).parent / "templates"
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:[KMGT]iB|B|ms|s|%)(?![\w]))")


def write_report(folder: Path, out: Path) -> None:
    """Read an evaluation's folder and write its page; an older file is replaced in one step.

    Args:
        folder: as `swapnet evaluate` leaves it, complete or not.
        out: the HTML file.

    Raises:
        InputError: the folder holds no evaluation.
        StorageError: the page cannot be written.
    """
    page = render_page(read_report(folder))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, page)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror or error}", path=out) from error


def render_page(report: ReportRecord) -> str:
    """Return the page of a report."""
    # Not at the top: only this needs it.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["prose"] = _prose
    page, style = (
        (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.html", "style.css")
    )
    return environment.from_string(page).render(
        title=_title(report.run),
        subtitle=_subtitle(report.run),
        is_complete=report.run.is_complete,
        commit=report.run.figures.get("commit") or "",
        sections=list(_sections(report)),
        style=style,
    )


def _prose(text: str) -> Markup:
    """Escape a text; what stands in backticks becomes code, and units stay with their numbers."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(_BEFORE_UNIT.sub("&nbsp;", marked))


def _sections(report: ReportRecord) -> Iterator[Section]:
    run = report.run
    yield summary_section(report)
    yield tasks_section(run)
    if run.is_replay:
        yield live_section(run)
    yield latency_section(report)
    yield memory_section(report)
    yield timeline_section(run)
    yield budgets_section(report)
    yield accuracy_section(run)
    yield samples_section(run)
    yield problems_section(run)
    yield setup_section(run)


def _title(run: RunRecord) -> str:
    bag = run.command.get("bag")
    return PurePath(str(bag)).name if bag else run.path.resolve().name


def _subtitle(run: RunRecord) -> str:
    config = run.command.get("config")
    words = [PurePath(str(config)).stem.replace("_", " ")] if config else []
    words.append("replay mode" if run.is_replay else "direct mode")
    if run.budget:
        words.append(f"budget {run.budget}")
    return ", ".join(words)

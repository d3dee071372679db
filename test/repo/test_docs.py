"""What the pages say of networks, scenarios and other pages is what the code and the files have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swapnet_ros.cli.scenario import read_scenario
from swapnet_ros.nodes.parameter_tables import TASKS
from swapnet_ros.perception.models.catalogue import detection_network_names
from swapnet_ros.perception.models.task_networks import TASK_DEFAULTS

_ROOT = Path(__file__).resolve().parents[2]
_DOCS = _ROOT / "docs"
_PAGES = sorted([_ROOT / "README.md", *_DOCS.glob("*.md")])
_SCENARIOS = sorted(path.stem for path in (_ROOT / "config").glob("*.yaml"))


def rows_of(page: Path) -> list[list[str]]:
    """The cells of all tables' rows on a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if "|" in line]


def own_network(task: str) -> str:
    (default,) = [spec.default for spec in TASKS[task] if spec.name == "network"]
    return default


@pytest.mark.parametrize("task", TASKS)
def test_the_networks_page_has_a_tasks_own_network(task):
    named = [row[1] for row in rows_of(_DOCS / "networks.md") if row[0] == f"`{task}`"]
    assert named == [f"`{own_network(task)}`"]


@pytest.mark.parametrize("task", TASKS)
def test_nodes_and_network_demand_mean_the_same_network(task):
    assert TASK_DEFAULTS[task].network == own_network(task)


def test_the_detection_networks_that_are_named_exist():
    text = (_DOCS / "networks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:yolov|ssd|fasterrcnn|retinanet|fcos)[\w-]*)`", text))
    assert len(named) >= 8
    assert named <= set(detection_network_names())


@pytest.mark.parametrize("scenario", _SCENARIOS)
def test_a_scenarios_page_has_its_nodes_networks_and_budget(scenario):
    page = _DOCS / f"{scenario}.md"
    written = read_scenario(_ROOT / "config" / f"{scenario}.yaml")
    rows = {row[0].strip("`"): " ".join(row) for row in rows_of(page)}
    for each in written.networks:
        assert f"`{each.network}`" in rows[each.name]
    budget = written.budget.replace("MiB", " MiB")
    words = " ".join(page.read_text(encoding="utf-8").split())
    assert f"{budget} in `config/{scenario}.yaml`" in words


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors_of(linked), target


def anchors_of(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}

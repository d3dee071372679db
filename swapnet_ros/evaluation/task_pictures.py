"""A picture of each task's output on real images, its network swapped within a tight budget.

    python -m swapnet_ros.evaluation.task_pictures --data DIR [--out out/pictures] [TASK ...]

Run it in the repository's folder: two of the networks are the examples in `docs/examples`.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_core import BudgetTooSmallError, SwapNetError, SwappedModel, SwapRuntime
from swapnet_core.errors import InputError
from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.picture_recipes import RECIPES, PictureRecipe
from swapnet_ros.evaluation.picture_sheets import Caption, contact_sheet, picture
from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.perception.models.task_networks import TaskNetwork, open_task_network
from swapnet_ros.perception.tasks.finding import fire_detection, wild_animal_recognition
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ImageClassification,
)
from swapnet_ros.perception.tasks.lane_detection import LaneDetection
from swapnet_ros.perception.tasks.object_detection import DetectionResult, ObjectDetection
from swapnet_ros.perception.tasks.semantic_segmentation import SemanticSegmentation

Image = NDArray[np.uint8]

_EXAMPLES = Path("docs/examples")  # of the folder that it is run in: an installed package has none
_AMPLE_BUDGET = "4GiB"
_TIGHTNESS = 0.1  # of the way from the smallest possible budget to everything in memory
_FINDERS: Mapping[str, Callable[[Any], Any]] = {
    "lane_detection": LaneDetection,
    "object_detection": ObjectDetection,
    "fire_detection": fire_detection,
    "wild_animal_recognition": wild_animal_recognition,
}


def make_pictures(data: Path, out: Path, tasks: Sequence[str]) -> list[Path]:
    """Make the pictures, and one of them all.

    Args:
        data: folder of the evaluation data.
        out: folder for the pictures: `TASK.jpg` each, and `index.jpg`.
        tasks: names of tasks.

    Returns:
        The files, the index last.

    Raises:
        SwapNetError: a file is missing or cannot be read, or a network cannot be used.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    paths = []
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        for task in tasks:
            pictures.append(make_picture(task, RECIPES[task], data, Path(scratch)))
            paths.append(_write(out / f"{task}.jpg", pictures[-1]))
            print(paths[-1], flush=True)
    return [*paths, _write(out / "index.jpg", contact_sheet(pictures))]


def make_picture(task: str, recipe: PictureRecipe, data: Path, scratch: Path) -> Image:
    """Run one task's network on its images, and draw what it says.

    Args:
        task: its name.
        recipe: images, network and weights.
        data: folder of the evaluation data.
        scratch: folder for block files and converted weights.

    Raises:
        SwapNetError: a file is missing or cannot be read, or the network cannot be used.
    """
    images = [_read(data / name) for name in recipe.images]
    network = _network(task, recipe, data, scratch)
    with SwapRuntime(budget=_AMPLE_BUDGET, cache_dir=scratch) as runtime:
        model = runtime.load(task, network.build, network.example_inputs, weights=network.weights)
        demand_bytes = model.stats().demand_bytes
        budget_bytes = _tighten(runtime, demand_bytes)
        results = [_analyse(task, recipe, network, model, image) for image in images]
    weights = "random weights: what it says means nothing"
    if recipe.weights:
        weights = f"weights {Path(recipe.weights).name}"
    caption = Caption(
        task=task.replace("_", " "),
        network=", ".join(filter(None, (network.name, weights, recipe.note))),
        memory=f"budget {format_size(budget_bytes)}, needs {format_size(demand_bytes)} in memory",
        is_random=not recipe.weights,
    )
    return picture(list(zip(images, map(_shortly, results), strict=True)), caption)


def _network(task: str, recipe: PictureRecipe, data: Path, scratch: Path) -> TaskNetwork:
    weights = data / recipe.weights if recipe.weights else None
    if weights is not None and weights.suffix == ".npz":
        converted = scratch / f"{weights.stem}.safetensors"
        _example(recipe.network.partition(":")[0]).convert(_existing(weights), converted)
        weights = converted
    return open_task_network(
        task,
        recipe.network,
        weights=weights,
        labels=data / recipe.labels if recipe.labels else None,
        changes=recipe.changes,
    )


def _example(name: str) -> Any:
    """A module of `docs/examples`, which `main` has put on the path."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error}; run this in the repository, or put docs/examples on PYTHONPATH"
        ) from error


def _tighten(runtime: SwapRuntime, demand_bytes: int) -> int:
    """Set a budget between the smallest possible one and the demand; return it."""
    try:
        runtime.set_budget(1)
    except BudgetTooSmallError as error:
        least_bytes = error.needed_bytes
    budget_bytes = least_bytes + round(_TIGHTNESS * max(0, demand_bytes - least_bytes))
    runtime.set_budget(budget_bytes)
    return budget_bytes


def _analyse(
    task: str, recipe: PictureRecipe, network: Any, model: SwappedModel, image: Image
) -> TaskOutput:
    if task == "semantic_segmentation":
        segmentation = SemanticSegmentation(network)
        prepared = segmentation.preprocess(image)
        return segmentation.decode(model(*prepared.inputs), prepared)
    if task in _FINDERS:
        finder = _FINDERS[task](network)
        prepared = finder.preprocess(image)
        outputs = model(*prepared.inputs)
        found: TaskOutput = finder.decode(outputs, prepared, score_threshold=recipe.score_threshold)
        return found
    height, width = image.shape[:2]
    classification = ImageClassification(network)
    part = classification.preprocess(image, recipe.region_of(width, height))
    region = classification.decode(model(*part.inputs), part, max_classes=1)
    return ClassificationResult(regions=(region,), width=width, height=height)


def _shortly(output: TaskOutput) -> TaskOutput:
    """Leave the numbers and synonyms of ImageNet's class names out."""
    if isinstance(output, DetectionResult):
        found = tuple(replace(each, label=_short(each.label)) for each in output.detections)
        return replace(output, detections=found)
    if isinstance(output, ClassificationResult):
        regions = tuple(
            replace(
                region,
                classes=tuple(replace(each, label=_short(each.label)) for each in region.classes),
            )
            for region in output.regions
        )
        return replace(output, regions=regions)
    return output


def _short(label: str) -> str:
    return re.sub(r"^n\d{8} ", "", label).partition(",")[0]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such file; --data names the evaluation data's folder"
        )
    return path


def _read(path: Path) -> Image:
    image = cv2.imread(str(_existing(path)))
    if image is None:
        raise InputError(f"{path}: OpenCV cannot read this image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _write(path: Path, image: Image) -> Path:
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise InputError(f"{path}: OpenCV cannot write a picture there")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; exit code 2 where a file or a network cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="default: all tasks")
    parser.add_argument("--data", type=Path, required=True, help="folder of the evaluation data")
    parser.add_argument("--out", type=Path, default=Path("out/pictures"))
    options = parser.parse_args(arguments)
    unknown = [task for task in options.tasks if task not in RECIPES]
    if unknown:
        parser.error(f"no task {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    examples = str(_EXAMPLES.resolve())
    sys.path.append(examples)
    try:
        paths = make_pictures(options.data, options.out, options.tasks or list(RECIPES))
    except SwapNetError as error:
        print(f"task_pictures: {error}", file=sys.stderr)
        return 2
    finally:
        sys.path.remove(examples)
    print(paths[-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())

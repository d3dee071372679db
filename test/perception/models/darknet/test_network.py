from __future__ import annotations

import threading
import weakref
from pathlib import Path

import pytest
import torch

from swapnet_ros.perception.models import catalogue
from swapnet_ros.perception.models.darknet.definition import read_definition
from swapnet_ros.perception.models.darknet.network import DarknetNetwork

_SHIPPED = Path(catalogue.__file__).parent / "cfg"


def _shipped_on_meta(name: str) -> DarknetNetwork:
    with torch.device("meta"):
        return DarknetNetwork(read_definition(_SHIPPED / f"{name}.cfg"))


@pytest.mark.parametrize(
    ("name", "values"),
    [("yolov3", 62_001_757), ("yolov3-tiny", 8_858_734), ("yolov4", 64_429_405)],
)
def test_the_shipped_networks_have_the_published_number_of_values(name, values):
    state = _shipped_on_meta(name).state_dict()

    counted = sum(t.numel() for key, t in state.items() if not key.endswith("num_batches_tracked"))

    assert counted == values


def test_yolov3_has_the_published_number_of_trainable_parameters():
    assert sum(tensor.numel() for tensor in _shipped_on_meta("yolov3").parameters()) == 61_949_149


@pytest.mark.parametrize("name", ["yolov3", "yolov3-tiny", "yolov4"])
def test_outputs_have_the_shapes_of_the_heads(name):
    definition = read_definition(_SHIPPED / f"{name}.cfg")

    outputs = _shipped_on_meta(name)(torch.empty(1, 3, 416, 416, device="meta"))

    assert [tuple(output.shape[1:]) for output in outputs] == [
        (head.shape.channels, head.shape.height, head.shape.width) for head in definition.heads
    ]


def test_it_is_in_eval_mode(define):
    network = DarknetNetwork(define("[convolutional]\nbatch_normalize=1\n"))

    assert not any(module.training for module in network.modules())


def test_an_output_is_released_after_its_last_use(define):
    text = "[maxpool]\nsize=1\n" * 3 + "[shortcut]\nfrom=0\n" + "[maxpool]\nsize=1\n" * 2
    network = DarknetNetwork(define(text))
    outputs: dict[int, weakref.ref[torch.Tensor]] = {}
    alive: dict[int, list[int]] = {}

    def watch(index: int) -> None:
        def note(module, inputs, output):
            alive[index] = [other for other, ref in outputs.items() if ref() is not None]
            outputs[index] = weakref.ref(output)

        network.layers[index].register_forward_hook(note)

    for index in range(6):
        watch(index)
    with torch.inference_mode():
        network(torch.rand(1, 2, 6, 5))

    assert alive == {0: [], 1: [0], 2: [0, 1], 3: [0, 2], 4: [3], 5: [4]}


def test_several_threads_get_their_own_results(define):
    text = "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=leaky\n[shortcut]\nfrom=-1\n"
    network = DarknetNetwork(define(text))
    images = [torch.rand(1, 2, 6, 5) for _ in range(8)]
    with torch.inference_mode():
        expected = [network(image)[0] for image in images]
    results: list[torch.Tensor | None] = [None] * len(images)

    def work(index: int) -> None:
        with torch.inference_mode():
            for _ in range(20):
                results[index] = network(images[index])[0]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[shortcut]\nfrom=-2\n", "[shortcut]\nfrom=-1\n"),
        ("[route]\nlayers=0\ngroups=2\n", "[route]\nlayers=0\ngroups=2\ngroup_id=1\n"),
        ("[maxpool]\nsize=2\n", "[maxpool]\nsize=2\npadding=0\n"),
    ],
)
def test_what_changes_the_result_shows_in_the_repr(define, one, other):
    """A cache may tell networks with equal weights apart by their repr alone."""
    head = "[maxpool]\nsize=1\n[dropout]\n"

    reprs = {repr(DarknetNetwork(define(head + layers))) for layers in (one, other)}

    assert len(reprs) == 2

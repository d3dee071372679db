from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_ros.perception.errors import NetworkDefinitionError
from swapnet_ros.perception.models import catalogue
from swapnet_ros.perception.models.darknet.definition import read_definition
from swapnet_ros.perception.models.darknet.layers import Convolution, Shape, YoloHead

_SHIPPED = Path(catalogue.__file__).parent / "cfg"
_HEAD = (
    "[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nclasses=2\nnum=2\nanchors=1,2,3,4\n"
)


@pytest.mark.parametrize(
    ("name", "layers", "convolutions", "grids"),
    [
        ("yolov3", 107, 75, [13, 26, 52]),
        ("yolov3-tiny", 24, 13, [13, 26]),
        ("yolov4", 162, 110, [52, 26, 13]),
    ],
)
def test_the_shipped_networks(name, layers, convolutions, grids):
    definition = read_definition(_SHIPPED / f"{name}.cfg")

    assert definition.input_shape == Shape(channels=3, height=416, width=416)
    assert len(definition.layers) == layers
    assert len(definition.convolutions) == convolutions
    assert [head.shape for head in definition.heads] == [
        Shape(channels=255, height=grid, width=grid) for grid in grids
    ]


@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolo-fastest-1.1-xl"])
def test_yolo_fastest(data_dir, name):
    definition = read_definition(data_dir / "weights" / f"{name}.cfg")

    assert definition.input_shape == Shape(channels=3, height=320, width=320)
    assert [head.shape.height for head in definition.heads] == [10, 20]
    assert definition.heads[0].anchors == ((115, 73), (119, 199), (242, 238))
    assert not definition.is_letterboxed


def test_another_input_size():
    definition = read_definition(_SHIPPED / "yolov3.cfg", input_size=(320, 608))

    assert [str(head.shape) for head in definition.heads] == [
        "255x10x19",
        "255x20x38",
        "255x40x76",
    ]


def test_an_input_size_that_does_not_fit():
    with pytest.raises(NetworkDefinitionError, match="multiples of 32") as caught:
        read_definition(_SHIPPED / "yolov3.cfg", input_size=(400, 400))

    assert caught.value.section == "route"


def test_padding_by_pad_is_half_the_kernel_and_wins_over_padding(define):
    definition = define("[convolutional]\nsize=5\npad=1\npadding=9\nactivation=linear\n")

    assert definition.layers[0].padding == 2
    assert definition.layers[0].shape == Shape(channels=1, height=6, width=5)


def test_strides_of_their_own(define):
    definition = define("[convolutional]\nstride=3\nstride_x=2\nactivation=linear\n")

    assert definition.layers[0].stride == (3, 2)
    assert definition.layers[0].shape == Shape(channels=1, height=2, width=3)


def test_darknets_default_activation(define):
    definition = define("[convolutional]\n")

    assert isinstance(definition.layers[0], Convolution)
    assert definition.layers[0].activation == "logistic"


def test_a_head_takes_the_anchors_of_its_mask(define):
    text = _HEAD.replace("num=2", "num=3\nmask=2,0").replace("3,4", "3,4,5,6")

    head = define(text).layers[-1]

    assert isinstance(head, YoloHead)
    assert head.anchors == ((5, 6), (1, 2))


def test_training_keys_are_passed_over(define):
    define("[convolutional]\nlearning_rate=2\nstopbackward=1\n[dropout]\nprobability=.9\n")


_CONVOLUTION = "[convolutional]\nfilters=4\nactivation=linear\n"


@pytest.mark.parametrize(
    ("layers", "line", "words"),
    [
        ("", None, "has no layers"),
        ("[lstm]\n", 5, "[lstm]: this kind of section is not supported; supported are: net, conv"),
        ("[convolutional]\ncolour=3\n", 6, "'colour' is not known"),
        ("[convolutional]\ndilation=2\n", 6, "dilation=2 is not supported, only dilation=1"),
        ("[convolutional]\nfilters=x\n", 6, "should be an integer"),
        ("[convolutional]\nfilters=4\ngroups=3\n", 7, "groups=3 does not divide"),
        ("[convolutional]\nactivation=stair\n", 6, "activation=stair is not supported"),
        ("[convolutional]\nsize=9\n", 5, "a window of 9 does not fit into 2x6x5"),
        (_CONVOLUTION + "[shortcut]\nfrom=-2\n", 9, "from names layer -2, but this is layer 1"),
        (_CONVOLUTION + "[shortcut]\nfrom=1\n", 9, "from names layer 1, but this is layer 1"),
        (_CONVOLUTION + "[shortcut]\n", 8, "'from' is missing"),
        (_CONVOLUTION + "[maxpool]\nstride=2\n[shortcut]\nfrom=0\n", 11, "heights and widths"),
        (_CONVOLUTION + "[maxpool]\nstride=2\n[route]\nlayers=0,1\n", 11, "heights and widths"),
        (_CONVOLUTION + "[route]\nlayers=0\ngroups=3\n", 10, "groups=3 does not divide 4x6x5"),
        (_CONVOLUTION + "[route]\nlayers=0\ngroups=2\ngroup_id=2\n", 11, "not below groups=2"),
        (_CONVOLUTION + "[upsample]\nscale=2\n", 9, "scale=2 is not supported"),
        (_HEAD.replace("14", "15"), 8, "need filters=14"),
        (_HEAD.replace("3,4", "3"), 11, "num=2 needs 4 numbers, but there are 3"),
        (_HEAD + "mask=2\n", 12, "mask names anchors outside of 0..1"),
        (_HEAD + "[maxpool]\n", 12, "reads layer 1, which is a [yolo] section"),
    ],
)
def test_what_cannot_be_built_is_named(define, tmp_path, layers, line, words):
    with pytest.raises(NetworkDefinitionError) as caught:
        define(layers)

    assert words in str(caught.value)
    assert (caught.value.path, caught.value.line) == (tmp_path / "net.cfg", line)

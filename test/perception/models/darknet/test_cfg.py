from __future__ import annotations

import pytest

from swapnet_ros.perception.errors import NetworkDefinitionError
from swapnet_ros.perception.models.darknet.cfg import read_sections


def test_white_space_and_comments_mean_nothing(write_cfg):
    path = write_cfg("# head\n[net]\n width = 3 2 # wide\n;note\n\n[conv]\nanchors = 1, 2,3.5\n")

    net, convolution = read_sections(path)

    assert (net.name, net.line, net.integer("width")) == ("net", 2, 32)
    assert (convolution.name, convolution.line) == ("convolutional", 6)
    assert convolution.numbers("anchors") == (1.0, 2.0, 3.5)


def test_windows_line_ends(write_cfg):
    (net,) = read_sections(write_cfg("[net]\r\nwidth=32\r\n"))

    assert net.integer("width") == 32


def test_defaults_apply_to_absent_keys_only(write_cfg):
    (net,) = read_sections(write_cfg("[net]\nwidth=8\n"))

    assert (net.integer("width", 1), net.integer("height", 1)) == (8, 1)
    assert (net.number("scale", 0.5), net.text("activation", "leaky")) == (0.5, "leaky")


def test_the_same_key_twice_with_one_value_is_accepted(write_cfg):
    (net,) = read_sections(write_cfg("[net]\nwidth=8\nwidth=8\n"))

    assert net.integer("width") == 8


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "does not begin with [net]"),
        ("[convolutional]\n", None, "does not begin with [net]"),
        ("width=3\n[net]\n", 1, "before the first section"),
        ("[net\nwidth=3\n", 1, "no closing bracket"),
        ("[net]\nwidth\n", 2, "'width' is no key=value pair"),
        ("[net]\nwidth=\n", 2, "'width=' is no key=value pair"),
        ("[net]\nwidth=8\n\nwidth=9\n", 4, "line 2 says width=8"),
    ],
)
def test_broken_text_is_named_with_its_line(write_cfg, text, line, words):
    path = write_cfg(text)

    with pytest.raises(NetworkDefinitionError) as caught:
        read_sections(path)

    assert (caught.value.path, caught.value.line) == (path, line)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [("x", "should be an integer"), ("1.5", "should be an integer"), ("0", "below 1")],
)
def test_bad_values_are_named(write_cfg, value, words):
    (net,) = read_sections(write_cfg(f"[net]\nwidth={value}\n"))

    with pytest.raises(NetworkDefinitionError, match=words) as caught:
        net.integer("width", minimum=1)

    assert (caught.value.line, caught.value.section) == (2, "net")


def test_a_missing_key_is_named(write_cfg):
    (net,) = read_sections(write_cfg("[net]\n"))

    with pytest.raises(NetworkDefinitionError, match="'width' is missing"):
        net.integer("width")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NetworkDefinitionError, match=r"absent\.cfg: cannot be read: No such file"):
        read_sections(tmp_path / "absent.cfg")


def test_a_weights_file_is_no_cfg(tmp_path):
    path = tmp_path / "net.weights"
    path.write_bytes(bytes(range(256)) * 8)

    with pytest.raises(NetworkDefinitionError):
        read_sections(path)

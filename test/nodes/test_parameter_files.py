"""What can be wrong with a parameter file's text and shape: file, line, and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.parameter_files import fits, read_file, read_value

SECTION = "/**/lane_detection:\n  ros__parameters:\n"


def read(folder: Path, text: str | bytes) -> list[tuple[str, str, object]]:
    path = folder / "p.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [(each.nodes, each.name, each.value) for each in read_file(path)]


def test_sections_nest_and_parameters_do(tmp_path: Path) -> None:
    text = """
robot1:
  object_detection:
    ros__parameters: {a: 1, b: {c: [1.0, 2.0], d: {e: x}}}
/**:
  ros__parameters: {}
bare/name: {ros__parameters: {f: true}}
"""
    assert read(tmp_path, text) == [
        ("/robot1/object_detection", "a", 1),
        ("/robot1/object_detection", "b.c", [1.0, 2.0]),
        ("/robot1/object_detection", "b.d.e", "x"),
        ("/bare/name", "f", True),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e1", 10.0),
        ("5.", 5.0),
        ("-.inf", float("-inf")),
        ("0x10", 16),
        ("010", 8),
        ("08", 8.0),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("off", False),
        ("'5.0'", "5.0"),
        ("", None),
    ],
)
def test_a_value_is_what_it_is_for_rcl(text: str, value: object) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", None, "is empty; write `/**/NAME:`"),
        ("# nothing but a comment\n", None, "is empty"),
        ("- a\n- b\n", None, "holds no node's parameters"),
        ("hello\n", None, "holds no node's parameters"),
        (bytes(range(256)), None, "is not a text file"),
        ("a: \0", None, "is not YAML: unacceptable character #x0000"),
        (SECTION + "\ta: 1\n", 3, "it has a tab; indent with blanks"),
        ("a: [1,\n", 2, "is not YAML: while parsing a flow node"),
        ("a: {}\n---\nb: {}\n", 2, "expected a single document"),
        (SECTION + "    a: 1\n    b: 2\n    a: 3\n", 5, "a stands in line 3 already"),
        (SECTION + "    a: 1\n" + SECTION + "    b: 1\n", 4, "/**/lane_detection stands in line 1"),
        (SECTION + "    a: &x 1\n    b: *x\n", 4, "ROS reads no aliases"),
        (SECTION + "    a: {b: own:factory}\n", 3, "in quotation marks; write 'own:factory'"),
        (SECTION + "    a: [http://x]\n", 3, "in quotation marks; write 'http://x'"),
        (SECTION + "    a: !own 1\n", 3, "could not determine a constructor for the tag '!own'"),
        (SECTION + "    ? [a, b]\n    : 1\n", 3, "a list or a map cannot be a key"),
        (SECTION, 2, "`ros__parameters` holds no `parameter: value`; leave the section out"),
        ("/**/lane_detection:\n", 1, "/**/lane_detection holds nothing; leave it out"),
        ("ros__parameters:\n  a: 1\n", 1, "`ros__parameters` has no node's name above it"),
        ("score_threshold: 0.5\n", 1, "score_threshold: `ros__parameters:` must stand above it"),
        ("/lanes:\n  a: 1\n", 2, "/lanes: a: `ros__parameters:` must stand above it"),
        (
            "/lanes:\n  ros_parameters:\n    a: 1\n",
            3,
            "is written `ros__parameters`",
        ),
        (
            SECTION + "    swapnet:\n      ros__parameters: {a: 1}\n",
            4,
            "inside of another",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, line: int | None, reason: str
) -> None:
    with pytest.raises(ParameterSourceError) as caught:
        read(tmp_path, text)
    (problem,) = caught.value.problems
    place = f"{tmp_path / 'p.yaml'}" + ("" if line is None else f":{line}")
    assert problem.startswith(f"{place}: ")
    assert reason in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("name", "reason"), [("none.yaml", "No such file or directory"), (".", "Is a directory")]
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ParameterSourceError) as caught:
        read_file(tmp_path / name)
    assert caught.value.problems == (f"{tmp_path / name}: cannot be read: {reason}",)


def test_mistakes_of_shape_are_told_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParameterSourceError) as caught:
        read(tmp_path, "/a:\n/b:\n  c: 1\nros__parameters: {d: 1}\n")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("pattern", "node", "is_fitting"),
    [
        ("/**", "/a", True),
        ("/**", "/a/b", True),
        ("/*", "/a", True),
        ("/*", "/a/b", False),
        ("/**/b", "/b", True),
        ("/**/b", "/a/c/b", True),
        ("/*/b", "/b", False),
        ("/**/*", "/b", True),
        ("/a", "/a/b", False),
        ("/a(", "/a", False),
        ("/a.", "/ab", False),
    ],
)
def test_patterns_fit_as_in_rclpy(pattern: str, node: str, is_fitting: bool) -> None:
    assert fits(pattern, node) is is_fitting

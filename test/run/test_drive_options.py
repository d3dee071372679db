from pathlib import Path

import pytest

from swapnet_ros.nodes.drive_options import parse_options


def test_without_arguments_it_is_the_scenario_on_a_drawn_scene():
    options = parse_options([])
    assert options.network is None
    assert options.config is None
    assert options.video is None
    assert options.weights is None
    assert options.budget_bytes is None
    assert options.out == Path("out").resolve()


def test_paths_are_absolute_because_child_processes_read_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "net.cfg", "net.weights"):
        Path(name).touch()
    files = ["--video", "a.mp4", "--network", "net.cfg", "--weights", "net.weights"]
    options = parse_options([*files, "--budget", "96MiB", "--duration", "2.5"])
    assert options.video == tmp_path / "a.mp4"
    assert options.network == str(tmp_path / "net.cfg")
    assert options.weights == tmp_path / "net.weights"
    assert options.budget_bytes == 96 * 2**20
    assert options.duration_s == 2.5


def test_weights_alone_are_those_of_yolov3(tmp_path):
    weights = tmp_path / "yolov3.weights"
    weights.touch()
    options = parse_options(["--weights", str(weights)])
    assert (options.network, options.weights) == ("yolov3", weights)


def test_a_network_alone_is_no_scenario(tmp_path, capsys):
    config = tmp_path / "mine.yaml"
    config.touch()
    assert parse_options(["--config", str(config)]).config == config
    with pytest.raises(SystemExit) as stopped:
        parse_options(["--config", str(config), "--network", "yolov3"])
    assert stopped.value.code == 2
    assert "leave one of them out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--video", "absent.mp4"], "there is no file absent.mp4"),
        (["--config", "absent.yaml"], "there is no file absent.yaml"),
        (["--network", "absent.cfg"], "there is no file absent.cfg"),
        (["--budget", "many"], "not a size: 'many'"),
        (["--duration", "-1"], "a positive number of seconds is wanted"),
        (["--duration", "nan"], "a positive number of seconds is wanted"),
        (["--speed", "3"], "unrecognized arguments"),
    ],
)
def test_mistakes_are_bad_usage(arguments, reason, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_options(arguments)
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err

"""`swapnet plan` on small real networks: alone, and as a scenario of two."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from swapnet_core import loading, tracer
from swapnet_core.gauges import DeviceGauge
from swapnet_core.simulated_cuda import SimulatedCuda, simulated_hardware
from swapnet_core.specs import DeviceProfile
from swapnet_ros.cli import plan_target
from swapnet_ros.cli.planning import CURVE_POINTS, curve_budgets
from swapnet_ros.cli.scenario import read_scenario

_NETWORK = ("squeezenet1_1", "--input", "1x3x64x64")
_CONFIG = Path(__file__).parents[2] / "config"
_MIB = 2**20
_CFG = "[net]\nheight=32\nwidth=32\nchannels=3\n" + (
    "[convolutional]\nfilters=64\nsize=3\nstride=2\npad=1\nactivation=leaky\n" * 3
    + "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n"
    + "[yolo]\nclasses=2\nnum=1\nanchors=16,16\nmask=0\n"
)


def test_json_has_every_figure_and_the_figures_agree(swapnet):
    done = swapnet("plan", *_NETWORK, "--budget-ratio", "1.2", "--rate", "0.01", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output)
    assert answer["fits"] is True
    assert answer["budget_bytes"] == int(answer["demand_bytes"] / 1.2)
    (network,) = answer["networks"]
    plan = network["plan"]
    assert plan["peak_bytes"] <= answer["budget_bytes"]
    assert plan["predicted_latency_s"] >= plan["bound_s"] * 0.999
    assert bool(plan["residents"]) == (plan["resident_bytes"] > 0)
    assert 0 < plan["streamed_bytes"] <= network["weight_bytes"]
    assert plan["is_exact"] == (plan["tiles"] == {})
    admission = answer["admission"]
    assert admission["compute_share"] == pytest.approx(0.01 * network["compute_s"])
    assert admission["busy_share"] == pytest.approx(0.01 * plan["predicted_latency_s"])
    assert admission["networks"][0]["reachable_rate_hz"] == 0.01
    assert answer["least_budget_bytes"] <= answer["enough_budget_bytes"] <= answer["budget_bytes"]


def test_the_curve_goes_from_the_least_budget_to_everything_resident(swapnet):
    answer = json.loads(swapnet("plan", *_NETWORK, "--budget", "1GiB", "--json").output)
    curve = answer["curve"]
    assert curve[0]["budget_bytes"] == answer["least_budget_bytes"]
    latencies = [point["latency_s"]["squeezenet1_1"] for point in curve]
    compute_s = answer["networks"][0]["compute_s"]
    assert latencies[-1] == pytest.approx(compute_s)
    assert min(latencies) >= compute_s * 0.999


def test_the_tables_name_what_was_planned(swapnet):
    done = swapnet("plan", *_NETWORK, "--budget", "1GiB", "--rate", "0.01")
    assert done.exit_code == 0, done.errors
    words = " ".join(done.output.split())
    for part in ("fits", "squeezenet1_1", "smallest budget that would do", "read bandwidth"):
        assert part in words
    assert "the declared rates fit: compute" in words
    assert "predicted latency over budget" in words


def test_a_budget_that_is_too_small_names_one_that_would_do(swapnet):
    done = swapnet("plan", *_NETWORK, "--budget", "1MiB", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.output)
    assert answer["fits"] is False
    assert answer["networks"][0]["plan"] is None
    enough = answer["enough_budget_bytes"]
    assert enough == answer["least_budget_bytes"] > _MIB
    assert swapnet("plan", *_NETWORK, "--budget", enough).exit_code == 0
    assert "does not fit: below" in swapnet("plan", *_NETWORK, "--budget", "1MiB").output


def test_a_rate_that_is_too_much_for_compute_fits_no_budget(swapnet):
    done = swapnet("plan", *_NETWORK, "--budget", "1GiB", "--rate", "100000", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.output)
    assert answer["enough_budget_bytes"] is None
    assert "no budget helps" in answer["admission"]["reason"]
    assert answer["networks"][0]["plan"] is not None


def test_a_profile_that_stands_is_not_made_again(swapnet, monkeypatch):
    first = swapnet("plan", *_NETWORK, "--budget", "1GiB", "--json")

    def refuse(*_):
        pytest.fail("the network is traced again")

    monkeypatch.setattr(loading, "trace", refuse)
    again = swapnet("plan", *_NETWORK, "--budget", "1GiB", "--json")
    assert again.output == first.output


@pytest.fixture(scope="module", autouse=True)
def fonts():
    """matplotlib keeps its font files open for the life of the process."""
    figure = Figure()
    FigureCanvasAgg(figure).figure.text(0, 0, "fonts")
    figure.savefig(io.BytesIO(), format="png")


def test_the_picture_is_a_png(swapnet, tmp_path):
    path = tmp_path / "curve.png"
    done = swapnet("plan", *_NETWORK, "--budget-ratio", "1.1", "--png", path)
    assert done.exit_code == 0, done.errors
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_budget_can_be_what_the_system_has_free(swapnet):
    answer = json.loads(swapnet("plan", *_NETWORK, "--budget", "auto", "--json").output)
    assert answer["fits"] is True
    assert answer["budget_bytes"] > answer["demand_bytes"]


@given(st.integers(1, 10**10), st.integers(0, 10**10))
def test_budgets_of_the_curve(least, more):
    budgets = curve_budgets(least, least + more)
    assert budgets == sorted(set(budgets))
    assert (budgets[0], budgets[-1]) == (least, least + more)
    assert len(budgets) <= CURVE_POINTS


@pytest.fixture
def write_scenario(tmp_path):
    """`write_scenario(swapnet={...}, north={...})`: a scenario of small detection networks."""
    (tmp_path / "small.cfg").write_text(_CFG)

    def write(**sections):
        nodes = ["object_detection", "north=object_detection"]
        parameters = {
            "swapnet": {"budget": "1GiB", "nodes": nodes},
            "object_detection": {"network": str(tmp_path / "small.cfg"), "max_rate_hz": 0.01},
            "north": {"network": str(tmp_path / "small.cfg"), "input_size": [64]},
        }
        for node, changes in sections.items():
            if changes is None:
                del parameters[node]
            else:
                parameters.setdefault(node, {}).update(changes)
        path = tmp_path / "scenario.yaml"
        document = {f"/**/{node}": {"ros__parameters": each} for node, each in parameters.items()}
        path.write_text(yaml.safe_dump(document))
        return path

    return write


def test_a_scenario_is_planned_as_a_whole(swapnet, write_scenario):
    done = swapnet("plan", write_scenario(), "--json")
    assert done.exit_code == 0, done.errors
    answer = json.loads(done.output)
    assert answer["budget_bytes"] == 1024 * _MIB
    assert [network["name"] for network in answer["networks"]] == ["object_detection", "north"]
    rates = [network["rate_hz"] for network in answer["admission"]["networks"]]
    assert rates == [0.01, None]
    assert set(answer["curve"][0]["latency_s"]) == {"object_detection", "north"}
    demands = [network["demand_bytes"] for network in answer["networks"]]
    assert max(demands) < answer["demand_bytes"] < sum(demands)


@pytest.fixture
def gpu(monkeypatch):
    """What every device is, whatever is asked for: a simulated GPU."""
    calls = SimulatedCuda()
    asked = []

    def choose(device, read_priority=1):
        asked.append((device, read_priority))
        return simulated_hardware(calls, "cuda")

    monkeypatch.setattr(plan_target, "choose_hardware", choose)
    calls.asked = asked
    return calls


def test_a_scenario_is_planned_on_its_own_device(swapnet, write_scenario, gpu, monkeypatch):
    gauges = []

    def trace(call):
        gauges.append(call.gauge)
        return tracer.trace(call)

    monkeypatch.setattr(loading, "trace", trace)
    path = write_scenario(swapnet={"device": "cuda", "read_priority": 7})
    done = swapnet("plan", path, "--json")
    assert done.exit_code == 0, done.errors
    answer = json.loads(done.output)
    assert gpu.asked == [("cuda", 7)]
    assert {type(gauge) for gauge in gauges} == {DeviceGauge}
    assert answer["device_kind"] == "cuda"
    assert answer["device"]["copy_bandwidth_bytes_per_s"] > 0.0
    assert gpu.held.device_bytes == gpu.held.pinned_bytes == 0
    assert "/s, device cuda" in " ".join(swapnet("plan", path).output.split())


def test_host_memory_beside_a_gpu_counts(swapnet, write_scenario, gpu):
    least = json.loads(swapnet("plan", write_scenario(), "--json").output)["least_budget_bytes"]
    alone, beside = (
        json.loads(swapnet("plan", write_scenario(swapnet=changes), "--json").output)
        for changes in (
            {"budget": str(least)},
            {"budget": str(least), "host_budget": "1GiB"},
        )
    )
    streamed, hosted = (
        sum(network["plan"][key] for network in beside["networks"])
        for key in ("streamed_bytes", "host_bytes")
    )
    assert hosted == streamed > 0
    assert not any(network["plan"]["host_bytes"] for network in alone["networks"])
    bandwidth = DeviceProfile(**beside["device"]).with_host_share(1.0).read_bandwidth_bytes_per_s
    read_s = beside["networks"][0]["plan"]["streamed_bytes"] / bandwidth
    assert beside["admission"]["read_share"] == pytest.approx(0.01 * read_s)


def test_the_device_of_the_command_line_wins_over_the_files(swapnet, write_scenario):
    path = write_scenario(swapnet={"device": "cuda:7"})
    done = swapnet("plan", path, "--device", "cpu", "--json")
    assert done.exit_code == 0, done.errors
    assert json.loads(done.output)["device_kind"] == "cpu"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "tpu"}, "there is no device 'tpu'; use 'auto', 'cpu'"),
        ({"device": "cpu", "host_budget": "1GiB"}, "host_budget"),
    ],
)
def test_a_device_that_the_nodes_would_refuse(swapnet, write_scenario, changes, reason):
    path = write_scenario(swapnet=changes)
    done = swapnet("plan", path)
    assert done.exit_code == 2, done.output
    words = " ".join(done.errors.split())
    assert f"{path}: the node swapnet's device: " in words
    assert reason in words


def test_equal_networks_count_once(swapnet, write_scenario):
    alone = json.loads(swapnet("plan", write_scenario(), "--json").output)
    weights = alone["networks"][0]["weight_bytes"]
    nodes = ["object_detection", "north=object_detection", "south=object_detection"]
    cfg = str(write_scenario().parent / "small.cfg")
    third = {"south": {"network": cfg, "max_rate_hz": 0.02}, "swapnet": {"nodes": nodes}}
    answer = json.loads(swapnet("plan", write_scenario(**third), "--json").output)
    assert alone["demand_bytes"] == answer["demand_bytes"] > weights
    plans = [network["plan"] for network in answer["networks"]]
    assert plans[0] == plans[2] != plans[1]
    rates = [network["rate_hz"] for network in answer["admission"]["networks"]]
    assert rates == [0.01, None, 0.02]


def test_a_budget_that_is_given_wins_over_the_file(swapnet, write_scenario):
    done = swapnet("plan", write_scenario(), "--budget", "2MiB")
    assert done.exit_code == 1, done.errors
    assert "2.0 MiB" in done.output


def test_the_scenarios_that_are_shipped_can_be_read():
    for path in sorted(_CONFIG.glob("*.yaml")):
        scenario = read_scenario(path)
        assert scenario.networks
        assert scenario.budget


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"swapnet": {"nodes": ["sonar"]}}, "/swapnet: nodes: no task 'sonar'; known are"),
        (
            {"swapnet": {"budgt": "1GiB"}},
            "/**/swapnet: no parameter 'budgt'; did you mean 'budget'",
        ),
        ({"swapnet": {"budget": "plenty"}}, "budget: not a size: 'plenty'"),
        ({"north": {"netwrk": "x"}}, "/**/north: no parameter 'netwrk'; did you mean 'network'"),
        ({"north": {"max_rate_hz": -1.0}}, "max_rate_hz lies within 0 to 1000"),
        (
            {"north": {"network": "absent"}},
            "north: network: there is no detection network",
        ),
        ({"swapnet": {"nodes": [""]}}, "no task ''"),
        (
            {"nort": {"network": "x"}, "north": None},
            "no such node; did you mean /**/north",
        ),
        ({"swapnt": {"budget": "1GiB"}, "swapnet": None}, "did you mean /**/swapnet?"),
        ({"north": {"weights": "/none.weights"}}, "/**/north: weights: weights file /none.weights"),
        ({"north": {"labels": "/none.names"}}, "/**/north: labels: labels file /none.names"),
    ],
)
def test_mistakes_in_a_scenario_name_file_and_key(swapnet, write_scenario, sections, reason):
    path = write_scenario(**sections)
    done = swapnet("plan", path)
    assert done.exit_code == 2, done.output
    words = " ".join(done.errors.split())
    assert reason in words
    assert f"{path}:" in words


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("squeezenet9", "--budget", "1GiB"), "there is no network 'squeezenet9'"),
        ((*_NETWORK,), "one of --budget and --budget-ratio"),
        ((*_NETWORK, "--budget", "1GiB", "--budget-ratio", "2"), "one of --budget and"),
        ((*_NETWORK, "--budget", "much"), "much"),
        ((*_NETWORK, "--budget", "1GiB", "--device", "tpu"), "there is no device 'tpu'"),
        ((_CONFIG / "self_driving.yaml", "--device", "tpu"), "error: there is no device 'tpu'"),
        ((*_NETWORK, "--budget", "1GiB", "--rate", "-1"), "a rate of -1.0 Hz is not possible"),
        (("absent.yaml",), "absent.yaml: cannot be read"),
        ((_CONFIG / "self_driving.yaml", "--rate", "1"), "a scenario has its own"),
        ((*_NETWORK, "--budget", "1GiB", "--png", "/nowhere/curve.png"), "/nowhere/curve.png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(swapnet, words, reason):
    done = swapnet("plan", *words)
    assert done.exit_code == 2, done.errors
    assert "Traceback" not in done.errors
    assert reason in " ".join(done.errors.split())


def test_a_section_for_another_process_is_told_and_the_plan_is_made(swapnet, write_scenario):
    path = write_scenario(controller_server={"frequency": 20.0})
    done = swapnet("plan", path)
    assert done.exit_code == 0, done.errors
    assert f"{path}:3: /**/controller_server: not used: no node of this process" in done.errors


def test_a_list_in_an_error_is_no_markup(swapnet, write_scenario):
    done = swapnet("plan", write_scenario(north={"cameras": "image"}))
    assert "not 'image'; write [image]" in done.errors


def test_a_file_that_is_no_scenario(swapnet, tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("/robot1/swapnet: {ros__parameters: {budget: 1GiB}}")
    done = swapnet("plan", path)
    assert done.exit_code == 2
    assert "has no section for the node swapnet" in " ".join(done.errors.split())

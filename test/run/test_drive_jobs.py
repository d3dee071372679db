from pathlib import Path

import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.network_demand import NetworkDemand
from swapnet_ros.nodes.drive_jobs import network_job, scenario_job
from swapnet_ros.nodes.drive_options import parse_options
from swapnet_ros.nodes.errors import ParameterSourceError

_CONFIG = Path(__file__).parents[2] / "config"
_MIB = 2**20


def _assigned(job):
    pairs = [text.partition(":=") for text in job.ros_arguments if ":=" in text]
    return {name: value for name, _, value in pairs}


def test_a_scenario_runs_all_its_nodes_with_its_own_budget():
    job = scenario_job(_CONFIG / "self_driving.yaml", parse_options([]))
    assert [node.name for node in job.nodes] == [
        "lane_detection",
        "object_detection",
        "semantic_segmentation",
        "traffic_sign_classification",
    ]
    assert job.configuration["budget"] == "400MiB"
    assert not _assigned(job)


def test_a_budget_goes_before_the_files():
    job = scenario_job(_CONFIG / "self_driving.yaml", parse_options(["--budget", "500MiB"]))
    assert _assigned(job) == {"swapnet:budget": f'"{500 * _MIB}"'}


def test_all_cameras_of_a_scenario_show_the_video():
    job = scenario_job(_CONFIG / "roadside_unit.yaml", parse_options([]))
    cameras = {name: value for name, value in _assigned(job).items() if name.endswith(":cameras")}
    assert len(cameras) == len(job.nodes) == 5
    assert set(cameras.values()) == {'["image"]'}


def test_a_mistake_in_the_file_is_told_before_anything_starts(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("/**/swapnet: {ros__parameters: {budgett: 1MiB}}\n")
    with pytest.raises(ParameterSourceError, match="did you mean 'budget'"):
        scenario_job(path, parse_options([]))
    path.write_text("/**/camera: {ros__parameters: {rate: 1}}\n")
    with pytest.raises(InputError, match="no section for the node swapnet"):
        scenario_job(path, parse_options([]))


@pytest.mark.parametrize(
    ("least_mib", "budget", "expected_bytes"),
    [(10, (), 100 * _MIB), (150, (), 150 * _MIB), (10, ("--budget", "20MiB"), 20 * _MIB)],
)
def test_a_network_alone_gets_demand_over_the_papers_ratio(least_mib, budget, expected_bytes):
    demand = NetworkDemand(
        network="yolov3",
        is_random=True,
        demand_bytes=232 * _MIB,
        weight_bytes=200 * _MIB,
        least_bytes=least_mib * _MIB,
    )
    options = parse_options(["--network", "yolov3", *budget])
    job = network_job(_CONFIG / "self_driving.yaml", options, demand)
    assert [node.name for node in job.nodes] == ["object_detection"]
    assert _assigned(job)["swapnet:budget"] == f'"{expected_bytes}"'
    assert job.configuration["demand_bytes"] == 232 * _MIB

from pathlib import Path

import pytest

from swapnet_ros.nodes.dds_environment import prefer_shared_memory

_PROFILES = Path("/opt/profiles.xml")


@pytest.mark.parametrize(
    ("distro", "name"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_profile_is_named_as_the_distro_reads_it(distro, name):
    variables = {"ROS_DISTRO": distro}
    prefer_shared_memory(_PROFILES, variables)
    assert variables == {
        "ROS_DISTRO": distro,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        name: "/opt/profiles.xml",
    }


def test_what_is_set_already_stays():
    chosen = {
        "FASTDDS_DEFAULT_PROFILES_FILE": "/home/me/dds.xml",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    }
    variables = dict(chosen)
    prefer_shared_memory(_PROFILES, variables)
    assert variables == chosen

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swapnet_ros.nodes.dds_environment import prefer_shared_memory, shared_memory_variables

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


@pytest.mark.parametrize(
    "chosen",
    [
        {"FASTDDS_DEFAULT_PROFILES_FILE": "/home/me/dds.xml"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "/home/me/dds.xml"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": ""},
        {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"},
    ],
)
def test_who_has_chosen_transports_keeps_them(chosen):
    assert shared_memory_variables(_PROFILES, chosen) == {}


def test_what_is_set_already_stays():
    chosen = {
        "FASTDDS_DEFAULT_PROFILES_FILE": "/home/me/dds.xml",
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    }
    variables = dict(chosen)
    prefer_shared_memory(_PROFILES, variables)
    assert variables == chosen


_SEND = """
import time, rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
rclpy.init()
images = rclpy.create_node("sender").create_publisher(Image, "/large", QoSProfile(depth=1))
image = Image(height=720, width=1280, step=3840, encoding="rgb8", data=bytes(720 * 3840))
while True:
    images.publish(image)
    time.sleep(0.1)
"""
_LISTEN = """
import time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node, images = rclpy.create_node("listener"), []
node.create_subscription(Image, "/large", images.append, qos_profile_sensor_data)
end_s = time.monotonic() + 60
while len(images) < 20 and time.monotonic() < end_s:
    rclpy.spin_once(node, timeout_sec=0.1)
print(len(images))
"""


@pytest.mark.slow  # two processes of their own
@pytest.mark.ros
def test_large_images_reach_a_listener_that_knows_nothing_of_the_profile(domain_id):
    plain = {**os.environ, "ROS_DOMAIN_ID": str(domain_id)}
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        plain.pop(name, None)
    profile = Path(__file__).parents[2] / "config" / "fastdds_shared_memory.xml"
    sending = {**plain, **shared_memory_variables(profile, plain)}
    with subprocess.Popen([sys.executable, "-c", _SEND], env=sending) as sender:
        try:
            heard = subprocess.run(
                [sys.executable, "-c", _LISTEN],
                env=plain,
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            sender.terminate()
    assert int(heard.stdout) == 20

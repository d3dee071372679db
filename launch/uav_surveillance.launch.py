"""Start the UAV-surveillance scenario: `ros2 launch swapnet_ros uav_surveillance.launch.py`."""

from launch import LaunchDescription
from swapnet_ros.nodes.scenario_launch import describe_scenario

CAMERAS = {"image": "that looks down"}


def generate_launch_description() -> LaunchDescription:
    """Describe the scenario; `--show-args` lists its arguments."""
    return describe_scenario("uav_surveillance", CAMERAS)

"""Start the roadside-unit scenario: `ros2 launch swapnet_ros roadside_unit.launch.py`."""

from launch import LaunchDescription
from swapnet_ros.nodes.scenario_launch import describe_scenario

CAMERAS = {"image_north": "towards north", "image_south": "towards south"}


def generate_launch_description() -> LaunchDescription:
    """Describe the scenario; `--show-args` lists its arguments."""
    return describe_scenario("roadside_unit", CAMERAS)

"""Start the self-driving scenario: `ros2 launch swapnet_ros self_driving.launch.py`."""

from launch import LaunchDescription
from swapnet_ros.nodes.scenario_launch import describe_scenario

CAMERAS = {"image": "that looks ahead"}
BOXES = "traffic_sign_classification with `regions: detections`"


def generate_launch_description() -> LaunchDescription:
    """Describe the scenario; `--show-args` lists its arguments."""
    return describe_scenario("self_driving", CAMERAS, boxes=BOXES)

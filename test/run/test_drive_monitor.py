"""The monitor over real DDS, with a stand-in for the perception process's topics."""

import time

import pytest

pytestmark = pytest.mark.ros


_TASKS = ("object_detection", "semantic_segmentation")


class _Publishers:
    """Publishes what the perception process and the player publish."""

    def __init__(self):
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.node import Node
        from sensor_msgs.msg import Image

        from swapnet_ros.msg import DetectionArray, PlayedFrame, SegmentationInfo, SwapStatus
        from swapnet_ros.nodes.video_player import PLAYED_QOS

        self.node = Node("stand_in")
        create = self.node.create_publisher
        self.played = create(PlayedFrame, "video_player/played", PLAYED_QOS)
        self.detections = create(DetectionArray, "object_detection/detections", 10)
        self.info = create(SegmentationInfo, "semantic_segmentation/segmentation_info", 10)
        self.class_map = create(Image, "semantic_segmentation/class_map", 10)
        self.status = create(SwapStatus, "swapnet/status", 10)
        self.diagnostics = create(DiagnosticArray, "/diagnostics", 10)

    @property
    def are_heard(self):
        results = (self.detections, self.info, self.class_map)
        publishers = (self.played, *results, self.status, self.diagnostics)
        return all(publisher.get_subscription_count() for publisher in publishers)


@pytest.fixture
def stand_in(ros):
    stand_in = _Publishers()
    ros.add_node(stand_in.node)
    yield stand_in
    stand_in.node.destroy_node()


@pytest.fixture
def monitor(ros, stand_in):
    from swapnet_ros.nodes.drive_monitor import DriveMonitor
    from swapnet_ros.nodes.hosted_nodes import HostedNode

    monitor = DriveMonitor([HostedNode(name=task, task=task) for task in _TASKS])
    ros.add_node(monitor)
    _spin_until(ros, lambda: stand_in.are_heard)
    yield monitor
    monitor.destroy_node()


def _spin_until(ros, is_done, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline_s
        ros.spin_once(timeout_sec=0.05)


def _of(monitor, task="object_detection"):
    return monitor.record.figures().tasks[task]


def test_results_find_their_frames_by_stamp(ros, monitor, stand_in):
    from std_msgs.msg import Header

    from swapnet_ros.msg import Detection, DetectionArray, FrameTiming, PlayedFrame

    stamp = stand_in.node.get_clock().now().to_msg()
    header = Header(stamp=stamp, frame_id="camera")
    box = Detection(class_id=3, label="bus", score=0.5, x_min=1.0, y_min=2.0, x_max=9.0, y_max=8.0)
    timing = FrameTiming(
        total_s=0.2, queue_s=0.02, decode_s=0.03, inference_s=0.1, stall_s=0.01, compute_s=0.08
    )
    result = DetectionArray(header=header, width=20, height=10, detections=[box], timing=timing)
    stand_in.detections.publish(result)
    stand_in.played.publish(PlayedFrame(header=header, index=7))
    _spin_until(ros, lambda: _of(monitor).frames_processed == 1)

    assert monitor.record.played[0].index == 7
    found = next(iter(monitor.record.results("object_detection").values()))
    assert 0 < found.latency_s < 10
    assert found.in_node_s == pytest.approx(0.2)
    assert found.running_s == pytest.approx(0.09)
    assert found.received_ns - found.inferred_ns == pytest.approx(50_000_000)
    (detection,) = found.output.detections
    assert (detection.label, detection.x_max) == ("bus", 9.0)
    assert (found.output.width, found.output.height) == (20, 10)


def test_a_class_map_and_its_info_are_one_result(ros, monitor, stand_in):
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from swapnet_ros.msg import PlayedFrame, SegmentationInfo

    header = Header(stamp=stand_in.node.get_clock().now().to_msg(), frame_id="camera")
    stand_in.played.publish(PlayedFrame(header=header, index=0))
    pixels = [1, 1, 0, 9, 0, 1, 1, 9]  # a row is longer than the image is wide
    stand_in.class_map.publish(
        Image(header=header, height=2, width=3, step=4, encoding="mono8", data=bytes(pixels))
    )
    info = SegmentationInfo(
        header=header, width=3, height=2, labels=["road", "sky"], shares=[0.25, 0.75]
    )
    stand_in.info.publish(info)
    _spin_until(ros, lambda: _of(monitor, "semantic_segmentation").frames_processed == 1)

    (found,) = monitor.record.results("semantic_segmentation").values()
    assert found.output.class_map.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert found.output.labels == ("road", "sky")


def _publish_health(stand_in, name, state, *, level=None, message="", weights="random"):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    values = {"state": state, "network": "net", "weights": weights}
    status = DiagnosticStatus(
        level=level or DiagnosticStatus.OK,
        name=f"/{name}",
        message=message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    stand_in.diagnostics.publish(DiagnosticArray(status=[status]))


def test_it_is_ready_when_all_networks_are_loaded_and_their_nodes_active(ros, monitor, stand_in):
    from swapnet_ros.msg import SwapModelStatus, SwapStatus

    detector = SwapModelStatus(name="/object_detection", demand_bytes=23, bytes_read=5)
    other = SwapModelStatus(name="/semantic_segmentation")
    stand_in.status.publish(SwapStatus(budget_bytes=10, models=[detector]))
    _publish_health(stand_in, "object_detection", "active")
    _publish_health(stand_in, "semantic_segmentation", "inactive", weights="trained")
    _spin_until(ros, lambda: list(monitor.waiting_for) == ["semantic_segmentation"])
    stand_in.status.publish(SwapStatus(budget_bytes=10, peak_bytes=9, models=[detector, other]))
    _publish_health(stand_in, "semantic_segmentation", "active", weights="trained")
    _spin_until(ros, lambda: monitor.is_ready)

    figures = monitor.record.figures()
    assert (figures.core.budget_bytes, figures.core.peak_bytes) == (10, 9)
    model = _of(monitor).model
    assert (model.demand_bytes, model.bytes_read) == (23, 5)
    assert [task.is_random for task in figures.tasks.values()] == [True, False]


def test_a_nodes_problem_comes_and_goes(ros, monitor, stand_in):
    from diagnostic_msgs.msg import DiagnosticStatus

    def publish(level, message):
        _publish_health(stand_in, "object_detection", "active", level=level, message=message)

    publish(DiagnosticStatus.ERROR, "cannot configure: no such file")
    _spin_until(ros, lambda: monitor.problems)
    assert monitor.problems == {"object_detection": "cannot configure: no such file"}
    assert monitor.diagnostics["object_detection"]["network"] == "net"
    publish(DiagnosticStatus.WARN, "no image for 6 s")
    _spin_until(ros, lambda: not monitor.problems)

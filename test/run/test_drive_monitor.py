"""The monitor over real DDS, with a stand-in for the perception process's topics."""

import time

import pytest

pytestmark = pytest.mark.ros


class _Publishers:
    """Publishes what the perception process and the player publish."""

    def __init__(self):
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.node import Node

        from swapnet_ros.msg import DetectionArray, PlayedFrame, SwapStatus
        from swapnet_ros.nodes.video_player import PLAYED_QOS

        self.node = Node("stand_in")
        create = self.node.create_publisher
        self.played = create(PlayedFrame, "video_player/played", PLAYED_QOS)
        self.detections = create(DetectionArray, "object_detection/detections", 10)
        self.status = create(SwapStatus, "swapnet/status", 10)
        self.diagnostics = create(DiagnosticArray, "/diagnostics", 10)

    @property
    def are_heard(self):
        publishers = (self.played, self.detections, self.status, self.diagnostics)
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

    monitor = DriveMonitor()
    ros.add_node(monitor)
    _spin_until(ros, lambda: stand_in.are_heard)
    yield monitor
    monitor.destroy_node()


def _spin_until(ros, is_done, timeout_s=10.0):
    deadline_s = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline_s
        ros.spin_once(timeout_sec=0.05)


def test_results_find_their_frames_by_stamp(ros, monitor, stand_in):
    from std_msgs.msg import Header

    from swapnet_ros.msg import Detection, DetectionArray, FrameTiming, PlayedFrame

    stamp = stand_in.node.get_clock().now().to_msg()
    header = Header(stamp=stamp, frame_id="camera")
    box = Detection(class_id=3, label="bus", score=0.5, x_min=1.0, y_min=2.0, x_max=9.0, y_max=8.0)
    result = DetectionArray(
        header=header,
        width=20,
        height=10,
        detections=[box],
        timing=FrameTiming(total_s=0.2, inference_s=0.1),
    )
    stand_in.detections.publish(result)
    stand_in.played.publish(PlayedFrame(header=header, index=7))
    _spin_until(ros, lambda: monitor.record.figures().frames_processed == 1)

    assert monitor.record.played[0].index == 7
    found = next(iter(monitor.record.results.values()))
    assert 0 < found.latency_s < 10
    assert found.in_node_s == pytest.approx(0.2)
    (detection,) = found.detections.detections
    assert (detection.label, detection.x_max) == ("bus", 9.0)
    assert (found.detections.width, found.detections.height) == (20, 10)


def test_it_is_ready_when_the_detectors_network_is_loaded(ros, monitor, stand_in):
    from swapnet_ros.msg import SwapModelStatus, SwapStatus

    other = SwapModelStatus(name="/lane_detection")
    stand_in.status.publish(SwapStatus(budget_bytes=10, models=[other]))
    detector = SwapModelStatus(name="/object_detection", demand_bytes=23, bytes_read=5)
    status = SwapStatus(budget_bytes=10, peak_bytes=9, models=[detector, other])
    stand_in.status.publish(status)
    _spin_until(ros, lambda: monitor.is_ready)
    swap = monitor.record.figures().swap
    assert (swap.budget_bytes, swap.peak_bytes) == (10, 9)
    assert (swap.demand_bytes, swap.bytes_read) == (23, 5)


def test_the_detectors_problem_comes_and_goes(ros, monitor, stand_in):
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

    def publish(level, message):
        pair = KeyValue(key="received", value="4")
        status = DiagnosticStatus(
            level=level, name="/object_detection", message=message, values=[pair]
        )
        stand_in.diagnostics.publish(DiagnosticArray(status=[status]))

    publish(DiagnosticStatus.ERROR, "cannot configure: no such file")
    _spin_until(ros, lambda: monitor.problem)
    assert monitor.problem == "cannot configure: no such file"
    assert monitor.detector_diagnostics == {"received": "4"}
    publish(DiagnosticStatus.WARN, "no image for 6 s")
    _spin_until(ros, lambda: not monitor.problem)

"""A perception process inside the test's own, and a robot around it that talks to it over DDS."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from swapnet_ros.msg import DetectionArray, SwapStatus
from swapnet_ros.nodes import diagnostics
from swapnet_ros.nodes.container import PerceptionHost
from swapnet_ros.nodes.dds_environment import prefer_shared_memory
from swapnet_ros.nodes.images import encode_image

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
ANSWER_S = 20.0
DOMAIN_ID = 30 + os.getpid() % 60
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def pytest_configure(config: pytest.Config) -> None:
    # rosidl's generated modules import it, from Python 3.11 on with a warning
    config.addinivalue_line("filterwarnings", "ignore:module 'sre_:DeprecationWarning")


@pytest.fixture(scope="session", autouse=True)
def dds_is_up() -> Iterator[None]:
    """Let images fit into shared memory, and Fast DDS open the sockets that it keeps for good."""
    variables = dict(os.environ)
    prefer_shared_memory(ROOT / "config" / "fastdds_shared_memory.xml", variables)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        context = Context()
        rclpy.init(context=context, domain_id=DOMAIN_ID)
        rclpy.create_node("warm_up", context=context).destroy_node()
        context.try_shutdown()
        yield


@pytest.fixture
def domain_id() -> int:
    """The DDS domain of this test run."""
    return DOMAIN_ID


@pytest.fixture(name="wait_until")
def _wait_until() -> Callable[..., Any]:
    """`wait_until(is_so, what)`."""
    return wait_until


def wait_until(is_so: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Wait for a condition and give its value; fail by its name."""
    end_s = time.monotonic() + patience_s
    while not (value := is_so()):
        if time.monotonic() > end_s:
            pytest.fail(f"waited {patience_s:.0f} s in vain: {what}")
        time.sleep(0.01)
    return value


class Robot:
    """A camera, a listener and an operator: a node in a context of its own."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=DOMAIN_ID)
        self.node = rclpy.create_node("robot", context=self._context)
        self.results: list[DetectionArray] = []
        self.diagnostics: list[DiagnosticStatus] = []
        self.statuses: list[SwapStatus] = []
        self.node.create_subscription(
            DetectionArray, "/object_detection/detections", self.results.append, 50
        )
        self.node.create_subscription(SwapStatus, "/swapnet/status", self.statuses.append, 10)
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda m: self.diagnostics.extend(m.status), 50
        )
        self._cameras: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="robot")
        self._thread.start()

    def _spin(self) -> None:
        while not self._is_over.is_set():
            self._executor.spin_once()

    def close(self) -> None:
        self._is_over.set()
        self._executor.create_task(lambda: None)
        self._thread.join()
        self._executor.remove_node(self.node)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def call(self, kind: type, name: str, request: Any) -> Any:
        """Call a service and wait for its answer.

        A service that has not discovered its client yet loses the answer (Fast DDS gives up after
        0.1 s). So clients are kept, and what stays without an answer is asked once more.
        """
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        assert client.wait_for_service(PATIENCE_S), f"no service {name}"
        futures = [client.call_async(request)]
        end_s = time.monotonic() + ANSWER_S
        wait_until(lambda: futures[0].done() or time.monotonic() > end_s, f"an answer of {name}")
        if not futures[0].done():
            futures.append(client.call_async(request))
        wait_until(lambda: any(each.done() for each in futures), f"an answer of {name}")
        return next(each for each in futures if each.done()).result()

    def change_state(self, label: str, node: str = "object_detection") -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f"/{node}/change_state", request).success

    def state(self, node: str = "object_detection") -> str:
        return self.call(GetState, f"/{node}/get_state", GetState.Request()).current_state.label

    def wait_for_state(self, label: str, node: str = "object_detection") -> None:
        wait_until(lambda: self.state(node) == label, f"{node} to be {label}")

    def set(self, node: str, **parameters: Any) -> list:
        """Set parameters through the node's service; gives one answer for each."""
        values = [Parameter(name, value=value) for name, value in parameters.items()]
        request = SetParameters.Request(parameters=[each.to_parameter_msg() for each in values])
        return self.call(SetParameters, f"/{node}/set_parameters", request).results

    def camera(self, topic: str = "/image", kind: type = Image) -> Any:
        """A publisher that the node has found."""
        if topic not in self._cameras:
            camera = self.node.create_publisher(kind, topic, BEST_EFFORT)
            self._cameras[topic] = camera
            wait_until(lambda: camera.get_subscription_count() > 0, f"a subscriber of {topic}")
        return self._cameras[topic]

    def show(self, message: Image | CompressedImage, topic: str = "/image") -> DetectionArray:
        """Publish one image and wait for its result."""
        before, camera = len(self.results), self.camera(topic, type(message))
        for _ in range(int(PATIENCE_S)):
            # best effort: the first one is lost if the node has not found the camera yet
            camera.publish(message)
            end_s = time.monotonic() + 1.0
            while len(self.results) == before and time.monotonic() < end_s:
                time.sleep(0.005)
            if len(self.results) > before:
                return self.results[-1]
        pytest.fail("no result")

    def values(self, name: str = "/object_detection") -> dict[str, str]:
        """Diagnostics that are made after this call."""
        return {pair.key: pair.value for pair in self.status(name).values}

    def status(self, name: str = "/object_detection") -> DiagnosticStatus:
        """The next status of a node; the one that is under way may be from before the call."""
        seen = len(self.diagnostics)

        def found() -> list[DiagnosticStatus]:
            return [status for status in self.diagnostics[seen:] if status.name == name][1:]

        return wait_until(found, f"diagnostics of {name}")[-1]


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Block files that all tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def detector_parameters(data_dir: Path) -> dict[str, Any]:
    """The smallest real detection network."""
    weights = data_dir / "weights"
    return {
        "network": str(weights / "yolo-fastest-1.1.cfg"),
        "weights": str(weights / "yolo-fastest-1.1.weights"),
        "labels": str(weights / "coco.names"),
    }


@pytest.fixture
def start_host(
    tmp_path: Path,
    cache_dir: Path,
    detector_parameters: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., PerceptionHost]]:
    """Start a perception host: `start_host(swapnet={...}, object_detection={...})`."""
    hosts: list[PerceptionHost] = []
    monkeypatch.setattr(diagnostics, "DIAGNOSTICS_PERIOD_S", 0.1)

    def start(*arguments: str, **sections: dict[str, Any]) -> PerceptionHost:
        parameters = {
            "swapnet": {"budget": "64MiB", "device": "cpu", "cache_dir": str(cache_dir)},
            "object_detection": dict(detector_parameters),
        }
        for node, changes in sections.items():
            parameters.setdefault(node, {}).update(changes)
        path = tmp_path / "parameters.yaml"
        document = {f"/**/{node}": {"ros__parameters": each} for node, each in parameters.items()}
        path.write_text(yaml.safe_dump(document))
        host = PerceptionHost(
            ["--ros-args", "--params-file", str(path), *arguments], domain_id=DOMAIN_ID
        )
        hosts.append(host)
        host.start()
        return host

    yield start
    for host in hosts:
        host.close()


@pytest.fixture
def street(data_dir: Path) -> np.ndarray:
    """A road-camera frame with vehicles: uint8 [H, W, 3], RGB."""
    path = sorted((data_dir / "roadside").glob("**/trafficcam_*.jpg"))[0]
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.fixture
def street_message(street: np.ndarray) -> Image:
    """The same frame as a message, with a stamp and a frame of its own."""
    header = Header(frame_id="road_camera")
    header.stamp.sec, header.stamp.nanosec = 1234, 567
    return encode_image(street, header)

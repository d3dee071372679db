"""A DDS domain of the test run's own, and a ROS context in it."""

import os

import pytest

_DOMAIN_ID = 1 + os.getpid() % 100


@pytest.fixture(scope="session")
def dds_is_up():
    """Let Fast DDS open the sockets that it keeps for the life of the process."""
    pytest.importorskip("swapnet_ros.msg", reason="needs the install space: make test")
    import rclpy
    from rclpy.context import Context

    context = Context()
    rclpy.init(args=[], context=context, domain_id=_DOMAIN_ID)
    rclpy.create_node("warm_up", context=context).destroy_node()
    context.try_shutdown()


@pytest.fixture
def domain_id(monkeypatch, dds_is_up):
    """Keep the test and its child processes to themselves."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(_DOMAIN_ID))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return _DOMAIN_ID


@pytest.fixture
def ros(domain_id):
    """Yield an executor in an initialised context; needs the built messages."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    rclpy.init(args=[], domain_id=domain_id)
    executor = SingleThreadedExecutor()
    yield executor
    executor.shutdown()
    rclpy.try_shutdown()

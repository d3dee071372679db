"""What the tests of the nodes share."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.context import Context


def pytest_configure(config: pytest.Config) -> None:
    # rosidl's generated modules import it, from Python 3.11 on with a warning
    config.addinivalue_line("filterwarnings", "ignore:module 'sre_:DeprecationWarning")


@pytest.fixture(scope="session", autouse=True)
def dds_is_up() -> None:
    """Let Fast DDS open the sockets that it keeps for the life of the process."""
    context = Context()
    rclpy.init(context=context, domain_id=24)
    rclpy.create_node("warm_up", context=context).destroy_node()
    context.try_shutdown()

"""The command starts fast: nothing is imported that only its work needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

_WITHOUT_NETWORKS = (
    "swapnet_ros.cli.bag_info",
    "swapnet_ros.cli.bag_making",
    "swapnet_ros.cli.verifying",
)


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (("swapnet_ros.cli.app",), ("torch", "torchvision", "numpy", "cv2", "rosbags", "rclpy")),
        (("swapnet_core",), ("torch", "numpy")),
        # torchvision brings PyTorch's compiler along
        (_WITHOUT_NETWORKS, ("torchvision", "torch._dynamo", "matplotlib")),
        (("swapnet_ros.evaluation.report.page",), ("torch", "cv2", "matplotlib")),
    ],
)
def test_nothing_is_imported_before_it_is_needed(modules, heavy):
    code = f"import sys, {', '.join(modules)}; print(*set({heavy}).intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

"""The ROS 2 side: what imports rclpy, with `replay` above it.

`container` hosts everything in one process: the `swapnet` node, which owns the core, and one
lifecycle node per perception task.
"""

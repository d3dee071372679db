"""The ROS 2 side: the only room that imports rclpy.

`container` hosts everything in one process: the `swapnet` node, which owns the core, and one
lifecycle node per perception task.
"""

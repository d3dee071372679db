"""Measuring results against ground truth. Nothing in here imports ROS."""

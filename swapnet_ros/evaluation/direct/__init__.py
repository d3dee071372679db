"""Evaluation without ROS: a bag's images, one after the other, through a scenario's tasks."""

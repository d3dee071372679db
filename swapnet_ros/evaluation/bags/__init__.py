"""Rosbags without ROS: reading them, also damaged ones, and making them."""

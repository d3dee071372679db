"""PyTorch perception networks inside a memory budget, as ROS 2 nodes."""

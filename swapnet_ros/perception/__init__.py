"""What networks mean: images in, typed results out. Nothing in here imports ROS."""

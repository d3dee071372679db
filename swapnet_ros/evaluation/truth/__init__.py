"""Ground truth: labels from files and from topics, and which of them belong to a frame."""

"""Perception tasks: preprocess, network, decode; one module per kind of task."""

"""Darknet networks: cfg and weights files, modules, and the decoding of their heads."""

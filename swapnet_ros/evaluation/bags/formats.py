"""How bags are stored, and images in them. Imports nothing: the command names these as options."""

from __future__ import annotations

from enum import Enum

IMAGE_LIST = "images.csv"
"""In the folder of a bag that was made of files: which image has which stamp."""


class BagStorage(str, Enum):
    """How a bag is stored."""

    MCAP = "mcap"
    SQLITE3 = "sqlite3"


class ImageCompression(str, Enum):
    """How compressed images are compressed; PNG keeps every pixel as it is."""

    JPEG = "jpeg"
    PNG = "png"

"""A drive on a country road, drawn by the project itself, for machines without a video at hand."""

from swapnet_ros.evaluation.road_scene.scene import RoadScene

__all__ = ["RoadScene"]

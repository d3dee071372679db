"""Which picture each task gets: images and weights of the evaluation data, and a network for them.

Where the data has no weights for a task's own classes, its network has random ones, or it is one
that knows classes of another kind; the pictures' captions say which.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.tasks.image_classification import Region

_IMAGENET = "weights/synset_words.txt"
_SQUEEZENET = "weights/squeezenet1_1_imagenet.safetensors"
_CAFFE = InputChanges(
    size=227, fit="squash", channel_order="bgr", scale=1.0, mean=(104, 117, 123), std=(1, 1, 1)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecipe:
    """One task's picture. Files are named below the folder of the evaluation data.

    Attributes:
        images: the images; more than one stand side by side.
        network: as the task's nodes take it.
        weights: weights file; empty for random weights.
        labels: file of class names; empty for the task's or the network's own.
        changes: preprocessing that differs from the network's own.
        region: the part of the image that is classified, left, top, right and bottom in 0..1; None
            for all of it.
        score_threshold: of detections and lanes.
        note: what else to know about the result.
    """

    images: tuple[str, ...]
    network: str
    weights: str = ""
    labels: str = ""
    changes: InputChanges | None = None
    region: tuple[float, float, float, float] | None = None
    score_threshold: float = 0.3
    note: str = ""

    def region_of(self, width: int, height: int) -> Region | None:
        """The part that is classified, in pixels of an image."""
        if self.region is None:
            return None
        left, top, right, bottom = self.region
        return Region(
            x_min=left * width, y_min=top * height, x_max=right * width, y_max=bottom * height
        )


_SIGNS = ("01_00076", "11_00029", "12_00037", "14_00093", "25_00071", "38_00005")
_SCENES = ("276", "384", "3029", "3975", "708", "5865")

RECIPES = MappingProxyType(
    {
        "lane_detection": PictureRecipe(
            images=("road_lane/tusimple_0001.png",),
            network="lane_fcn:lane_fcn",
            weights="weights/lane_fcn_mlnd.npz",
        ),
        "object_detection": PictureRecipe(
            images=("roadside/trafficcam_07.jpg",),
            network="yolo-fastest-1.1-xl",
            weights="weights/yolo-fastest-1.1-xl.weights",
            labels="weights/coco.names",
            score_threshold=0.4,
        ),
        "semantic_segmentation": PictureRecipe(
            images=("road_lane/tusimple_0003.png",),
            network="espnet:ESPNet",
            weights="weights/espnet_p2_q8_cityscapes.pth",
        ),
        "traffic_sign_classification": PictureRecipe(
            images=tuple(f"traffic_sign/gtsrb_c{name}.png" for name in _SIGNS),
            network="traffic_sign_net:TrafficSignNet",
            weights="weights/gtsrb_cnn_stn.pth",
        ),
        "traffic_light_classification": PictureRecipe(
            images=("roadside/intersection_000325.jpg",),
            network="resnet50",
            region=(0.4, 0.5, 0.58, 0.65),
        ),
        "natural_scene_classification": PictureRecipe(
            images=tuple(f"natural_scene/intel_sample_{name}.jpg" for name in _SCENES),
            network="squeezenet1_1",
            weights=_SQUEEZENET,
            labels=_IMAGENET,
            changes=_CAFFE,
            note="classes of ImageNet",
        ),
        "fire_detection": PictureRecipe(
            images=("fire/ff_Fire-1105.jpg",),
            network="resnet50",
            score_threshold=0.0,
        ),
        "wild_animal_recognition": PictureRecipe(
            images=("wildlife/lion_06.jpg",),
            network="squeezenet1_1",
            weights=_SQUEEZENET,
            labels=_IMAGENET,
            changes=_CAFFE,
            score_threshold=0.3,
            note="where: its class activation map",
        ),
    }
)
"""By task."""

"""A network of your own, as the task nodes take it: `network: traffic_sign_net:TrafficSignNet`.

A small classifier for the 43 traffic signs of GTSRB with a spatial transformer in front, which
learns to turn and zoom the sign into place (Jaderberg et al., NeurIPS 2015). Nothing in here knows
of swapnet: it is an ordinary module with two attributes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class SpatialTransformer(nn.Module):
    """Looks at an image and resamples it as that seems best."""

    def __init__(self) -> None:
        super().__init__()
        self.localization = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=7),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(8, 10, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        self.fc_loc = nn.Sequential(nn.Linear(160, 32), nn.ReLU(), nn.Linear(32, 6))

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, 32, 32] to the same shape."""
        theta = self.fc_loc(self.localization(image).flatten(1)).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(image.shape), align_corners=False)
        return functional.grid_sample(image, grid, align_corners=False)


class TrafficSignNet(nn.Module):
    """Spatial transformer, three convolutions, two linear layers; returns 43 logits."""

    def __init__(self) -> None:
        super().__init__()
        # how images are prepared; see docs/networks.md for the keys
        self.image_input = {
            "size": 32,
            "fit": "squash",
            "mean": (0.3337, 0.3064, 0.3171),
            "std": (0.2672, 0.2564, 0.2629),
        }
        self.stn = SpatialTransformer()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, kernel_size=5), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, kernel_size=5), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64, 128, kernel_size=3), nn.BatchNorm2d(128)
        self.fc1, self.fc2 = nn.Linear(128, 256), nn.Linear(256, 43)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, 32, 32] to logits [B, 43]."""
        x = self.stn(image)
        stages = ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3))
        for convolution, norm in stages:
            x = torch.relu(functional.max_pool2d(norm(convolution(x)), 2))
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))

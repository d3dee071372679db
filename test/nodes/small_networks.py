"""Users' own networks, small ones with fixed weights, as `package.module:factory`."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class Brightness(nn.Module):
    """Tells dark images from bright ones, by their mean."""

    image_input: ClassVar = {"size": (16, 16)}
    labels = ("dark", "bright")

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.conv.weight.fill_(20.0)
            self.conv.bias.fill_(-30.0)

    def forward(self, image: Tensor) -> Tensor:
        """[1, 3, 16, 16] to logits [1, 2]."""
        bright = self.conv(image).mean((1, 2, 3))
        return torch.stack((-bright, bright), dim=1)


class Thresholds(nn.Module):
    """Segments an image into dark and bright."""

    image_input: ClassVar = {"size": (32, 64)}
    labels = ("dark", "bright")

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.conv.weight.copy_(
                torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1)
            )
            self.conv.bias.copy_(torch.tensor([1.5, -1.5]))

    def forward(self, image: Tensor) -> Tensor:
        """[1, 3, 32, 64] to scores [1, 2, 32, 64]."""
        return self.conv(image)


class BrightLines(nn.Module):
    """Takes what is bright for a lane line."""

    image_input: ClassVar = {"size": (64, 96)}
    outputs = "line_mask"

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.conv.weight.fill_(10.0)
            self.conv.bias.fill_(-15.0)

    def forward(self, image: Tensor) -> Tensor:
        """[1, 3, 64, 96] to a mask [1, 1, 64, 96]."""
        return self.conv(image).sigmoid()


class RedIsFire(nn.Module):
    """A classifier for which red is fire; its one linear layer lets it tell where."""

    image_input: ClassVar = {"size": (32, 64)}
    labels = ("fire", "no fire")
    outputs = "logits"

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            kernel = torch.tensor([[40.0, -20.0, -20.0], [0.0, 0.0, 0.0]])
            self.conv.weight.copy_(kernel[:, :, None, None])
            self.conv.bias.copy_(torch.tensor([0.0, 1.0]))
            self.fc.weight.copy_(torch.eye(2))
            self.fc.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        """[1, 3, 32, 64] to logits [1, 2]."""
        features = self.conv(image).relu()
        return self.fc(torch.flatten(self.pool(features), 1))

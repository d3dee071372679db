"""A network of your own for `semantic_segmentation`: ESPNet (Mehta et al., ECCV 2018), p=2, q=8.

The weights of its authors (sacmehta/ESPNet, `espnet_p2_q8_cityscapes.pth`) fit as they are:

    network:=espnet:ESPNet weights:=espnet_p2_q8.pth    # with this folder on PYTHONPATH
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from swapnet_ros.perception.models.task_classes import ROAD_SCENE

_CLASSES = 20  # 19 of Cityscapes and void


class Norm(nn.Module):
    """Batch normalisation and PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same with other channels and, with a stride, another size."""
        return self.act(self.bn(x))


class Conv(nn.Module):
    """A convolution that keeps the size, but for its stride."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = (size - 1) // 2 * dilation
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same with other channels and, with a stride, another size."""
        return self.conv(x)


class ConvNorm(Norm):
    """A convolution with normalisation behind it."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__(outputs)
        self.conv = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same with other channels and, with a stride, another size."""
        return super().forward(self.conv(x))


class Pyramid(nn.Module):
    """Reduce, then dilated convolutions side by side, each added to the one before."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        narrow = outputs // 5
        self.c1 = Conv(inputs, narrow, size, stride)
        self.d1 = Conv(narrow, outputs - 4 * narrow, 3)
        for dilation in (2, 4, 8, 16):
            self.add_module(f"d{dilation}", Conv(narrow, narrow, 3, dilation=dilation))

    def spread(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        x = self.c1(x)
        parts, total = [self.d1(x)], 0
        for branch in (self.d2, self.d4, self.d8, self.d16):
            total = total + branch(x)
            parts.append(total)
        return torch.cat(parts, 1)


class Block(Pyramid):
    """A pyramid that keeps the size, with a way around it."""

    def __init__(self, inputs: int, outputs: int, *, is_residual: bool = True) -> None:
        super().__init__(inputs, outputs, 1, 1)
        self.bn = Norm(outputs)
        self.is_residual = is_residual

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same with other channels and, with a stride, another size."""
        spread = self.spread(x)
        return self.bn(x + spread if self.is_residual else spread)


class Down(Pyramid):
    """A pyramid that halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, 2)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same with other channels and, with a stride, another size."""
        return self.act(self.bn(self.spread(x)))


class Encoder(nn.Module):
    """Three levels: features at a half, a quarter and an eighth of the image's size."""

    def __init__(self) -> None:
        super().__init__()
        self.level1, self.b1 = ConvNorm(3, 16, 3, 2), Norm(19)
        self.level2_0 = Down(19, 64)
        self.level2 = nn.ModuleList(Block(64, 64) for _ in range(2))
        self.b2, self.level3_0 = Norm(131), Down(131, 128)
        self.level3 = nn.ModuleList(Block(128, 128) for _ in range(8))
        self.b3, self.classifier = Norm(256), Conv(256, _CLASSES, 1)
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 3, H, W] to the features of the three levels, the last one as scores."""
        half = self.shrink(image)
        first = self.level1(image)
        start = x = self.level2_0(self.b1(torch.cat((first, half), 1)))
        for block in self.level2:
            x = block(x)
        second = self.b2(torch.cat((x, start, self.shrink(half)), 1))
        start = x = self.level3_0(second)
        for block in self.level3:
            x = block(x)
        return first, second, self.classifier(self.b3(torch.cat((start, x), 1)))


class ESPNet(nn.Module):
    """The encoder, and a light decoder that joins its three levels."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = (*ROAD_SCENE, "void")
        self.image_input = {
            "size": (512, 1024),
            "channel_order": "bgr",
            "scale": 1.0,
            "mean": (72.39, 82.91, 73.16),
            "std": (45.32 * 255, 46.15 * 255, 44.91 * 255),
        }
        self.encoder = Encoder()
        self.level3_C = Conv(131, _CLASSES, 1)
        self.br = nn.BatchNorm2d(_CLASSES, eps=1e-3)
        self.conv = ConvNorm(16 + _CLASSES, _CLASSES, 3)
        self.up_l3 = nn.Sequential(self._double())
        pair = Norm(2 * _CLASSES), Block(2 * _CLASSES, _CLASSES, is_residual=False)
        self.combine_l2_l3 = nn.Sequential(*pair)
        self.up_l2 = nn.Sequential(self._double(), Norm(_CLASSES))
        self.classifier = self._double()

    @staticmethod
    def _double() -> nn.Module:
        return nn.ConvTranspose2d(_CLASSES, _CLASSES, 2, stride=2, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, 512, 1024] to scores [B, 20, 512, 1024]."""
        first, second, third = self.encoder(image)
        third = self.up_l3(self.br(third))
        second = self.up_l2(self.combine_l2_l3(torch.cat((self.level3_C(second), third), 1)))
        return self.classifier(self.conv(torch.cat((second, first), 1)))

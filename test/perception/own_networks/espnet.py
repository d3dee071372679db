"""ESPNet (Mehta et al., ECCV 2018) with p=2, q=8, as a user would bring it along."""

import torch
from torch import nn

from swapnet_ros.perception.models.task_classes import ROAD_SCENE

_CLASSES = 20  # 19 of Cityscapes and void


class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)
        self.act = nn.PReLU(channels)

    def forward(self, x):
        return self.act(self.bn(x))


class Conv(nn.Module):
    def __init__(self, inputs, outputs, size, stride=1, dilation=1):
        super().__init__()
        padding = (size - 1) // 2 * dilation
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False)

    def forward(self, x):
        return self.conv(x)


class ConvNorm(Norm):
    def __init__(self, inputs, outputs, size, stride=1):
        super().__init__(outputs)
        self.conv = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, bias=False)

    def forward(self, x):
        return super().forward(self.conv(x))


class Pyramid(nn.Module):
    """Reduce, then dilated convolutions side by side, each added to the one before."""

    def __init__(self, inputs, outputs, size, stride):
        super().__init__()
        narrow = outputs // 5
        self.c1 = Conv(inputs, narrow, size, stride)
        self.d1 = Conv(narrow, outputs - 4 * narrow, 3)
        for dilation in (2, 4, 8, 16):
            self.add_module(f"d{dilation}", Conv(narrow, narrow, 3, dilation=dilation))

    def spread(self, x):
        x = self.c1(x)
        parts, total = [self.d1(x)], 0
        for branch in (self.d2, self.d4, self.d8, self.d16):
            total = total + branch(x)
            parts.append(total)
        return torch.cat(parts, 1)


class Block(Pyramid):
    def __init__(self, inputs, outputs, *, is_residual=True):
        super().__init__(inputs, outputs, 1, 1)
        self.bn = Norm(outputs)
        self.is_residual = is_residual

    def forward(self, x):
        spread = self.spread(x)
        return self.bn(x + spread if self.is_residual else spread)


class Down(Pyramid):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, 2)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.act = nn.PReLU(outputs)

    def forward(self, x):
        return self.act(self.bn(self.spread(x)))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.level1, self.b1 = ConvNorm(3, 16, 3, 2), Norm(19)
        self.level2_0 = Down(19, 64)
        self.level2 = nn.ModuleList(Block(64, 64) for _ in range(2))
        self.b2, self.level3_0 = Norm(131), Down(131, 128)
        self.level3 = nn.ModuleList(Block(128, 128) for _ in range(8))
        self.b3, self.classifier = Norm(256), Conv(256, _CLASSES, 1)
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, image):
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
    def __init__(self):
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
    def _double():
        return nn.ConvTranspose2d(_CLASSES, _CLASSES, 2, stride=2, bias=False)

    def forward(self, image):
        first, second, third = self.encoder(image)
        third = self.up_l3(self.br(third))
        second = self.up_l2(self.combine_l2_l3(torch.cat((self.level3_C(second), third), 1)))
        return self.classifier(self.conv(torch.cat((second, first), 1)))

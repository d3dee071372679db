"""A network of your own for `lane_detection`: the camera's lane as an area, by MLND-Capstone.

Convert its Keras weights once, then name the factory and the converted file:

    python lane_fcn.py lane_fcn_mlnd.npz lane_fcn.safetensors
    network:=lane_fcn:lane_fcn weights:=lane_fcn.safetensors    # with this folder on PYTHONPATH

Source:
    mvirgo/MLND-Capstone (MIT), fully_conv_NN.py: the layers.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

_KERAS_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class LaneFcn(nn.Module):
    """Convolutions down to an eighth of the image and up again, with a mask at the end."""

    # what a node should know: height and width, pixels stay in 0..255, the mask shows the area
    image_input: ClassVar = {"size": (80, 160), "scale": 1.0}
    outputs = "area_mask"

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, eps=1e-3)
        self.down = nn.Sequential(
            *(_conv(3, 8), _conv(8, 16), nn.MaxPool2d(2)),
            *(_conv(16, 16), _conv(16, 32), _conv(32, 32), nn.MaxPool2d(2)),
            *(_conv(32, 64), _conv(64, 64), nn.MaxPool2d(2)),
        )
        self.up = nn.Sequential(
            *(nn.Upsample(scale_factor=2), _deconv(64, 64), _deconv(64, 64)),
            *(nn.Upsample(scale_factor=2), _deconv(64, 32), _deconv(32, 32), _deconv(32, 16)),
            *(nn.Upsample(scale_factor=2), _deconv(16, 16), _deconv(16, 1)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Image float32 [B, 3, 80, 160], RGB in 0..255, to a mask [B, 1, 80, 160], about 0..1."""
        mask: Tensor = self.up(self.down(self.norm(image)))
        return mask


def lane_fcn() -> nn.Module:
    """What the parameter `network: lane_fcn:lane_fcn` calls."""
    return LaneFcn()


def convert(source: Path, target: Path) -> None:
    """Write the Keras weights as a state dict of `LaneFcn`.

    Args:
        source: `.npz` with `Conv1.kernel`, `Conv1.bias`... Kernels are height, width, in, out (for
            transposed convolutions height, width, out, in): one permutation does for both.
        target: `.safetensors`.

    Raises:
        KeyError: the file lacks one of the arrays.
        RuntimeError: an array has another shape than the network's.
    """
    convolutions = [f"Conv{n}" for n in range(1, 8)]
    convolutions += [*(f"Deconv{n}" for n in range(1, 7)), "Final"]
    names = [
        name
        for name, module in LaneFcn().named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    state: dict[str, Tensor] = {}
    with np.load(source) as arrays:
        for keras, name in zip(convolutions, names, strict=True):
            kernel = torch.from_numpy(arrays[f"{keras}.kernel"])
            state[f"{name}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
            state[f"{name}.bias"] = torch.from_numpy(arrays[f"{keras}.bias"])
        for keras, name in _KERAS_NORM.items():
            state[f"norm.{name}"] = torch.from_numpy(arrays[f"batch_normalization_1.{keras}"])
    state["norm.num_batches_tracked"] = torch.tensor(0)
    LaneFcn().load_state_dict(state)
    save_file(state, target)


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.ReLU())


def _deconv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 3), nn.ReLU())


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

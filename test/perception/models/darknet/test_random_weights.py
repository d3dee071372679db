from __future__ import annotations

from pathlib import Path

import torch

from swapnet_ros.perception.models import catalogue
from swapnet_ros.perception.models.darknet.decode import YoloDecoder
from swapnet_ros.perception.models.darknet.definition import read_definition
from swapnet_ros.perception.models.darknet.network import DarknetNetwork
from swapnet_ros.perception.models.darknet.random_weights import seeded_darknet_weights

_SHIPPED = Path(catalogue.__file__).parent / "cfg"


def test_a_full_size_network_stays_finite_and_quiet():
    definition = read_definition(_SHIPPED / "yolov3.cfg", input_size=(160, 160))
    network = DarknetNetwork(definition)
    state = network.state_dict()
    for name, tensor in seeded_darknet_weights(definition, seed=0).items():
        state[name].copy_(tensor)

    with torch.inference_mode():
        outputs = network(torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(1)))

    assert all(0.05 < output.std() < 2 for output in outputs)
    decoder = YoloDecoder(heads=definition.heads, input_shape=definition.input_shape)
    assert len(decoder(outputs, 0.3).scores) == 0


def test_names_are_those_of_the_network(define):
    definition = define("[convolutional]\nbatch_normalize=1\n[shortcut]\nfrom=-1\n")

    weights = seeded_darknet_weights(definition, seed=0)

    assert list(weights) == list(DarknetNetwork(definition).state_dict())

"""Class activation maps: where in the image a classifier sees what it says."""

from __future__ import annotations

import operator
import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from swapnet_ros.perception.errors import NoClassMapError

_PASSING_MODULES = (nn.Dropout, nn.Flatten, nn.Identity)
_POOLING_MODULES = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
_PASSING = {torch.flatten, functional.dropout, "flatten", "view", "reshape"}
_POOLING = {functional.adaptive_avg_pool2d, torch.mean, "mean"}


class LinearWithMaps(nn.Linear):
    """A classifier's last layer, for the pooled features and for every place in them.

    It has the parameters of the layer that it stands for, under the same names.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, input: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels] and [B, channels, h, w] to [B, classes] and [B, classes, h, w]."""
        weight = self.weight
        maps = functional.linear(features.permute(0, 2, 3, 1), weight)
        return functional.linear(input, weight, self.bias), maps.permute(0, 3, 1, 2)


def with_class_maps(network: nn.Module, name: str) -> nn.Module:
    """Let a classifier return its class activation maps beside its scores.

    The network computes what it did before, bit for bit; its last layer is also applied to each
    place of the last feature map. Names of parameters stay, so the same weights fit.

    Args:
        network: a classifier whose scores are one linear layer on averaged features (ResNet,
            ResNeXt, RegNet, DenseNet, EfficientNet, MobileNetV2, Swin and others), or are
            themselves an average (SqueezeNet).
        name: of the network, for messages.

    Returns:
        A network whose forward gives scores [B, classes] and maps [B, classes, h, w].

    Raises:
        NoClassMapError: there are other layers between the average and the scores, or the
            network's code cannot be followed.

    Source:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """
    try:
        traced = _trace(network)
    # following a user's forward may fail with anything
    except Exception as error:
        raise NoClassMapError(f"the code of {name} cannot be followed: {error}") from error
    head = _find_head(traced, name)
    output = head.output
    if head.linear is None:
        output.args = ((output.args[0], head.features),)
    else:
        path = str(head.linear.target)
        parent, _, child = path.rpartition(".")
        replaced = LinearWithMaps(traced.get_submodule(path))
        setattr(traced.get_submodule(parent), child, replaced)
        _return_maps(traced.graph, head.output, head.linear, head.features)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced.eval()


class _OwnThreadTracer(fx.Tracer):
    """Follows the network of the thread that made it.

    [Note: tracing beside running networks] While it traces, torch.fx replaces `nn.Module.__call__`
    and `__getattr__` for the whole process. What other threads call meanwhile, such as a network
    that works on a camera's image, is none of its business and runs as it would without it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Follow a call of this thread; let another one's pass."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Follow a look-up of this thread; let another one's pass."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


# Two tracers at a time would not restore what they replaced.
_TRACING = threading.Lock()


def _trace(network: nn.Module) -> fx.GraphModule:
    with _TRACING:
        tracer = _OwnThreadTracer()
        graph = tracer.trace(network)
        return fx.GraphModule(tracer.root, graph, type(network).__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The end of a classifier.

    Attributes:
        output: what the network returns.
        linear: the layer that makes scores of averages; None where the scores are averages.
        features: what is averaged.
    """

    output: fx.Node
    linear: fx.Node | None
    features: fx.Node


def _find_head(traced: fx.GraphModule, name: str) -> _Head:
    """Walk from the scores back to the average."""
    output = next(node for node in traced.graph.nodes if node.op == "output")
    linear, node = None, output.args[0]
    while isinstance(node, fx.Node):
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, _POOLING_MODULES) or node.target in _POOLING:
            return _Head(output=output, linear=linear, features=node.args[0])
        if isinstance(module, nn.Linear) and linear is None:
            linear = node
        elif not (isinstance(module, _PASSING_MODULES) or node.target in _PASSING):
            break
        node = node.args[0]
    raise NoClassMapError(
        f"{name} cannot tell where in the image it sees a class: its scores are not one linear "
        "layer on averaged features; take another classifier (resnet101, efficientnet_b4, swin_b) "
        "or a detector"
    )


def _return_maps(graph: fx.Graph, output: fx.Node, linear: fx.Node, features: fx.Node) -> None:
    """Give the last layer the features, and return its maps beside the scores."""
    linear.args = (*linear.args, features)
    followers = list(linear.users)
    with graph.inserting_after(linear):
        maps = graph.call_function(operator.getitem, (linear, 1))
        scores = graph.call_function(operator.getitem, (linear, 0))
    for follower in followers:
        follower.replace_input_with(linear, scores)
    output.args = ((output.args[0], maps),)

"""Which keys of a cfg file mean something here, and which may be passed over.

A key is one of three: **read** (it shapes the network), **training** (it has no effect once a
network is trained, so its value does not matter), or **fixed** (it would change the network in a
way that is not supported, so it may only stand at the value that changes nothing).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swapnet_ros.perception.models.darknet.cfg import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionKeys:
    """The keys that one kind of section may have."""

    read: frozenset[str]
    training: frozenset[str] = frozenset()
    fixed: dict[str, str] = field(default_factory=dict)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EVERY_TRAINING = _words(
    "clip onlyforward dont_update burnin_update stopbackward train_only_bn learning_rate"
)
_EVERY_FIXED = {"dontload": "0", "dontloadscales": "0"}

_KEYS = {
    "net": SectionKeys(
        read=_words("width height channels letter_box"),
        training=_words(
            "batch subdivisions momentum decay angle saturation exposure hue learning_rate "
            "learning_rate_min burn_in max_batches policy step steps scale scales seq_scales gamma "
            "power adam B1 B2 eps mosaic mosaic_bound mixup cutmix blur gaussian_noise flip aspect "
            "max_crop min_crop center resize_step label_smooth_eps sgdr_cycle sgdr_mult track "
            "augment_speed sequential_subdivisions try_fix_nan weights_reject_freq loss_scale "
            "equidistant_point badlabels_rejection_percentage num_sigmas_reject_badlabels "
            "ema_alpha use_cuda_graph dynamic_minibatch optimized_memory workspace_size_limit_MB "
            "attention adversarial_lr max_chart_loss unsupervised contrastive contrastive_color "
            "contrastive_jit_flip"
        ),
        fixed={"time_steps": "1"},
    ),
    "convolutional": SectionKeys(
        read=_words(
            "filters size stride stride_x stride_y pad padding groups batch_normalize activation"
        ),
        training=_words("grad_centr angle stream wait_stream dot"),
        fixed={
            "dilation": "1",
            "antialiasing": "0",
            "assisted_excitation": "0",
            "cbn": "0",
            "binary": "0",
            "xnor": "0",
            "bin_output": "0",
            "sway": "0",
            "rotate": "0",
            "stretch": "0",
            "stretch_sway": "0",
            "flipped": "0",
            "reverse": "0",
            "coordconv": "0",
        },
    ),
    "maxpool": SectionKeys(
        read=_words("size stride stride_x stride_y padding"),
        fixed={"maxpool_depth": "0", "antialiasing": "0", "maxpool_zero_nonmax": "0"},
    ),
    "avgpool": SectionKeys(read=frozenset()),
    "shortcut": SectionKeys(
        read=_words("from activation"),
        fixed={"weights_type": "none", "weights_normalization": "none"},
    ),
    "route": SectionKeys(
        read=_words("layers groups group_id"), training=_words("stream wait_stream")
    ),
    "upsample": SectionKeys(read=_words("stride"), fixed={"scale": "1"}),
    "dropout": SectionKeys(
        read=frozenset(),
        training=_words("probability dropblock dropblock_size_rel dropblock_size_abs"),
    ),
    "yolo": SectionKeys(
        read=_words("mask anchors classes num scale_x_y new_coords"),
        training=_words(
            "jitter resize ignore_thresh truth_thresh iou_thresh iou_thresh_kind random max "
            "max_delta iou_loss iou_normalizer obj_normalizer cls_normalizer delta_normalizer "
            "objectness_smooth label_smooth_eps focal_loss counters_per_class show_details "
            "nms_kind beta_nms track_history_size sim_thresh dets_for_track dets_for_show "
            "track_ciou_norm"
        ),
    ),
}


def known_sections() -> tuple[str, ...]:
    """Names of the sections that are supported."""
    return tuple(_KEYS)


def check_keys(section: Section) -> None:
    """Accept only keys whose meaning is known and supported.

    Raises:
        NetworkDefinitionError: a key is not known, or asks for something that is not supported.

    Source:
        AlexeyAB/darknet, src/parser.c: the keys that each `parse_*` function asks for.
    """
    keys = _KEYS[section.name]
    passed_over = keys.training if section.name == "net" else keys.training | _EVERY_TRAINING
    fixed = keys.fixed | _EVERY_FIXED
    for key, option in section.options.items():
        if key in keys.read or key in passed_over:
            continue
        if key not in fixed:
            raise section.error(f"the key '{key}' is not known in this section", key=key)
        if not _is_same_value(option.text, fixed[key]):
            message = f"{key}={option.text} is not supported, only {key}={fixed[key]}"
            raise section.error(message, key=key)


def _is_same_value(text: str, expected: str) -> bool:
    if text == expected:
        return True
    try:
        return float(text) == float(expected)
    except ValueError:
        return False

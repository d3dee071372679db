"""What a drill must show. Pure: from what was seen to findings, each with its figures in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from drill.process_figures import Holdings, Trend, trend
from drill.record import Drill, Heard
from drill.troubles import SILENT_CAMERAS, Shot
from swapnet_ros.nodes.diagnostics import SILENCE_WARNING_S

OUTCOMES = ("processed", "dropped", "refused", "stale", "late", "failed")
RATIO = 2.32
# A newer image counts as there when it was sent this long before a node took an older one.
GRACE_S = 1.0
# What may be more in the last third of a drill than in the first: malloc has its play.
GROWTH_BYTES = 16 * 2**20
GROWTH_COUNT = 1
# One participant's segment with config/fastdds_shared_memory.xml, its bookkeeping included.
RING_BYTES = 34 * 2**20
_WARM_UP_SHARE, _WARM_UP_S = 0.2, 60.0
_MIB = 2**20
_CHANCE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked."""

    claim: str
    holds: bool
    figures: str


def check_all(drill: Drill) -> tuple[Finding, ...]:
    """Check everything that a drill must show."""
    return tuple(check(drill) for check in _CHECKS)


def trends(holdings: Sequence[Holdings]) -> dict[str, Trend]:
    """How the process's figures went after the warm-up: its first fifth, at most a minute."""
    begin_s = min(_WARM_UP_S, holdings[-1].at_s * _WARM_UP_SHARE)
    warm = [each for each in holdings if each.at_s >= begin_s]
    times_s = [each.at_s for each in warm]
    names = ("rss_bytes", "private_bytes", "shared_bytes", "threads", "files")
    return {name: trend(times_s, [getattr(each, name) for each in warm]) for name in names}


def ages_s(drill: Drill, node: str) -> list[float]:
    """How old images were, from being sent, when a node began to work on them; sorted."""
    return sorted(
        (each.began_ns - drill.sent[each.camera].sent_before(each.stamp_ns, each.began_ns)) / 1e9
        for each in drill.heard
        if each.node == node and each.began_ns is not None and _is_known(drill, each)
    )


def _is_known(drill: Drill, heard: Heard) -> bool:
    return heard.camera in drill.sent and drill.sent[heard.camera].has(heard.stamp_ns)


def _budget(drill: Drill) -> Finding:
    budget_bytes = max((each.budget_bytes for each in drill.core), default=0)
    ratio = drill.demand_bytes / budget_bytes if budget_bytes else 0.0
    return Finding(
        claim=f"demand over budget is at least {RATIO}",
        holds=ratio >= RATIO,
        figures=f"{drill.demand_bytes / _MIB:.1f} / {budget_bytes / _MIB:.1f} MiB = {ratio:.3f}",
    )


def _leases(drill: Drill) -> Finding:
    most = max((max(each.leased_bytes, each.peak_bytes) for each in drill.core), default=0)
    over = sum(max(each.leased_bytes, each.peak_bytes) > each.budget_bytes for each in drill.core)
    return Finding(
        claim="leased bytes are never above the budget",
        holds=bool(drill.core) and over == 0,
        figures=f"at most {most / _MIB:.1f} MiB in {len(drill.core)} reports",
    )


def _results(drill: Drill) -> Finding:
    """Every result that a node counts was heard, on each of its topics."""
    wrong = []
    for node, topics in drill.topics.items():
        processed = drill.counts[node]["processed"]
        heard = [sum(each.topic == topic for each in drill.heard) for topic in topics]
        if processed == 0 or any(number != processed for number in heard):
            wrong.append(f"{node} counts {processed}, heard {heard}")
    return Finding(
        claim="every node publishes, and every result that it counts arrives",
        holds=not wrong,
        figures="; ".join(wrong) or f"{len(drill.heard)} messages",
    )


def _headers(drill: Drill) -> Finding:
    unknown = [each for each in drill.heard if not _is_known(drill, each)]
    return Finding(
        claim="every result has stamp and frame_id of a usable image that was sent",
        holds=not unknown,
        figures=f"{len(drill.heard) - len(unknown)} of {len(drill.heard)}",
    )


def _newest(drill: Drill) -> Finding:
    """No image was worked on while a newer one of its camera had been there for a while."""
    older = 0
    for each in drill.heard:
        if each.began_ns is not None and _is_known(drill, each):
            log = drill.sent[each.camera]
            newest_ns = log.newest_before(each.began_ns - round(GRACE_S * 1e9))
            older += log.sent_before(each.stamp_ns, each.began_ns) < newest_ns
    return Finding(
        claim=f"newest wins: no newer image of the camera was there for {GRACE_S:g} s",
        holds=older == 0,
        figures=f"{older} older ones used",
    )


def _stamps(drill: Drill) -> Finding:
    """With `max_age_s`, what a camera repeats is not used for longer than that."""
    ages = [
        (each.began_ns - each.stamp_ns) / 1e9 for each in drill.heard if each.began_ns is not None
    ]
    oldest_s = max(ages, default=0.0)
    return Finding(
        claim=f"no image older than max_age_s ({drill.max_age_s:g} s) by its stamp is used",
        holds=oldest_s <= drill.max_age_s + GRACE_S,
        figures=f"oldest {oldest_s:.2f} s",
    )


def _accounts(drill: Drill) -> Finding:
    wrong = [
        f"{node}: received {counts['received']}, accounted for {accounted}"
        for node, counts in drill.counts.items()
        if (accounted := sum(counts[outcome] for outcome in OUTCOMES)) != counts["received"]
    ]
    received = sum(counts["received"] for counts in drill.counts.values())
    return Finding(
        claim="every image that a node received is accounted for by cause",
        holds=not wrong and received > 0,
        figures="; ".join(wrong) or f"{received} images",
    )


def _refusals(drill: Drill) -> Finding:
    """That none was refused is a fault where it cannot be chance, as it can in a few turns."""
    broken = sum(log.count(Shot.BROKEN) for log in drill.sent.values())
    refused = {node: counts["refused"] for node, counts in drill.counts.items()}
    chance = 0.0 if sum(refused.values()) else _chance_of_none(drill)
    told = f"; none by chance: {chance:.1%}, so this tells nothing" if chance > _CHANCE else ""
    return Finding(
        claim="broken images are refused, and only those",
        holds=max(refused.values()) <= broken and (sum(refused.values()) > 0 or chance > _CHANCE),
        figures=f"{broken} sent; refused when their turn came: {sum(refused.values())}{told}",
    )


def _chance_of_none(drill: Drill) -> float:
    """How likely no broken image comes to its turn, with as many turns as the usable ones had."""
    first_topics = {topics[0] for topics in drill.topics.values()}
    used = Counter(each.camera for each in drill.heard if each.topic in first_topics)
    chance = 1.0
    for camera, log in drill.sent.items():
        share = log.count(Shot.BROKEN) / max(1, len(log.sent))
        chance *= (1.0 - share) ** used[camera]
    return chance


def _silences(drill: Drill) -> Finding:
    """The diagnostics of every node measure the silence of a camera that is gone or stuck."""
    missed = [
        f"{node} {camera}"
        for node in drill.topics
        for camera in SILENT_CAMERAS
        if drill.silences_s.get((node, camera), 0.0) < SILENCE_WARNING_S
    ]
    return Finding(
        claim=f"every node's diagnostics tell silences of more than {SILENCE_WARNING_S:g} s",
        holds=not missed,
        figures="; ".join(missed) or f"cameras {', '.join(SILENT_CAMERAS)}",
    )


def _comebacks(drill: Drill) -> Finding:
    """Each is used after its first return; how often it was before the next, the figures tell."""
    missed, told = [], []
    for camera, returns_ns in drill.returns_ns.items():
        stamps_ns = [each.stamp_ns for each in drill.heard if each.camera == camera]
        ends_ns = [*returns_ns[1:], max(stamps_ns, default=0) + 1]
        used = sum(
            any(begin_ns < stamp_ns < end_ns for stamp_ns in stamps_ns)
            for begin_ns, end_ns in zip(returns_ns, ends_ns, strict=True)
        )
        told.append(f"{camera} after {used} of {len(returns_ns)} returns")
        if used == 0:
            missed.append(camera)
    return Finding(
        claim="cameras that come back are used again",
        holds=bool(told) and not missed,
        figures="; ".join([f"{drill.kills} kills", *told]),
    )


def _memory(drill: Drill) -> Finding:
    found = trends(drill.holdings)["private_bytes"]
    return Finding(
        claim=f"the process's own memory is flat: it grows by less than {GROWTH_BYTES // _MIB} MiB",
        holds=found.growth < GROWTH_BYTES,
        figures=f"{found.growth / _MIB:+.1f} MiB, {found.per_min / _MIB:+.2f} MiB/min",
    )


def _shared_memory(drill: Drill) -> Finding:
    """Rings of images: the more of one has been written, the more of it is resident."""
    found = trends(drill.holdings)["shared_bytes"]
    limit_bytes = (len(drill.sent) + 1) * RING_BYTES
    return Finding(
        claim="memory shared with the cameras stays within a ring for each and one's own",
        holds=found.largest <= limit_bytes,
        figures=f"at most {found.largest / _MIB:.1f} of {limit_bytes / _MIB:.1f} MiB, "
        f"{found.per_min / _MIB:+.2f} MiB/min",
    )


def _count(name: str) -> Callable[[Drill], Finding]:
    def check(drill: Drill) -> Finding:
        found = trends(drill.holdings)[name]
        return Finding(
            claim=f"the number of {name} is flat",
            holds=found.growth <= GROWTH_COUNT,
            figures=f"{found.first:g} to {found.last:g}, at most {found.largest:g}",
        )

    return check


def _problems(drill: Drill) -> Finding:
    failed = sum(counts["failed"] for counts in drill.counts.values())
    shown = list(_unique(drill.problems))
    return Finding(
        claim="no errors: no failed frame, no ERROR in diagnostics or log, clean end",
        holds=not shown and failed == 0,
        figures="; ".join([f"{failed} failed frames", *shown[:5]]),
    )


def _unique(texts: Sequence[str]) -> Iterator[str]:
    yield from dict.fromkeys(texts)


_CHECKS = (
    _budget,
    _leases,
    _results,
    _headers,
    _newest,
    _stamps,
    _accounts,
    _refusals,
    _silences,
    _comebacks,
    _memory,
    _shared_memory,
    _count("threads"),
    _count("files"),
    _problems,
)

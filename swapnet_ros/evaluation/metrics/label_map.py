"""Which names of classes mean the same, to the network and to the people who made the labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from swapnet_ros.evaluation.truth.errors import TruthError


class LabelMap:
    """Gives classes the names under which they are compared.

    Names are equal regardless of case, and `traffic_light` is `traffic-light` and `traffic light`.
    Beyond that, names of one group are one class. It goes for the names of both sides.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(
        self, groups: Mapping[str, Sequence[str]] | None = None, *, ignored: Iterable[str] = ()
    ) -> None:
        """Take the groups.

        Args:
            groups: names that are one class, by the name of that class.
            ignored: names of classes that do not count, found or labelled.

        Raises:
            TruthError: a name is in two groups, or in one and ignored.
        """
        self._names: dict[str, str | None] = {}
        self.merged: frozenset[str] = frozenset(
            plain_name(group) for group, names in (groups or {}).items() if len(set(names)) > 1
        )
        for group, names in (groups or {}).items():
            for name in {plain_name(each) for each in (group, *names)}:
                self._add(name, plain_name(group))
        for name in {plain_name(each) for each in ignored}:
            self._add(name, None)

    def name_of(self, label: str) -> str | None:
        """The name under which a class is compared; None where it is ignored."""
        plain = plain_name(label)
        return self._names.get(plain, plain)

    def names_of(self, labels: Iterable[str]) -> tuple[str, ...]:
        """The names of several classes, each once, without those that are ignored."""
        names = (self.name_of(label) for label in labels)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def _add(self, name: str, group: str | None) -> None:
        if name in self._names:
            places = " and ".join(str(each or "ignored") for each in (self._names[name], group))
            raise TruthError(f"the class name '{name}' stands twice, in {places}")
        self._names[name] = group


class KnownClasses:
    """The classes that a network can find, under the names by which they are compared."""

    def __init__(self, network_labels: Sequence[str], label_map: LabelMap) -> None:
        """Take a network's labels; without any nobody can tell, and it may know every class."""
        self._names = frozenset(label_map.names_of(network_labels))

    def __contains__(self, name: str | None) -> bool:
        """Whether the network can find a class; an ignored one, None, it cannot."""
        return name is not None and (not self._names or name in self._names)


def plain_name(label: str) -> str:
    """A name as it is compared: small letters, single spaces."""
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())

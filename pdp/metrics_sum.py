"""What several workers count, as one: the sum of their counters and histograms, and of each state what says it best.

Families of each worker come in by its writer number, as it says them last; families go out. Of a worker that has ended
its counters stay.
INVARIANT: what was counted once and shown goes never down, whichever worker ends, and however.

Decision: 2026-11-22. Workers are asked over the channel of each (pdp/channel.py), not by the files of
prometheus-client's multiprocess mode: a decision goes on counting in memory alone, states can be asked for, and no file
outlives its worker. What a killed worker counted since the metrics were last read is not in the sum.
Decision: 2026-11-22. A state that is good is shown where it is so at every worker (`LEAST`), one that is bad, old or of
one policy where it is so at any (`MOST`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pdp.metrics import Family, Sample

LEAST = frozenset(
    {
        *("portcullis_log_extended", "portcullis_issuer_keys_counted", "portcullis_shared_state_usable"),
        *("portcullis_minting_key_signs", "portcullis_minting_key_seconds"),
    }
)
MOST = frozenset(
    {
        *("portcullis_policy_distrusted", "portcullis_policy_info", "portcullis_revocations"),
        "portcullis_issuer_keys_age_seconds",
    }
)
LASTING = frozenset({"portcullis_log_aggregated"})
"""Gauges that count since the start."""

Key = tuple[str, tuple[tuple[str, str], ...]]


class Totals:
    """What the workers of one service count."""

    def __init__(self) -> None:
        self._last: dict[int, Sequence[Family]] = {}
        self._ended: Sequence[Family] = ()

    def note(self, number: int, families: Sequence[Family]) -> None:
        """What a worker says that it has counted since it began."""
        self._last[number] = families

    def ended(self, number: int) -> None:
        """The worker of that number ended; the next one begins at 0."""
        last = self._last.pop(number, ())
        lasting = [each for each in last if each.kind in {"counter", "histogram"} or each.name in LASTING]
        self._ended = added([self._ended, lasting])

    def families(self, wanted: int, ready: int) -> list[Family]:
        """All of it, with how many workers there are to be and how many are ready."""
        return [
            *added([self._ended, *self._last.values()]),
            _gauge("portcullis_workers", "the workers that are to run", wanted),
            _gauge("portcullis_workers_ready", "the workers that decide and record", ready),
        ]


def added(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """Families of one name as one, in the order in which they come first."""
    found: dict[str, list[Family]] = {}
    for part in parts:
        for family in part:
            found.setdefault(family.name, []).append(family)
    return [_one(families) for families in found.values()]


def _one(families: Sequence[Family]) -> Family:
    first = families[0]
    values: dict[Key, list[float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        values.setdefault((sample.name, tuple(sample.labels.items())), []).append(sample.value)
    return Family(first.name, first.said, first.kind, list(_samples(first.name, values)))


def _samples(family: str, values: Mapping[Key, Sequence[float]]) -> Iterator[Sample]:
    for (name, labels), each in values.items():
        least = family in LEAST or name.endswith("_created")
        value = min(each) if least else max(each) if family in MOST else sum(each)
        yield Sample(name, dict(labels), value)


def _gauge(name: str, said: str, value: int) -> Family:
    return Family(name, said, "gauge", [Sample(name, {}, value)])

"""The clear part of one record as lines for a person: every field of it, but for the clauses of rules.

A record comes in, lines go out; what a terminal would obey or not show stands in them as an escape, whoever wrote the
record. A field has the name of what it says in a record of that kind; one that is not known here has its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from pdp.audit.leaf import Leaf
from pdp.cli.instants import instant_text
from pdp.model import Json

_NAMES = {
    "d": "decision", "by": "by", "rc": "reason", "sj": "about", "sv": "service", "ep": "endpoint", "rt": "path shape",
    "m": "method", "pk": "principal", "gw": "gateway", "ch": "challenges", "ll": "log level", "nr": "nearest rule",
    "pp": "peer", "ob": "obligations", "ad": "advice", "al": "alerts", "st": "status", "sh": "shadow rules",
    "pb": "policy", "cx": "context", "of": "of record", "ct": "cut", "salt": "salt", "boot": "boot",
    "software": "software", "gv": "gw verified", "bs": "body bytes", "bt": "body cut",
}  # fmt: skip

_NAMES_IN = {
    "answer.changed": {"of": "corrects"},
    "audit.reidentify": {"of": "opened"},
    "decision.aggregate": {"ct": "refusals", "t0": "first", "t1": "last", "sq": "numbers"},
    "log.heartbeat": {"window": "window us", "paused": "paused us"},
    "log.clock_step": {"step": "step us"},
}
"""What a field is called in a record of that kind."""

_INSTANTS = {
    "audit.replay": {"since", "until"},
    "decision.aggregate": {"t0", "t1"},
    "log.gap": {"from", "to"},
}
"""Fields that are instants beside `t`, Unix microseconds, by the kind of record."""

_ELSEWHERE = {"t", "v", "rl", "os"}
"""Fields that are said in a way of their own."""


def record_lines(leaf: Leaf) -> Iterator[str]:
    """The lines of a record."""
    names = {**_NAMES, **_NAMES_IN.get(leaf.kind, {})}
    others = sorted(leaf.clear.keys() - names.keys() - _ELSEWHERE)
    lines = [("record", leaf.id), ("kind", leaf.kind)]
    lines += [("at", _instant(leaf.clear["t"]))] if "t" in leaf.clear else []
    instants = _INSTANTS.get(leaf.kind, set())
    for key in (*(each for each in names if each in leaf.clear), *others):
        value = leaf.clear[key]
        lines.append((names.get(key, escaped(key)), _instant(value) if key in instants else escaped(value)))
    observed = leaf.clear.get("os")
    if isinstance(observed, dict):
        lines.append(("observed", f"would be {escaped(observed.get('d'))} by {escaped(observed.get('by'))}"))
    return (f"{label:<13} {text}" for label, text in lines)


def escaped(value: Json) -> str:
    """A value for a terminal: what is not printable stands as an escape."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _instant(value: Json) -> str:
    return instant_text(value) if isinstance(value, int) else escaped(value)

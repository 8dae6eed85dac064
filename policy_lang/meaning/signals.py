"""Readings to signals: what a gateway sends with a request becomes the values that guards read.

In come the declared signals and the readings of one request, as JSON by the NAME of `context.NAME`; out go values by
signal id. A signal that is not among them is unknown.

    the reading fits the type       its value
    there is no reading             the declared fallback, `else unknown` being none
    the reading does not fit        unknown, whatever the fallback: a broken reading is not a missed one
    `seen.*`                        unknown, whatever the fallback: nothing counts behaviour in this version

Source: language.md points A and C, 5.3; contracts.md "Requests".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policy_lang.ir import Signal, Value
from policy_lang.meaning.schema import Misfit, from_json
from policy_lang.verdict import Json

CONTEXT = "context."
"""How the provider of a reading that comes with the request begins."""


def read_signals(signals: Iterable[Signal], sent: Mapping[str, Json]) -> Mapping[str, Value]:
    """The values of the signals whose providers run, by signal id; readings nobody declared are passed over."""
    values: dict[str, Value] = {}
    for signal in signals:
        if not signal.provider.startswith(CONTEXT):
            continue
        value = _reading(signal, sent)
        if value is not None:
            values[signal.id] = value
    return values


def _reading(signal: Signal, sent: Mapping[str, Json]) -> Value | None:
    name = signal.provider.removeprefix(CONTEXT)
    if name not in sent:
        return signal.fallback
    value = from_json(signal.type, sent[name])
    return None if isinstance(value, Misfit) else value

"""What the rules that apply ask of the gateway, merged into one thing to do; or why it cannot be done.

In come the obligations of the rules that speak, out go `Duties`, a `Conflict`, a log duty or a status. Union over all
that speak, so that adding a rule never takes a protection away: redactions and alerts unite, `log` takes the highest
level, `remove` and `set` of one header is set, `answer` takes the most concealing status. On a refusal the rules that
refuse speak, on an allow the requires that apply (and, of advice, the allows that grant).

    conflict.value    a header's value is unknown, longer than `LONGEST_VALUE`, or holds what a header may not
    conflict.header   two rules set one header to different values; `subject` is its name
    conflict.scope    scopes were asked for, and none is left that all rules name and the caller's token holds

A value is written so: text, address, SPIFFE id, enum value as it is; an integer in decimal digits; `true` or `false`;
an instant as RFC 3339 in UTC, with milliseconds where there are any; a duration as its milliseconds in decimal digits.
Every function here is pure; every evaluator uses these.
Source: language.md 5.5, points D, E and G; contracts.md "Headers at Envoy".

Decision (2026-11-21): of several conflicts the first is told: headers by name (a value that cannot be sent before two
that differ), then scopes. A conflict is told before a lack of the gateway.
Decision (2026-11-21): advice never refuses: what cannot be sent or contradicts itself is left out of it, and so is what
is a duty already or goes against one.
Decision (2026-11-21): what a gateway has to be able to do is what rules ask, also where merging leaves nothing to do of
it (`remove` beside `set`): else another rule could open what one keeps shut.
Decision (2026-11-21): a token without scopes may be asked for: an endpoint may have none.
Decision (2026-11-21): a constant reaches the program as the text that is sent, since a number alone does not say
whether it is an instant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import assert_never

from msgspec import Struct

from policy_lang.ir import (
    NORMAL_LOG,
    Alert,
    Answer,
    Attr,
    Const,
    Endpoint,
    IssueToken,
    Kind,
    LogDuty,
    LogLevel,
    Now,
    Obligation,
    Operand,
    Redact,
    RemoveHeader,
    SetHeader,
    Shift,
    Signal,
    Value,
)
from policy_lang.meaning.admission import Call
from policy_lang.meaning.baselines import strings
from policy_lang.meaning.evaluation import value_of
from policy_lang.meaning.schema import root_of
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Capability, Duties, Header

LEVELS: tuple[LogLevel, ...] = ("minimal", "normal", "full")
"""From the lowest."""

STATUSES = (404, 429, 451, 503, 403)
"""What a refusal may be answered with, the most concealing first."""

LONGEST_VALUE = 4096
"""Characters of a header's value: what common servers take of one line."""


class Conflict(Struct, frozen=True):
    """Why what rules ask cannot be done together; the reasons stand above."""

    reason: str
    subject: str = ""


class Terms(Struct, frozen=True):
    """What merging needs to know of a call.

    `text_of` writes the value of a header, None where it cannot be sent. `endpoint_scopes` are those a token is issued
    with where no rule names any, `held` those of the caller's token, None where the caller has none.
    """

    text_of: Callable[[Operand], str | None]
    endpoint_scopes: tuple[str, ...]
    held: frozenset[str] | None


def terms_of(call: Call, signals: Iterable[Signal]) -> Terms:
    """The terms of an admitted call; `signals` are the program's."""
    instants = instants_of(call.endpoint, call.kind, signals)

    def text_of(operand: Operand) -> str | None:
        return header_text(value_of(operand, call.environment), instant=is_instant(operand, instants))

    with_token = call.kind is not None and call.kind.form == "token"
    return Terms(text_of, call.endpoint.scopes, strings(call, "scope") if with_token else None)


# ---------------------------------------------------------------- merging


def merged_log(musts: Iterable[Obligation]) -> LogDuty:
    """The highest level and `strict` of what is said of the log; the normal duty where nothing is."""
    duties = [each for each in musts if isinstance(each, LogDuty)]
    if not duties:
        return NORMAL_LOG
    return LogDuty(max((duty.level for duty in duties), key=LEVELS.index), any(duty.strict for duty in duties))


def merged_answer(musts: Iterable[Obligation]) -> int | None:
    """The most concealing status that is asked for."""
    asked = {each.status for each in musts if isinstance(each, Answer)}
    return next((status for status in STATUSES if status in asked), None)


def merged_duties(musts: Iterable[Obligation], terms: Terms) -> Duties | Conflict:
    """What has to be done, all together."""
    asked = _Asked.of(musts, terms)
    headers: list[Header] = []
    for name, values in sorted(asked.headers.items()):
        if None in values:
            return Conflict("conflict.value", name)
        if len(values) > 1:
            return Conflict("conflict.header", name)
        headers += [Header(name, value) for value in values if value is not None]
    scopes = None
    if asked.scopes:
        scopes = frozenset.intersection(*asked.scopes, *(() if terms.held is None else (terms.held,)))
        if not scopes and any(asked.scopes):
            return Conflict("conflict.scope", " ".join(sorted(frozenset[str]().union(*asked.scopes))))
    return Duties(
        tuple(headers),
        tuple(sorted(asked.removed - asked.headers.keys())),
        tuple(sorted(asked.redactions)),
        None if scopes is None else tuple(sorted(scopes)),
        tuple(sorted(asked.alerts)),
    )


def merged_advice(shoulds: Iterable[Obligation], duties: Duties, terms: Terms) -> Duties:
    """What may be done besides `duties`."""
    asked = _Asked.of(shoulds, terms)
    done = {header.name for header in duties.headers} | set(duties.removed)
    headers = [
        Header(name, value)
        for name, values in sorted(asked.headers.items())
        if name not in done and len(values) == 1
        for value in values
        if value is not None
    ]
    return Duties(
        tuple(headers),
        tuple(sorted(asked.removed - asked.headers.keys() - done)),
        tuple(sorted(asked.redactions.difference(duties.redactions))),
        None,
        tuple(sorted(asked.alerts.difference(duties.alerts))),
    )


def merged_alerts(musts: Iterable[Obligation], shoulds: Iterable[Obligation]) -> tuple[Duties, Duties]:
    """All that a refusal has anybody do: the channels that must be told, and those that may be besides."""
    must = {each.channel for each in musts if isinstance(each, Alert)}
    should = {each.channel for each in shoulds if isinstance(each, Alert)} - must
    return Duties(alerts=tuple(sorted(must))), Duties(alerts=tuple(sorted(should)))


def lacking(
    musts: Iterable[Obligation], capabilities: frozenset[Capability], held: frozenset[str] | None
) -> Capability | None:
    """The first thing asked for that the gateway cannot do, or that cannot be done for a caller without a token."""
    asked = {type(each) for each in musts}
    for kind, capability in _NEEDED:
        if kind in asked and (capability not in capabilities or (kind is IssueToken and held is None)):
            return capability
    return None


_NEEDED: tuple[tuple[type[Obligation], Capability], ...] = (
    (SetHeader, "set_header"),
    (RemoveHeader, "remove_header"),
    (Redact, "redact"),
    (IssueToken, "issue_token"),
)


class _Asked(Struct):
    """What obligations ask for, sorted by what it is."""

    headers: dict[str, set[str | None]]
    removed: set[str]
    redactions: set[str]
    scopes: list[frozenset[str]]
    alerts: set[str]

    @classmethod
    def of(cls, obligations: Iterable[Obligation], terms: Terms) -> _Asked:
        asked = cls({}, set(), set(), [], set())
        for each in obligations:
            match each:
                case SetHeader(name, value):
                    asked.headers.setdefault(name, set()).add(terms.text_of(value))
                case RemoveHeader(name):
                    asked.removed.add(name)
                case Redact(pointers):
                    asked.redactions.update(pointers)
                case IssueToken(scopes):
                    asked.scopes.append(frozenset(terms.endpoint_scopes if scopes is None else scopes))
                case Alert(channel):
                    asked.alerts.add(channel)
                case LogDuty() | Answer():
                    pass
                case _:
                    assert_never(each)
        return asked


# ---------------------------------------------------------------- the text of a value

_SENDABLE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def header_text(value: Value | None, *, instant: bool) -> str | None:
    """A value as a header holds it; `instant` tells a time from other integers. None where it cannot be sent."""
    match value:
        case None | frozenset():
            return None
        case bool():
            return "true" if value else "false"
        case int():
            return _instant_text(value) if instant else str(value)
        case str():
            return value if len(value) <= LONGEST_VALUE and _SENDABLE.fullmatch(value) else None
        case _:
            assert_never(value)


def _instant_text(ms: int) -> str | None:
    try:
        at = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None
    precision = "milliseconds" if ms % 1000 else "seconds"
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def is_instant(operand: Operand, instants: frozenset[Attr]) -> bool:
    """Whether an operand is a time; `instants` are the inputs that are."""
    match operand:
        case Attr():
            return operand in instants
        case Now():
            return True
        case Const():
            return False
        case Shift(left, _, right):
            return is_instant(left, instants) and not is_instant(right, instants)
        case _:
            assert_never(operand)


def instants_of(endpoint: Endpoint, kind: Kind | None, signals: Iterable[Signal]) -> frozenset[Attr]:
    """The inputs of type `time` that a rule may read at an endpoint for a kind of caller."""
    found = [Attr("signal", each.id) for each in signals if each.type is Scalar.TIME]
    found += [Attr("query", field.name) for field in endpoint.query if field.type is Scalar.TIME]
    found += [Attr("header", field.name) for field in endpoint.headers if field.type is Scalar.TIME]
    found += [Attr("resource", field.name) for field in endpoint.properties if field.type is Scalar.TIME]
    if kind is not None:
        found += [Attr(root_of(kind), field.name) for field in kind.claims if field.type is Scalar.TIME]
    return frozenset(found)

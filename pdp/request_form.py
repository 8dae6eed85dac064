"""The one written form of a request: for `pdp decide --request`, for the decision cases of the tests, and for traces.

A mapping (from JSON or YAML) goes in, an `Inquiry` and the instant come out. Members: `service method path host headers
ip peer tls gateway now`, either `authorization` or `principal {kind: token|subject|anonymous, name, claims}`, and
`signals facts action resource`. The claims of a subject are its properties and its `id`; a resource is `{type, id,
properties}` and stands with an `action` in place of method, path and host. What is missing stays missing. Unknown
members are refused, so that a slip is never a default.
Design: contracts.md "One request form".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from msgspec import Struct

from pdp.errors import ConfigError
from pdp.model import Facts, Inquiry, Json, Principal
from policy_lang.diagnostics import nearest

MEMBERS = (
    "service", "method", "path", "host", "headers", "ip", "peer", "tls", "gateway", "now", "authorization", "principal",
    "signals", "facts", "action", "resource",
)  # fmt: skip

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
LONGEST_INSTANT = 11
"""Digits of Unix seconds: the year 5138."""
LONGEST_TEXT = 64


class WrittenRequest(Struct, frozen=True):
    """An inquiry, and the instant it stands at (Unix microseconds); None where the form does not say."""

    inquiry: Inquiry
    now_us: int | None


def read_request(form: Json, place: str) -> WrittenRequest:
    """The request that `form` writes. Errors: ConfigError C201, naming the member and `place` (a file)."""
    if not isinstance(form, dict):
        raise ConfigError("C201", f"{place}: a request is a mapping of {', '.join(MEMBERS)}")
    for name in form:
        if name not in MEMBERS:
            hint = nearest(str(name), MEMBERS) or f"its members are {', '.join(MEMBERS)}"
            raise ConfigError("C201", f"{place}: `{name}` is no member of a request; {hint}")
    if "authorization" in form and "principal" in form:
        raise ConfigError("C201", f"{place}: give `authorization` or `principal`, not both")
    member = _Members(form, place)
    if "action" in form and not {"method", "path", "host"}.isdisjoint(form):
        raise ConfigError("C201", f"{place}: give `action` and `resource`, or `method`, `path` and `host`, not both")
    headers = member.headers()
    authorization = member.text("authorization")
    if authorization is not None:
        headers = (*headers, ("authorization", authorization))
    inquiry = Inquiry(
        service=member.text("service"),
        method=member.text("method"),
        path=member.text("path"),
        host=member.text("host"),
        headers=headers,
        gateway=member.text("gateway") or "cli",
        ip=member.text("ip"),
        peer=member.text("peer"),
        tls=member.flag("tls"),
        principal=member.principal(),
        signals=member.mapping("signals"),
        facts=member.facts(),
        action=member.text("action"),
        resource=member.mapping("resource") or None,
    )
    return WrittenRequest(inquiry, member.now())


def instant_us(text: str, place: str) -> int:
    """An RFC 3339 instant, or integer Unix seconds, as Unix microseconds. Errors: ConfigError C201, also for one before
    the year 1 or after the year 9999 in UTC, which no trace can show.
    """
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_INSTANT:
        return int(text) * 1_000_000
    try:
        at = datetime.fromisoformat(text[:LONGEST_TEXT])
    except ValueError as error:
        raise ConfigError("C201", f"{place}: `{text}` is no instant: write 2026-03-01T12:00:00Z") from error
    if at.tzinfo is None:
        raise ConfigError("C201", f"{place}: `{text}` names no time zone: write 2026-03-01T12:00:00Z")
    if not FIRST <= at <= LAST:
        raise ConfigError("C201", f"{place}: `{text}` is before the year 1 or after the year 9999 in UTC")
    return (at - EPOCH) // timedelta(microseconds=1)


class _Members(Struct, frozen=True):
    """The members of one form, each read by its type."""

    form: Mapping[str, Json]
    place: str

    def _wrong(self, name: str, wanted: str) -> ConfigError:
        return ConfigError("C201", f"{self.place}: `{name}` must be {wanted}")

    def text(self, name: str) -> str | None:
        value = self.form.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.form.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def mapping(self, name: str) -> Mapping[str, Json]:
        value = self.form.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(name, "a mapping")
        return value

    def headers(self) -> tuple[tuple[str, str], ...]:
        value = self.form.get("headers") or {}
        pairs = list(value.items()) if isinstance(value, dict) else value
        if not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
            raise self._wrong("headers", "a mapping of names to strings, or a list of [name, value]")
        return tuple((str(name).lower(), str(text)) for name, text in cast("list[tuple[str, str]]", pairs))

    def principal(self) -> Principal | None:
        value = self.form.get("principal")
        if value is None:
            return None
        if not isinstance(value, dict) or not set(value) <= {"kind", "name", "claims"}:
            raise self._wrong("principal", "a mapping of kind, name and claims")
        kind, name, claims = value.get("kind"), value.get("name"), value.get("claims") or {}
        if kind == "anonymous" and name is None and not claims:
            return Principal("anonymous")
        if kind not in {"token", "subject"} or not isinstance(name, str) or not isinstance(claims, dict):
            raise self._wrong("principal", "`kind: anonymous`, or kind token or subject with a name and claims")
        return Principal("token" if kind == "token" else "subject", name, claims)

    def facts(self) -> Facts | None:
        value = self.form.get("facts")
        if value is None:
            return None
        rows = value.items() if isinstance(value, dict) else ()
        if not rows or not all(isinstance(table, list) and all(map(_is_row, table)) for _, table in rows):
            raise self._wrong("facts", "a mapping of relations to lists of rows")
        return {
            relation: frozenset(tuple(cast("list[str]", row)) for row in cast("list[Json]", table))
            for relation, table in rows
        }

    def now(self) -> int | None:
        value = self.form.get("now")
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < 10**LONGEST_INSTANT:
                raise self._wrong("now", f"an instant, or Unix seconds of at most {LONGEST_INSTANT} digits")
            return value * 1_000_000
        text = self.text("now")
        return None if text is None else instant_us(text, self.place)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)


def _is_row(row: object) -> bool:
    return isinstance(row, list) and all(isinstance(value, str | int) for value in row)

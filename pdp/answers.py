"""What a decision is over HTTP and in a CheckResponse: one table for every transport.

A `Decision` goes in; out come the status, the headers and the title of an HTTP answer, and the code of a CheckResponse.
Pure and total: any decision has an answer, and whatever is not an allow has a status of 401, 403 or 503 and a code that
is not 0. What leaves shows no `by`, no `reason` and no rule. Header values are printable ASCII, so that nothing in them
can end a line.
INVARIANT: the code is 0 for an allow that bears the id of its record, and the token that it asks for, if it asks for
one; and for nothing else.
Design: contracts.md "Who decided". RFC 6750 3 (challenges), RFC 9470 3 (step-up), RFC 9110 5.6.4 (quoted strings).

Decision: 2026-11-21. A refusal that a rule wants answered by another status than 403 has that status and a title of
its own, and nothing else that tells it from any other: the code stays 7, and the decision id goes along.
Decision: 2026-11-21. A step-up for a caller without a credential is a plain 401: the 401 row for "no valid credential"
stands above it, so that nobody learns what an endpoint asks for before saying who they are.
Decision: 2026-11-21. An allow without a decision id has no record, whatever went wrong; it is answered as `internal`,
and so is one whose token is missing: the caller's own must not go on in its place.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from pdp.model import AUTHORIZATION, Capability, Challenge, Decision

DECISION_HEADER = "x-portcullis-decision"

MOST_CHALLENGE = 4096
"""Characters of one list inside a challenge; names beyond are left out whole, so that no gateway drops the header."""


class HttpAnswer(Struct, frozen=True):
    """A status, headers in order (names in lower case), and a title that is safe to show. 200 is an allow."""

    status: int
    headers: tuple[tuple[str, str], ...]
    title: str


class _Row(Struct, frozen=True):
    status: int
    code: int
    title: str


_ALLOWED = _Row(200, 0, "permitted")
_TOKEN = _Row(401, 16, "the credential was not accepted")
_ANONYMOUS = _Row(401, 16, "a credential is required")
_STEP_UP = _Row(401, 16, "a stronger or more recent authentication is required")
_SCOPE = _Row(403, 7, "the credential does not cover this request")
_FORBIDDEN = _Row(403, 7, "the request is not permitted")
_ANSWERS = {
    403: _FORBIDDEN,
    404: _Row(404, 7, "there is nothing here"),
    429: _Row(429, 7, "too many requests"),
    451: _Row(451, 7, "not available for legal reasons"),
    503: _Row(503, 7, "not available now"),
}
_FAILED = _Row(503, 13, "no decision can be given now")
_UNRECORDED = _Row(503, 14, "no decision can be given now")


def _row(decision: Decision) -> _Row:
    """The row of the table: the first that fits, from the strictest promise down."""
    if decision.outcome == "allow":
        return _ALLOWED if decision.id and not lacks_token(decision) else _FAILED
    match decision.by:
        case ("internal" | "deadline", *_):
            return _FAILED
        case ("audit", *_):
            return _UNRECORDED
        case ("token", *_):
            return _TOKEN
        case _ if not decision.authenticated:
            return _ANONYMOUS
        case _ if decision.outcome == "step_up":
            return _STEP_UP
        case ("scope", *_):
            return _SCOPE
        case _:
            return _FORBIDDEN if decision.status is None else _ANSWERS.get(decision.status, _FORBIDDEN)


def lacks_token(decision: Decision) -> bool:
    """Whether a decision asks for a token in place of the caller's, and has none."""
    return decision.duties.token_scopes is not None and decision.minted is None


def check_code(decision: Decision) -> int:
    """The `status.code` of the CheckResponse: 0 for an allow, else 7, 13, 14 or 16."""
    return _row(decision).code


def http_answer(decision: Decision, acr_values: Mapping[str, str]) -> HttpAnswer:
    """The answer over HTTP, without its body and content type.

    `acr_values`: what a factor or challenge is called at the issuer; a name that is not there stands for itself.
    """
    row = _row(decision)
    headers: list[tuple[str, str]] = []
    challenge = _challenge(row, decision, acr_values)
    if challenge:
        headers.append(("www-authenticate", challenge))
    if row is _UNRECORDED:
        headers.append(("retry-after", "1"))
    if decision.id:
        headers.append((DECISION_HEADER, visible(decision.id)))
    return HttpAnswer(row.status, tuple(headers), row.title)


def headers_to_set(decision: Decision, able: Collection[Capability]) -> dict[str, str]:
    """The headers that the upstream is to get, by name. A duty goes before advice, which is followed as far as the
    gateway can; the id of the decision is nobody else's, and the credential is a token that was made here.
    """
    advised = decision.advice.headers if "set_header" in able else ()
    both = sorted((each.name, visible(each.value)) for each in advised)
    both += sorted((each.name, visible(each.value)) for each in decision.duties.headers)
    if decision.minted is not None:
        both.append((AUTHORIZATION, f"Bearer {decision.minted.token}"))
    return {name: value for name, value in both if name != DECISION_HEADER}


def problem(decision: Decision, title: str) -> str:
    """The body of a refusal, `application/problem+json`, in ASCII: a title and the decision id where there is one.

    Source: RFC 9457 3.1; `decision` is our extension member.
    """
    known = {"decision": visible(decision.id)} if decision.id else {}
    return json.dumps({"title": title} | known, ensure_ascii=True)


def visible(text: str) -> str:
    """`text` in printable ASCII: every other character is a `?`."""
    return text if text.isascii() and text.isprintable() else "".join(c if " " <= c <= "~" else "?" for c in text)


def _challenge(row: _Row, decision: Decision, acr_values: Mapping[str, str]) -> str:
    """The value of `www-authenticate`, "" for an answer that asks for nothing."""
    if row is _ANONYMOUS:
        return "Bearer"
    if row is _TOKEN:
        return _bearer(error="invalid_token")
    if row is _SCOPE:
        return _bearer(error="insufficient_scope", scope=_listed(decision.scopes))
    if row is _STEP_UP:
        names = (acr_values.get(challenge.name, challenge.name) for challenge in decision.challenges)
        return _bearer(
            error="insufficient_user_authentication", acr_values=_listed(names), max_age=_max_age(decision.challenges)
        )
    return ""


def _max_age(challenges: Iterable[Challenge]) -> str:
    ages = [challenge.within_s for challenge in challenges if challenge.within_s is not None]
    return str(min(ages)) if ages else ""


def _bearer(**parameters: str) -> str:
    """A challenge of the Bearer scheme; a parameter without a value is left out."""
    stated = (f'{name}="{_escaped(value)}"' for name, value in parameters.items() if value)
    return "Bearer " + ", ".join(stated)


def _escaped(text: str) -> str:
    return visible(text).replace("\\", "\\\\").replace('"', '\\"')


def _listed(names: Iterable[str]) -> str:
    """Names with a space between them, each once, in order, as many whole ones as fit."""
    text = ""
    for name in dict.fromkeys(names):
        longer = f"{text} {name}" if text else name
        if len(longer) > MOST_CHALLENGE:
            break
        text = longer
    return text

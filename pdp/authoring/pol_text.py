"""Policy text from values that strangers chose: identifiers, strings, comments, fields and whole endpoints.

Any text goes in; what comes out is read by the grammar as the one token, comment or endpoint it is meant to be, so that
no title, tag or summary of a document can say anything in a policy.
Specification: policy_lang/syntax/grammar.lark; language.md 3.

Decision: 2026-11-21. Identifiers are ASCII: accents are dropped, what is no ASCII letter without
its accents becomes `_`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from pdp.authoring.model import GrpcRoute, HttpRoute, Operation, Parameter
from policy_lang.diagnostics import HIDDEN

_WORDS = (
    "module import language setting enum label network workload token subject roles relation signal condition service "
    "endpoint casbin allow deny require shadow test prove for on when unless until needs must should because any "
    "anyone role factor and or not in is has like overlaps covers else true false unset unknown empty step_up bool "
    "string int uuid time duration ip set"
)
RESERVED = frozenset(_WORDS.split())
"""Words that are no names; a test holds them to those of the grammar."""

ROOTS = frozenset(("token", "subject", "resource", "request", "path", "query", "header", "endpoint", "service", "now"))
"""Names of inputs: no declaration has one."""

LONGEST_IDENTIFIER = 60
LONGEST_COMMENT = 100
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_READ_OF_A_NAME = 200
_LOWER_UPPER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ACRONYM = re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_UNSAFE = re.compile(rf"[{HIDDEN}\t\r\n\ud800-\udfff]")
_UNSAFE_RUN = re.compile(rf"[{HIDDEN}\s\ud800-\udfff]+")


def identifier(text: str, fallback: str) -> str:
    """`text` in snake case, as a field or a capture may be named; `fallback` where nothing of it can stand in one."""
    apart = unicodedata.normalize("NFKD", text[:_READ_OF_A_NAME])
    plain = "".join(character for character in apart if not unicodedata.combining(character))
    split = _ACRONYM.sub("_", _LOWER_UPPER.sub("_", plain))
    name = _NO_WORD.sub("_", split.lower()).strip("_")[:LONGEST_IDENTIFIER].strip("_")
    if not name:
        return fallback
    return name if name[0].isalpha() else f"{fallback[0]}{name}"


def declared_name(text: str, fallback: str, suffix: str) -> str:
    """The same where reserved words and roots are no names; these take the suffix."""
    name = identifier(text, fallback)
    return f"{name}_{suffix}" if name in RESERVED or name in ROOTS else name


class Names:
    """Names that are taken. Linear, also where thousands want the same one."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        """`wanted`, or with the first free number behind it; from now on taken."""
        name = wanted
        number = self._next.get(wanted, 2)
        while name in self._taken:
            name = f"{wanted}_{number}"
            number += 1
        self._next[wanted] = number
        self._taken.add(name)
        return name


def quoted(text: str) -> str:
    """A string of the language whose value is `text`; lone surrogates, which no string can hold, become U+FFFD."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_UNSAFE.sub(_escape, escaped)}"'


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{{{code:x}}}"


def comment(text: str) -> str:
    """`text` as one comment of one line, cut where it is long."""
    plain = _UNSAFE_RUN.sub(" ", text[: 4 * LONGEST_COMMENT]).strip()
    cut = plain if len(plain) <= LONGEST_COMMENT else plain[: LONGEST_COMMENT - 1].rstrip() + "…"
    return f"# {cut}".rstrip()


def field_text(parameter: Parameter, name: str) -> str:
    """`name: type optional from "x"`."""
    optional = " optional" if parameter.optional else ""
    source = "" if parameter.source == name else f" from {quoted(parameter.source)}"
    return f"{name}: {parameter.type}{optional}{source}"


def parameter_lines(parameters: Iterable[Parameter], queries: Names, headers: Names) -> list[str]:
    """The clauses that declare parameters; names are taken from those of their kind."""
    lines = []
    for each in parameters:
        names = queries if each.kind == "query" else headers
        name = names.take(identifier(each.source, "parameter"))
        lines.append(f"{each.kind} {field_text(each, name)}")
    return lines


def route_text(route: HttpRoute | GrpcRoute) -> str:
    """The route as an endpoint writes it."""
    return f"grpc {route.method}" if isinstance(route, GrpcRoute) else f"{route.method} {route.pattern}"


def endpoint_text(
    operation: Operation, name: str, labels: tuple[str, ...], headers: frozenset[str] = frozenset()
) -> list[str]:
    """The lines of one endpoint, closed, its comments above it; `headers` are names that its service has taken."""
    lines = [f"  {comment(each)}" for each in operation.comments]
    lines.append(f"  endpoint {name} {route_text(operation.route)} closed")
    if operation.scopes:
        lines.append(f"    scope {', '.join(quoted(scope) for scope in operation.scopes)}")
    if labels:
        lines.append(f"    tagged {', '.join(labels)}")
    fields = parameter_lines(operation.parameters, Names(), Names(headers))
    return [*lines, *(f"    {line}" for line in fields)]


def service_text(name: str, audience: str, hosts: Iterable[str]) -> list[str]:
    """The lines of a service without endpoints."""
    written = ", ".join(quoted(host) for host in hosts)
    return [f"service {name} {{", f"  audience {quoted(audience)}", f"  host {written}", "}"]

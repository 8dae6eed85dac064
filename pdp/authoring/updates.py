"""What changes at one endpoint that a document speaks of, as edits of the text around it.

An endpoint with its operations goes in; edits, a line for each change, and findings come out. An edit replaces a range
of code points; the ranges of one file do not overlap.
Decision: 2026-11-21. Of an endpoint that several operations share, nothing changes: its author joined them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pdp.authoring.matching import Match
from pdp.authoring.model import Finding, GrpcRoute, HttpRoute, Operation, Parameter
from pdp.authoring.pol_text import Names, parameter_lines, route_text
from pdp.authoring.policy_text import EndpointText, FieldText, Range
from policy_lang.typesystem import INT_MAX, INT_MIN


class Edit(Struct, frozen=True):
    """Put `text` in place of the code points from `start` to `end`."""

    start: int
    end: int
    text: str


class Update(Struct, frozen=True):
    edits: tuple[Edit, ...]
    changes: tuple[str, ...]
    findings: tuple[Finding, ...]


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text after all edits; those at one place in their order."""
    parts: list[str] = []
    end = 0
    for edit in sorted(edits, key=lambda each: each.start):
        parts += (text[end : edit.start], edit.text)
        end = edit.end
    return "".join([*parts, text[end:]])


def updates(text: str, match: Match, mark: str, file: str) -> Update:
    """What brings one endpoint up to date. `mark` is the comment of endpoints that vanished, which goes."""
    edits: list[Edit] = []
    changes: list[str] = []
    findings: list[Finding] = []
    marked = mark_above(text, match.endpoint.whole.start, mark)
    if marked is not None:
        edits.append(Edit(marked.start, marked.end, ""))
        changes.append(f"in {file} again")
    if len(match.operations) == 1:
        operation = match.operations[0]
        for step in (_route(match, operation), _fields(match.endpoint, operation)):
            edits += step.edits
            changes += step.changes
        findings += _drift(match.endpoint, operation, file)
    return Update(tuple(edits), tuple(changes), tuple(findings))


def mark_above(text: str, start: int, mark: str) -> Range | None:
    """The line of the comment `mark` among those right above the line that begins with what stands at `start`."""
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():
        return None
    while line > 0:
        above = text.rfind("\n", 0, line - 1) + 1
        written = text[above:line].strip()
        if not written.startswith("#"):
            return None
        if written == mark:
            return Range(above, line)
        line = above
    return None


# ---------------------------------------------------------------- the route


def _route(match: Match, operation: Operation) -> Update:
    endpoint = match.endpoint
    if match.by_name:
        edits = [Edit(endpoint.route_at.start, endpoint.route_at.end, _route_end(operation.route))]
        if isinstance(operation.route, HttpRoute):
            edits.append(Edit(endpoint.methods_at.start, endpoint.methods_at.end, operation.route.method))
        closed = "" if endpoint.closed else ", and closed until you have looked at the rules that grant on it"
        if not endpoint.closed:
            edits.append(Edit(endpoint.whole.end, endpoint.whole.end, " closed"))
        return Update(tuple(edits), (f"its route moved to {route_text(operation.route)}{closed}",), ())
    if match.pattern is None or match.pattern == endpoint.route:
        return Update((), (), ())
    change = f"{endpoint.route} is now {match.pattern}"
    wider = " (wider)" if _loosened(endpoint.route, match.pattern) else ""
    edit = Edit(endpoint.route_at.start, endpoint.route_at.end, match.pattern)
    return Update((edit,), (change + wider,), ())


def _route_end(route: HttpRoute | GrpcRoute) -> str:
    return route.method if isinstance(route, GrpcRoute) else route.pattern


def _loosened(old: str, new: str) -> bool:
    """Whether a capture lost its type."""
    pairs = zip(old.split("/"), new.split("/"), strict=False)
    return any(":" in one and one.startswith("{") and ":" not in other for one, other in pairs)


# ---------------------------------------------------------------- the fields


def _fields(endpoint: EndpointText, operation: Operation) -> Update:
    known = {(each.kind, wire_name(each)): each for each in reversed(endpoint.fields)}
    shared = {(each.kind, wire_name(each)) for each in endpoint.shared}
    edits: list[Edit] = []
    changes: list[str] = []
    missing: list[Parameter] = []
    for parameter in operation.parameters:
        place = (parameter.kind, parameter.source)
        field = known.get(place)
        if field is None:
            missing += () if place in shared else (parameter,)
            continue
        step = _field(field, parameter)
        edits += step.edits
        changes += step.changes
    if missing:
        queries = Names(each.name for each in endpoint.fields if each.kind == "query")
        headers = Names(each.name for each in (*endpoint.fields, *endpoint.shared) if each.kind == "header")
        lines = parameter_lines(missing, queries, headers)
        edits.append(Edit(endpoint.whole.end, endpoint.whole.end, "".join(f" {line}" for line in lines)))
        changes += (f"new {line}" for line in lines)
    return Update(tuple(edits), tuple(changes), ())


def wire_name(field: FieldText) -> str:
    """The name that a field has in a request, as documents are compared by it."""
    return field.source.lower() if field.kind == "header" else field.source


def _field(field: FieldText, parameter: Parameter) -> Update:
    edits: list[Edit] = []
    changes: list[str] = []
    if field.type != parameter.type:
        edits.append(Edit(field.type_at.start, field.type_at.end, parameter.type))
        wider = " (wider)" if _is_wider(parameter.type, field.type) else ""
        changes.append(f"{field.kind} {field.name}: {field.type} is now {parameter.type}{wider}")
    if parameter.optional and field.optional is None:
        edits.append(Edit(field.type_at.end, field.type_at.end, " optional"))
        changes.append(f"{field.kind} {field.name} is now optional (wider)")
    if not parameter.optional and field.optional is not None:
        edits.append(Edit(field.optional.start, field.optional.end, ""))
        changes.append(f"{field.kind} {field.name} is now required")
    return Update(tuple(edits), tuple(changes), ())


def _is_wider(new: str, old: str) -> bool:
    """Whether texts fit the new type that did not fit the old one."""
    if old.startswith("set of ") != new.startswith("set of "):
        return True
    was, becomes = old.removeprefix("set of "), new.removeprefix("set of ")
    one, other = _bounds(becomes), _bounds(was)
    if one is None or other is None:
        return was != "string"
    return one[0] < other[0] or one[1] > other[1]


def _bounds(type_: str) -> tuple[int, int] | None:
    word, _, rest = type_.partition(" ")
    if word != "int":
        return None
    lowest, _, highest = rest.partition("..")
    return (int(lowest), int(highest)) if rest else (INT_MIN, INT_MAX)


def _drift(endpoint: EndpointText, operation: Operation, file: str) -> list[Finding]:
    """What the endpoint says otherwise than the document, and keeps."""
    found: list[Finding] = []
    asked = [scope for scope in operation.scopes if scope not in endpoint.scopes]
    place = f"endpoint {endpoint.name}"
    if asked:
        listed = ", ".join(asked)
        found.append(Finding(place, f"{file} asks for the scope {listed}, the endpoint does not: add it, if it should"))
    named = {(each.kind, each.source) for each in operation.parameters}
    found += (
        Finding(place, f"{field.kind} {field.name} is not in {file}, and was kept")
        for field in endpoint.fields
        if (field.kind, wire_name(field)) not in named
    )
    return found

"""`pdp casbin convert`: a Casbin table as policy text that says the same, with tests, and the facts it needs.

In go a table and the name of a service; out come a policy, fact files, and findings for what is left out, or `Refused`.

    rows of paths and methods    endpoints of HTTP, a rule for each name that rows are about and each vote
    rows of names and actions    `action` endpoints on the resource type `object`, rules on `resource.id`
    a name of a row              `token.sub == "alice"` (`subject.id` where an application asserts it)
    a role of a row              `has_role(token.sub, "editor")`, a relation whose rows are all who hold it
    a row that refuses           a `deny`, on the same endpoints

INVARIANT: what the tests expect is what the table answers, not what the text was made from. Where the text would allow
what the table refuses, nothing is made (`casbin_entries`).
Source: language.md 2, 6.4.

Decision (2026-11-21): who holds a role is data: the relation has every pair, through any number of links, and each role
itself, since a Casbin role holds itself. A link that is added means another run, or another line of the facts.
Decision (2026-11-21): rows of one name and one vote become one rule, on all their endpoints; a rule's sentence names
the lines it was made of. In rows of names a rule lists the resources of one action.
Decision (2026-11-21): HEAD follows GET in the language and not in Casbin: where no row names HEAD beside GET, an
endpoint of its own, which is closed, says so. Who wants it to follow takes that endpoint away.
Decision (2026-11-21): a model that does not ask who calls is for callers with a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from pdp.authoring.casbin_entries import Entries, Entry, Refused, Thing, Who, entries_of
from pdp.authoring.casbin_shapes import Shape, called, common
from pdp.authoring.model import Finding
from pdp.authoring.pol_text import METHODS, Names, identifier, quoted
from policy_lang.ir.tables import RoleGraph, Table, Vote
from policy_lang.layout.formatter import formatted
from policy_lang.plan.tables import TablePlan

MOST_CASES = 200
"""Rows that have a test of their own."""

MOST_LINES = 8
"""Lines of the policy that a rule names."""

STRANGER = "nobody"

_HEAD = "HEAD"
"""The method that follows GET where nothing is said of it."""


class Converted(Struct, frozen=True):
    """`files` by path: the policy, and its facts where it has roles."""

    files: Mapping[str, str]
    findings: tuple[Finding, ...]


class _Endpoint(Struct, frozen=True):
    """An endpoint: its name, where it is, and the methods or the action it is for. `closed`: no row names them."""

    name: str
    shape: Shape | None
    actions: tuple[str, ...]
    closed: bool = False

    def text(self) -> str:
        """Its line."""
        if self.shape is None:
            return f"  endpoint {self.name} action {quoted(self.actions[0])} on {quoted('object')}"
        methods = "ANY" if self.actions == METHODS else " | ".join(self.actions)
        return f"  endpoint {self.name} {methods} {self.shape.text()}{' closed' if self.closed else ''}"


def converted(table: Table, service: str, now_ms: int) -> Converted | Refused:
    """The table as a policy. `now_ms` is the instant at which the tests' answers are asked for."""
    read = entries_of(table)
    if isinstance(read, Refused):
        return read
    if not read.entries:
        return Refused(_nothing(read.findings))
    names = Names(("user", service, *(relation_name(table, number) for number in range(len(table.graphs)))))
    endpoints = _endpoints(read, names)
    held = [_held(graph) for graph in table.graphs]
    lines = [*_head(table, service, read), *(each.text() for each in endpoints), "}", ""]
    lines += _rules(table, service, read, endpoints, names)
    lines += _tests(table, service, read, endpoints, held, now_ms)
    text = "\n".join((*lines, ""))
    laid_out = formatted("policy.pol", text.encode())
    files = {"policy.pol": laid_out if isinstance(laid_out, str) else text}
    for number in _graphs_used(read):
        rows = "".join(f"{_csv(name)},{_csv(role)}\n" for name, role in _pairs(held[number], read, number))
        files[f"facts/{service}.{relation_name(table, number)}.csv"] = f"name,role\n{rows}"
    return Converted(files, read.findings)


def _nothing(findings: Sequence[Finding]) -> str:
    """Why there is no entry: the first of the reasons."""
    why = "no row says anything that a rule can say"
    if not findings:
        return why
    more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    return f"{why}: {findings[0].place}: {findings[0].message}{more}"


def relation_name(table: Table, number: int) -> str:
    """The relation of a role graph."""
    return "has_role" if len(table.graphs) == 1 else f"has_role_{identifier(table.graphs[number].name, 'g')}"


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in ',"\r\n') else text


def _graphs_used(read: Entries) -> list[int]:
    return sorted({each.who.graph for each in read.entries if each.who.graph is not None})


def _held(graph: RoleGraph) -> Mapping[str, frozenset[str]]:
    """Who holds each role: itself, and everybody below it, through as many links as the graph follows."""
    below: dict[str, set[str]] = {}
    for link in graph.links:
        below.setdefault(link.role, set()).add(link.member)
    found: dict[str, frozenset[str]] = {}
    for role in below:
        reached, level, followed = {role}, {role}, 0
        while level and followed != graph.longest:
            level = set[str]().union(*(below.get(name, ()) for name in level)) - reached
            reached |= level
            followed += 1
        found[role] = frozenset(reached)
    return found


def _pairs(held: Mapping[str, frozenset[str]], read: Entries, graph: int) -> list[tuple[str, str]]:
    """The rows of a relation, for the roles that rules ask for."""
    roles = sorted({each.who.name or "" for each in read.entries if each.who.graph == graph})
    return [(name, role) for role in roles for name in sorted(held.get(role, frozenset((role,))))]


# ---------------------------------------------------------------- endpoints


def _endpoints(read: Entries, names: Names) -> list[_Endpoint]:
    """The inventory."""
    if not read.places.paths:
        used = [action for action in read.actions if any(action in each.actions for each in read.entries)]
        return [_Endpoint(names.take(f"do_{identifier(action, 'action')}"), None, (action,)) for action in used]
    shapes = sorted({each.what for each in read.entries if isinstance(each.what, Shape)}, key=Shape.text)
    found: list[_Endpoint] = []
    for shape in shapes:
        here = [each for each in read.entries if isinstance(each.what, Shape) and common(each.what, shape) == shape]
        words = [part or "any" for part in shape.parts] or ["root"]
        alike = _alike(here)
        named = frozenset(method for methods in alike for method in methods)
        followed: list[tuple[str, ...]] = [(_HEAD,)] if "GET" in named and _HEAD not in named else []
        for methods in (*alike, *followed):
            name = identifier("_".join((methods[0], *words)), "call")
            found.append(_Endpoint(names.take(name), shape, methods, closed=_HEAD in methods and _HEAD not in named))
    return found


def _alike(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """The methods that entries name, those together that the same entries name."""
    alike: dict[tuple[bool, ...], list[str]] = {}
    for method in METHODS:
        named = tuple(method in each.actions for each in entries)
        if any(named):
            alike.setdefault(named, []).append(method)
    return [tuple(methods) for methods in alike.values()]


def _takes(entry: Entry, endpoint: _Endpoint) -> bool:
    """Whether an entry speaks of an endpoint: of all of it, since no two cross."""
    if endpoint.actions[0] not in entry.actions:
        return False
    if endpoint.shape is None or not isinstance(entry.what, Shape):
        return True
    return common(entry.what, endpoint.shape) == endpoint.shape


# ---------------------------------------------------------------- text


def _caller(read: Entries) -> str:
    kind, name = ("token", "sub") if read.places.paths else ("subject", "id")
    return f"{kind}.{name}"


def _head(table: Table, service: str, read: Entries) -> list[str]:
    relations = [
        f"relation {relation_name(table, number)} (name: string, role: string)" for number in _graphs_used(read)
    ]
    lines = [
        "# What the rows of a Casbin policy say, as rules. What no rule allows is refused.",
        "language 1",
        f"module {service}",
        "",
    ]
    if read.places.paths:
        lines += ["token user {", '  issuer "https://id.example"', "  claim sub: string", "}", ""]
        reached = [f"  audience {quoted(service)}", f"  host {quoted(service.replace('_', '-') + '.example')}"]
    else:
        lines += ["subject user {", '  type "user"', "}", ""]
        reached = ["  audience none", "  accepts user"]
    return [*lines, *relations, "", f"service {service} {{", *reached]


def _rules(table: Table, service: str, read: Entries, endpoints: Sequence[_Endpoint], names: Names) -> Iterator[str]:
    """The rules: one for each name and vote; of things, one for each action besides."""
    groups: dict[tuple[Who, Vote, tuple[str, ...]], list[Entry]] = {}
    for entry in read.entries:
        apart = entry.actions if not read.places.paths else ()
        groups.setdefault((entry.who, entry.vote, apart), []).append(entry)
    for (who, vote, _), entries in groups.items():
        named = identifier(f"{who.name or 'everybody'}", "name")
        rule = names.take(f"{named}_{'may' if vote == 'allow' else 'must_not'}")
        targets = [f"{service}.{each.name}" for each in endpoints if any(_takes(entry, each) for entry in entries)]
        told = sorted({entry.line for entry in entries})
        lines = ", ".join(map(str, told[:MOST_LINES])) + (" and more" if len(told) > MOST_LINES else "")
        yield f"{vote} {rule}"
        yield "  for any user"
        yield f"  on {', '.join(targets)}"
        yield from (f"  when {each}" for each in (_of_who(table, who, read), _of_things(entries)) if each)
        yield f"  because {quoted(f'{who.name or chr(42)}: line {lines} of {table.file}')}"
        yield ""


def _of_who(table: Table, who: Who, read: Entries) -> str:
    if who.name is None:
        return ""
    if who.graph is None:
        return f"{_caller(read)} == {quoted(who.name)}"
    return f"{relation_name(table, who.graph)}({_caller(read)}, {quoted(who.name)})"


def _of_things(entries: Sequence[Entry]) -> str:
    """Which resources; empty for all, and for paths."""
    things = [each.what for each in entries if isinstance(each.what, Thing)]
    if len(things) < len(entries) or any(each.how == "any" for each in things):
        return ""
    exact = list(dict.fromkeys(quoted(each.name) for each in things if each.how == "is"))
    parts = [f"resource.id in [{', '.join(exact)}]"] if len(exact) > 1 else [f"resource.id == {each}" for each in exact]
    parts += dict.fromkeys(f"resource.id like {quoted(each.name + '*')}" for each in things if each.how == "begins")
    return f"({' or '.join(parts)})" if len(parts) > 1 else parts[0]


# ---------------------------------------------------------------- tests


def _tests(
    table: Table,
    service: str,
    read: Entries,
    endpoints: Sequence[_Endpoint],
    held: Sequence[Mapping[str, frozenset[str]]],
    now_ms: int,
) -> Iterator[str]:
    """A test with a case for each row, one of the same calls by a stranger, and one of those that are closed; none that
    a row answers which was left out, by one way of the matcher or by all.
    """
    plan = TablePlan.of(table)
    left = {each.place for each in read.findings}
    closed = {each.shape for each in endpoints if each.closed}
    titles = ("rows", "a stranger", "HEAD where rows name GET")
    cases: dict[str, dict[str, None]] = {title: {} for title in titles}
    used: set[str] = {STRANGER}
    for entry in read.entries[:MOST_CASES]:
        name = _example(entry.who, held)
        used.add(name)
        endpoint, action = next(each for each in endpoints if _takes(entry, each)), entry.actions[0]
        asked = [(titles[0], name, action), (titles[1], STRANGER, action)]
        asked += [(titles[2], name, _HEAD)] if entry.what in closed else []
        for title, caller, called_by in asked:
            call = _call(service, entry, endpoint, called_by)
            said = plan.said(_request(table, read, entry, caller, called_by), now_ms=now_ms)
            if call is None or (said.row is not None and f"{table.file}:{table.rows[said.row].line}" in left):
                continue
            expected = "allow" if said.vote == "allow" else "deny"
            cases[title][f"  {call} with {_caller(read)} = {quoted(caller)} expect {expected}"] = None
    facts = [
        f"  given fact {relation_name(table, number)} ({quoted(name)}, {quoted(role)})"
        for number in _graphs_used(read)
        for name, role in _pairs(held[number], read, number)
        if name in used
    ]
    given = f'{{ sub: "{STRANGER}", aud: [{quoted(service)}] }}' if read.places.paths else f'{{ id: "{STRANGER}" }}'
    kind = "token" if read.places.paths else "subject"
    for title, lines in cases.items():
        if lines or title != titles[2]:
            yield from (f'test "{title}" {{', f"  given {kind} user {given}", *facts, *lines, "}", "")


def _example(who: Who, held: Sequence[Mapping[str, frozenset[str]]]) -> str:
    """Somebody that a rule is about: of a role somebody below it."""
    if who.name is None:
        return STRANGER
    members = frozenset() if who.graph is None else held[who.graph].get(who.name, frozenset()) - {who.name}
    return min(members, default=who.name)


def _request(table: Table, read: Entries, entry: Entry, caller: str, action: str) -> list[str]:
    values = [""] * len(table.parameters)
    what = entry.what.filled(1) if isinstance(entry.what, Shape) else entry.what.name or "anything"
    for place, value in ((read.places.who, caller), (read.places.what, what), (read.places.action, action)):
        if place is not None:
            values[place] = value
    return values


def _call(service: str, entry: Entry, endpoint: _Endpoint, action: str) -> str | None:
    if isinstance(entry.what, Shape):
        path = called(entry.what.filled(1))
        return None if path is None else f"call {service} {action} {path}"
    return f"call {service}.{endpoint.name} {{ id: {quoted(entry.what.name or 'anything')} }}"

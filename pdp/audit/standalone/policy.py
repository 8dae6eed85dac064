"""A compiled policy: its canonical JSON in, tables to evaluate out. The form is described in policy_lang/ir/codec.py.

What it refers to by number stays a number; nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pdp.audit.standalone.reading import Json, ReceiptError, UndecidedError, items, numbers, read_json, texts

COMPILED = 3
EFFECTS = ("allow", "deny", "require")
TAGS = ("eq", "lt", "le", "member", "overlap", "cover", "truth", "empty", "has", "other")
AUD, SCOPE, ID = "aud", "scope", "id"


class Field(NamedTuple):
    """A claim, property, parameter or header: its type, and the way to it from the outside."""

    name: str
    type: list[Json]
    optional: bool
    source: list[str]
    implicit: bool = False


IDENTITY = Field(ID, ["string"], optional=False, source=[ID])
"""What every subject and every resource has without its being declared."""


class Kind(NamedTuple):
    """A kind of caller: a `token` that was proved, or a `subject` that was asserted."""

    id: str
    form: str
    name: str
    fields: list[Field]
    role_claim: Json
    exclusive: list[Json]


class Service(NamedTuple):
    id: str
    audiences: list[str]
    hosts: list[str]
    accepts: list[str]
    observe_until_ms: int | None
    query_strict: bool


class Endpoint(NamedTuple):
    """`route` is ["http", methods, segments, slash], ["grpc", service, method] or ["action", action, resource]."""

    place: int
    id: str
    service: str
    route: list[Json]
    scopes: list[str]
    query: list[Field]
    headers: list[Field]
    properties: list[Field]

    @property
    def form(self) -> str:
        return str(self.route[0])

    @property
    def methods(self) -> list[str]:
        return texts(self.route[1]) if self.form == "http" else ["POST"]

    @property
    def slash(self) -> bool:
        return self.form == "http" and self.route[3] is True

    @property
    def segments(self) -> list[list[str]]:
        """Each ["fixed", text], [type of capture, name], ["any"] or ["rest"]."""
        if self.form == "http":
            return [texts(each) for each in items(self.route[2])]
        return [["fixed", each] for each in texts(self.route[1:])]


class Body(NamedTuple):
    """What a rule says in some cells: guards that must hold, needs (guard, challenge, seconds), and what is to do."""

    guards: list[int]
    needs: list[list[Json]]
    must: list[list[Json]]
    should: list[list[Json]]


class Rule(NamedTuple):
    id: str
    effect: str
    body: Body


class Cell(NamedTuple):
    """The rules for one endpoint and one kind of caller, each group in the order in which its rules are primary."""

    deny: Sequence[Rule] = ()
    allow: Sequence[Rule] = ()
    require: Sequence[Rule] = ()
    shadow: Sequence[Rule] = ()


def rows(of: Json, width: int) -> list[list[int]]:
    """A flat table."""
    flat = numbers(of)
    return [flat[at : at + width] for at in range(0, len(flat), width)]


def runs(of: Json) -> list[list[int]]:
    """A table of runs: a count, and so many numbers."""
    flat, found, at = numbers(of), [], 0
    while at < len(flat):
        found.append(flat[at + 1 : at + 1 + flat[at]])
        at += 1 + flat[at]
    return found


def fields(of: Json) -> list[Field]:
    found = []
    for each in items(of):
        name, type_, optional, _, source = items(each)
        found.append(Field(str(name), items(type_), optional is True, texts(source)))
    return found


class Policy:
    """A compiled policy, read from its canonical JSON."""

    def __init__(self, data: bytes) -> None:
        whole = read_json(data, "the compiled policy")
        if whole.get("version") != COMPILED:
            raise UndecidedError(f"the policy is compiled to another form than version {COMPILED}")
        try:
            self._declared(whole)
            self.operands = items(whole["operands"])
            self.atoms, self.others = rows(whole["atoms"], 3), [items(each) for each in items(whole["others"])]
            self.guards = list(guard_runs(numbers(whole["guards"])))
            self.cells = self._cells(whole)
        except (KeyError, IndexError, ValueError) as error:
            raise ReceiptError(f"the compiled policy is not whole: {error}") from error

    def _declared(self, whole: dict[str, Json]) -> None:
        self.kinds: dict[str, Kind] = {}
        for each in items(whole["kinds"]):
            id_, form, name, claims, role_claim, exclusive = items(each)
            own = fields(claims)
            if form == "token":
                implied = [
                    Field(claim, ["set", ["string"]], optional=True, source=[claim], implicit=True)
                    for claim in (AUD, SCOPE)
                ]
                own = [*own, *implied]
            else:
                own = [IDENTITY, *own]
            self.kinds[str(id_)] = Kind(str(id_), str(form), str(name), own, role_claim, items(exclusive))
        self.columns = {
            str(id_): [items(each)[1] for each in items(of)] for id_, of in map(items, items(whole["relations"]))
        }
        self.signals = {str(items(each)[0]): items(items(each)[1]) for each in items(whole["signals"])}
        self.services: dict[str, Service] = {}
        for each in items(whole["services"]):
            id_, audiences, hosts, accepts, until, strict, _ = items(each)
            until_ms = until if isinstance(until, int) else None
            lists = texts(audiences), texts(hosts), texts(accepts)
            self.services[str(id_)] = Service(str(id_), *lists, until_ms, strict is True)
        self.endpoints = []
        for index, each in enumerate(items(whole["endpoints"])):
            id_, service, route, _, scopes, _, _, query, headers, properties, _, _ = items(each)
            given = fields(query), fields(headers), fields(properties)
            self.endpoints.append(Endpoint(index, str(id_), str(service), items(route), texts(scopes), *given))

    def _cells(self, whole: dict[str, Json]) -> dict[tuple[int, str | None], Cell]:
        names, kinds = texts(whole["texts"]), [None, *self.kinds]
        clauses = [guard for _, _, guard in rows(whole["clauses"], 3)]
        bodies = [Body([clauses[at] for at in run], [], [], []) for run in runs(whole["bodies"])]
        for each in items(whole["duties"]):
            body, *lists = items(each)
            needs, must, should = ([items(each) for each in items(of)] for of in lists)
            bodies[whole_number(body)] = Body(bodies[whole_number(body)].guards, needs, must, should)
        rules = [(names[id_], EFFECTS[effect]) for id_, effect, *_ in rows(whole["rules"], 7)]
        placed = [Rule(*rules[rule], bodies[body]) for rule, body in rows(whole["placed"], 2)]
        groups = [[placed[at] for at in run] for run in runs(whole["groups"])]
        cells = {}
        for endpoint, kind, *of in rows(whole["cells"], 6):
            cells[endpoint, kinds[kind]] = Cell(*(groups[at] for at in of))
        return cells


def whole_number(of: Json) -> int:
    return numbers([of])[0]


def guard_runs(flat: list[int]) -> Iterator[list[int]]:
    """Each guard as [kind, …]: 0 and 1 an atom and its negation, 2 all of some guards, 3 any of some guards."""
    at = 0
    while at < len(flat):
        count, kind = divmod(flat[at], 4)
        parts = [count] if kind < 2 else flat[at + 1 : at + 1 + count]
        yield [kind, *parts]
        at += 1 if kind < 2 else 1 + count

"""What a decision took in, and no more: enough to log it and to decide it again.

In come a program and a question, out go `Inputs`: the rows that the lookups of the routed cell asked for, and the
claims, headers, properties, readings and origin cut down to its static read set.
`replay_question` makes a question of them that is decided as the first one was, in all that evaluators agree on (a law,
tests/properties). Service, method, path with query, host, or action, type and id of the resource, and the instant are
not part of the inputs; whoever keeps a record has them.

Nothing else of the caller leaves: of a claim that is not in the read set only its name is kept, in `unread`, where it
was there and conformed. Of facts only the rows asked for and found are.

Decision (2026-11-21): the read set is that of the whole cell, whatever step decided, so that the same record answers
for a changed rule too. `aud` belongs to it for every token, `scope` where the endpoint names scopes or a rule issues a
token, the claim that gives roles where some exclude each other. Of a call refused by `schema` for a claim, that claim
is kept as the token held it; of other calls that were not admitted, none is. Where the service is observed, `aud` is
kept of all: by it a call that was not admitted passes or does not.
Decision (2026-11-21): of declared headers and properties of the resource those are kept that are read or required,
since a call without the latter is another call, and the one that was refused; `content-type` of gRPC, by which it was
routed.
Decision (2026-11-21): what the gateway can do is kept where a require rule of the cell asks for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from typing import NamedTuple, Never, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from policy_lang.ir import (
    Attr,
    Cell,
    Endpoint,
    FieldSchema,
    Grpc,
    IssueToken,
    Kind,
    Lookup,
    Operand,
    Program,
    Root,
    Value,
    lookups_of,
    reads_of,
)
from policy_lang.meaning.admission import Admission, Call, Refused
from policy_lang.meaning.derived import derived
from policy_lang.meaning.evaluation import ROOTS, Columns, Environment, value_of
from policy_lang.meaning.schema import (
    AUDIENCE,
    Absent,
    SchemaRefusal,
    conform_claim,
    fields_of,
    locate,
    owner_of,
    root_of,
)
from policy_lang.meaning.values import TRUE, UNKNOWN, among_rows
from policy_lang.typesystem import Scalar, Type
from policy_lang.verdict import (
    CAPABILITIES,
    NOWHERE,
    ActionCall,
    Caller,
    Capability,
    HttpCall,
    Json,
    Origin,
    Question,
    Row,
)

MOST_RECORDED = 32
"""Cells for which is kept what their records hold of one caller: very many callers may be known at a time."""

Place = tuple[int, str | None]
"""A cell: the index of its endpoint and the id of its kind."""


class Looked(NamedTuple):
    """One row asked for: the relation, the arguments as values (None: not there), and whether it was among the facts.

    `found` is None where that is unknown.
    """

    relation: str
    arguments: tuple[Value | None, ...]
    found: bool | None


class Inputs(Struct, frozen=True):
    """What one decision took in.

    `caller` is who called, with the claims that were read, where they stood in the token; its `unread` names the other
    declared claims that were there and conformed. `headers` by lower-case name, `properties` where they stood in the
    resource, `signals` by id. What was not read of the origin is as in `NOWHERE`.
    """

    caller: Caller
    lookups: tuple[Looked, ...]
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    properties: Mapping[str, Json] = field(default_factory=dict)
    origin: Origin = NOWHERE
    signals: Mapping[str, Value] = field(default_factory=dict)
    capabilities: frozenset[Capability] = CAPABILITIES


class ReadSet(Struct, frozen=True):
    """What a decision in one cell may read, the lookups it may make, each in a fixed order; `asks`: a require rule
    asks for something.
    """

    attrs: tuple[Attr, ...]
    lookups: tuple[Lookup, ...]
    asks: bool

    def names(self, root: Root) -> frozenset[str]:
        """What is read under one root."""
        return frozenset(attr.name for attr in self.attrs if attr.root == root)

    @classmethod
    def of(cls, program: Program, cell: Cell, endpoint: Endpoint, kind: Kind | None) -> ReadSet:
        """The static read set of a cell, which is of this endpoint and kind."""
        attrs = set(reads_of(program, cell))
        bodies = [program.bodies[each.body] for each in cell.require]
        if kind is not None and kind.form == "token":
            issues = any(isinstance(each, IssueToken) for body in bodies for each in body.must)
            attrs |= {Attr("token", "aud")} | ({Attr("token", "scope")} if endpoint.scopes or issues else set())
        if kind is not None and kind.exclusive and kind.role_claim is not None:
            attrs.add(Attr(root_of(kind), kind.role_claim))
        ordered = tuple(sorted(attrs, key=lambda attr: (attr.root, attr.name)))
        asks = any(body.must or body.needs for body in bodies)
        return cls(ordered, tuple(sorted(lookups_of(program, cell), key=repr)), asks)


class _Asking(Struct, frozen=True):
    """A lookup, with what reads its arguments; `types` are what Python calls their types, None where that is not told
    so easily.
    """

    relation: str
    columns: tuple[Type, ...]
    arguments: tuple[Callable[[Environment], Value | None], ...]
    types: list[type] | None

    @classmethod
    def of(cls, lookup: Lookup, columns: Columns) -> _Asking:
        """The lookup where relations have these columns."""
        declared = columns.get(lookup.relation, ())
        plain = [_PLAIN.get(each) if isinstance(each, Scalar) else None for each in declared]
        types = [each for each in plain if each is not None]
        readers = tuple(_reader(each) for each in lookup.arguments)
        return cls(lookup.relation, declared, readers, types if len(types) == len(readers) == len(declared) else None)

    def looked(self, environment: Environment) -> Looked:
        """What is asked for in a call, and whether it is there."""
        arguments = tuple([read(environment) for read in self.arguments])
        rows = environment.facts.get(self.relation)
        if rows is not None and [type(each) for each in arguments] == self.types:
            return Looked(self.relation, arguments, arguments in rows)
        truth = among_rows(arguments, rows, self.columns)
        return Looked(self.relation, arguments, None if truth is UNKNOWN else truth is TRUE)


_PLAIN: Mapping[Scalar, type] = {
    **dict.fromkeys((Scalar.STRING, Scalar.UUID, Scalar.IP, Scalar.WORKLOAD), str),
    **dict.fromkeys((Scalar.TIME, Scalar.DURATION), int),
    Scalar.BOOL: bool,
}


def _reader(operand: Operand) -> Callable[[Environment], Value | None]:
    """What gives the value of an operand."""
    if not isinstance(operand, Attr):
        return partial(value_of, operand)
    root, name = ROOTS[operand.root], operand.name
    return lambda environment: root(environment).get(name)


class _Kept(Struct, frozen=True):
    """What is kept of the calls of one cell: lookups, claims and properties by name, headers by their outer names, what
    is read of the origin, signals by id; `asks` as in `ReadSet`.
    """

    lookups: tuple[_Asking, ...]
    claims: frozenset[str]
    headers: tuple[str, ...]
    properties: frozenset[str]
    origin: frozenset[str]
    signals: frozenset[str]
    asks: bool

    @classmethod
    def of(cls, read: ReadSet, endpoint: Endpoint, kind: Kind | None, columns: Columns) -> _Kept:
        """What is kept where this is read."""
        return cls(
            tuple(_Asking.of(each, columns) for each in read.lookups),
            read.names(root_of(kind)),
            _wanted_headers(endpoint, read.names("header"), None),
            read.names("resource"),
            read.names("request"),
            read.names("signal"),
            read.asks,
        )


class Recorder:
    """Takes down the inputs of decisions under one program, for whoever records many.

    Its state is what is kept in the cells it met: each is worked out once, and there are no more than cells.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._endpoints = {endpoint.id: endpoint for endpoint in admission.program.endpoints}
        self._kept: dict[Place, _Kept] = {}

    def record(self, question: Question, call: Call | Refused) -> Inputs:
        """What the decision of one question takes in; `call` is what its admission came to."""
        if isinstance(call, Refused):
            return self._refused(question, self._admission.kinds.get(question.caller.kind or ""), call)
        place = (call.cell.endpoint, call.cell.kind)
        kept = self._kept.get(place)
        if kept is None:
            read = ReadSet.of(self._admission.program, call.cell, call.endpoint, call.kind)
            kept = self._kept[place] = _Kept.of(read, call.endpoint, call.kind, self._admission.columns)
        asked, signals = question.call, question.signals
        headers: Mapping[str, tuple[str, ...]] = _NONE
        properties: Mapping[str, Json] = _NONE
        if isinstance(asked, ActionCall):
            properties = _of_properties(asked, call.endpoint, kept.properties, None)
        elif kept.headers:
            headers = _of_headers(asked, kept.headers)
        return Inputs(
            self._caller(question.caller, call.kind, place, kept.claims),
            _looked(kept.lookups, call.environment) if kept.lookups else (),
            headers,
            properties,
            _origin(question.origin, kept.origin) if kept.origin else NOWHERE,
            {id_: value for id_, value in signals.items() if id_ in kept.signals} if signals else _NONE,
            question.capabilities if kept.asks else CAPABILITIES,
        )

    def _caller(self, caller: Caller, kind: Kind | None, place: Place, names: frozenset[str]) -> Caller:
        known = derived(caller, self._admission.mark)
        if known is None:
            return _caller(caller, kind, names)
        found = known.recorded.get(place)
        if found is None or found.multi_audience != caller.multi_audience:
            if len(known.recorded) >= MOST_RECORDED:
                known.recorded.clear()
            found = known.recorded[place] = _caller(caller, kind, names)
        return found

    def _refused(self, question: Question, kind: Kind | None, refused: Refused) -> Inputs:
        of_caller = refused.reason.startswith(("schema.claim_", "schema.subject_"))
        kept = {refused.subject} if of_caller else set()
        service = self._admission.router.services.get(question.service)
        if service is not None and service.observe_until_ms is not None:
            kept |= {AUDIENCE.name}
        caller = _caller(question.caller, kind, kept)
        endpoint = self._endpoints.get(refused.endpoint or "")
        if endpoint is None:
            return Inputs(caller, ())
        asked = question.call
        if isinstance(asked, ActionCall):
            return Inputs(caller, (), _NONE, _of_properties(asked, endpoint, _NOTHING, refused.subject))
        return Inputs(caller, (), _of_headers(asked, _wanted_headers(endpoint, _NOTHING, refused.subject)))


_NONE: Mapping[str, Never] = {}
_NOTHING: frozenset[str] = frozenset()


def recorded_inputs(program: Program, question: Question) -> Inputs:
    """What the decision of one question takes in."""
    admission = Admission.of(program)
    return Recorder(admission).record(question, admission.admit(question))


def replay_question(inputs: Inputs, *, service: str, call: HttpCall | ActionCall, now_ms: int) -> Question:
    """The question that recorded inputs answer. The other arguments are those of the first question; of `call` the
    headers or properties are not looked at.
    """
    facts: dict[str, frozenset[Row]] = {}
    for each in inputs.lookups:
        if each.found is not None:
            facts[each.relation] = facts.get(each.relation, frozenset()) | ({_row(each)} if each.found else set())
    match call:
        case HttpCall():
            whole: HttpCall | ActionCall = replace(call, headers=inputs.headers)
        case ActionCall():
            whole = replace(call, properties=inputs.properties)
        case _:
            assert_never(call)
    return Question(service, whole, inputs.caller, now_ms, facts, inputs.origin, inputs.signals, inputs.capabilities)


def _of_properties(
    call: ActionCall, endpoint: Endpoint, read: frozenset[str], refused: str | None
) -> Mapping[str, Json]:
    """The properties that were read, are required, or were refused."""
    properties: dict[str, Json] = {}
    for each in _needed(endpoint.properties, read, refused):
        _copy(each.source, call.properties, properties)
    return properties


def _of_headers(call: HttpCall, wanted: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return {name: call.headers[name] for name in wanted if name in call.headers}


def _wanted_headers(endpoint: Endpoint, read: frozenset[str], refused: str | None) -> tuple[str, ...]:
    """The outer names of the headers that are read or required, or were refused."""
    wanted = {each.source[0] for each in _needed(endpoint.headers, read, refused)}
    if isinstance(endpoint.route, Grpc):
        wanted.add("content-type")
    return tuple(sorted(wanted))


def _needed(fields: Iterable[FieldSchema], read: frozenset[str], refused: str | None) -> list[FieldSchema]:
    return [each for each in fields if not each.optional or each.name in read or each.name == refused]


def _origin(origin: Origin, names: frozenset[str]) -> Origin:
    return Origin(
        origin.ip if "ip" in names else NOWHERE.ip,
        origin.peer if "peer" in names else NOWHERE.peer,
        origin.gateway if "gateway" in names else NOWHERE.gateway,
        origin.tls if "tls" in names else NOWHERE.tls,
    )


def _caller(caller: Caller, kind: Kind | None, kept: Container[str]) -> Caller:
    """The caller with no more than the claims that are kept."""
    claims: dict[str, Json] = {}
    unread: set[str] = set()
    for each in () if kind is None else fields_of(kind):
        if each.name in caller.unread:
            unread.add(each.name)
        elif each.name in kept:
            _copy(each.source, caller.claims, claims)
        elif kind is not None and _is_there(each, caller.claims, kind):
            unread.add(each.name)
    return replace(caller, claims=claims, unread=frozenset(unread))


def _is_there(declared: FieldSchema, claims: Mapping[str, Json], kind: Kind) -> bool:
    """Whether a claim is there and conforms."""
    there = not isinstance(locate(declared.source, claims), Absent)
    return there and not isinstance(conform_claim(declared, claims, owner_of(kind)), SchemaRefusal)


def _copy(source: tuple[str, ...], given: Mapping[str, Json], into: dict[str, Json]) -> None:
    """Put what stands at the end of a way at the end of the same way; a step that is no object ends it there."""
    step, *further = source
    if step not in given:
        return
    below = given[step]
    if not further or not isinstance(below, dict):
        into[step] = below
        return
    held = into.setdefault(step, {})
    if isinstance(held, dict):
        _copy(tuple(further), below, held)


def _looked(lookups: tuple[_Asking, ...], environment: Environment) -> tuple[Looked, ...]:
    """What was asked for, each once."""
    if len(lookups) == 1:
        return (lookups[0].looked(environment),)
    return tuple(dict.fromkeys([each.looked(environment) for each in lookups]))


def _row(looked: Looked) -> Row:
    """The arguments of a row that was found, which are scalars all."""
    return tuple(each for each in looked.arguments if isinstance(each, bool | int | str))

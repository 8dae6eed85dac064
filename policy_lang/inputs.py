"""What a decision took in, and no more: enough to log it and to decide it again.

In come a program and a question, out go `Inputs`: the static read set of the routed cell with the values, the rows that
its lookups asked for, and the claims cut down to what was read. `replay_question` makes a question of them that is
decided as the first one was: outcome, `by`, `reason` and log duty agree (a law, tests/properties). Service, method,
path with query, host and instant are not part of the inputs; whoever keeps a record has them.

Nothing else of the caller leaves: of a claim that is not in the read set only its name is kept, in `unread`, where it
was there and conformed. Of facts only the rows asked for and found are.

Decision (2026-11-21): the read set is that of the whole cell, whatever step decided, so that the same record answers
for a changed rule too. `aud` belongs to it for every token, `scope` where the endpoint names scopes. Of a call refused
by `schema` for a claim, that claim is kept as the token held it; of other calls that were not admitted, none is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from policy_lang.admission import Admission, Call, Refused
from policy_lang.evaluation import truth_of_atom, value_of
from policy_lang.ir import Attr, Cell, FieldSchema, Lookup, Program, Value, lookups_of, reads_of
from policy_lang.request import Path
from policy_lang.schema import IMPLICIT_CLAIMS, Absent, SchemaRefusal, conform_claim, locate
from policy_lang.values import TRUE, UNKNOWN
from policy_lang.verdict import Caller, Json, Question, Row


class Looked(NamedTuple):
    """One row asked for: the relation, the arguments as values (None: not there), and whether it was among the facts.

    `found` is None where that is unknown.
    """

    relation: str
    arguments: tuple[Value | None, ...]
    found: bool | None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one decision took in. `reads` holds None for an input that was absent or not at hand.

    `caller` is who called, with the claims that were read, where they stood in the token; its `unread` names the other
    declared claims that were there and conformed.
    """

    caller: Caller
    reads: Mapping[Attr, Value | None]
    lookups: tuple[Looked, ...]


@dataclass(frozen=True, slots=True)
class ReadSet:
    """What the guards of one cell may read, and the lookups they may make, each in a fixed order."""

    attrs: tuple[Attr, ...]
    lookups: tuple[Lookup, ...]

    @classmethod
    def of(cls, program: Program, cell: Cell) -> ReadSet:
        """The static read set of a cell."""
        attrs = sorted(reads_of(program, cell), key=lambda attr: (attr.root, attr.name))
        return cls(tuple(attrs), tuple(sorted(lookups_of(program, cell), key=repr)))


class Recorder:
    """Takes down the inputs of decisions under one program, for whoever records many.

    Its state is the read sets of the cells it met: each is worked out once, and there are no more than cells.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._read_sets: dict[tuple[int, str | None], ReadSet] = {}

    def record(self, question: Question, call: Call | Refused) -> Inputs:
        """What the decision of one question takes in; `call` is what its admission came to."""
        kind = self._admission.kinds.get(question.caller.kind or "")
        declared = (*kind.claims, *IMPLICIT_CLAIMS) if kind is not None else ()
        if isinstance(call, Refused):
            kept = {call.subject} if call.reason.startswith("schema.claim_") else set[str]()
            return _inputs(question.caller, declared, kept, {}, ())
        read_set = self._read_set(call.cell)
        wanted = set(read_set.attrs)
        if kind is not None:
            wanted.add(Attr("token", "aud"))
            wanted |= {Attr("token", "scope")} if call.endpoint.scopes else set()
        ordered = sorted(wanted, key=lambda attr: (attr.root, attr.name))
        reads = {attr: value_of(attr, call.environment) for attr in ordered}
        kept = {attr.name for attr in reads if attr.root == "token"}
        return _inputs(question.caller, declared, kept, reads, _looked(read_set.lookups, call))

    def _read_set(self, cell: Cell) -> ReadSet:
        place = (cell.endpoint, cell.kind)
        if place not in self._read_sets:
            self._read_sets[place] = ReadSet.of(self._admission.program, cell)
        return self._read_sets[place]


def recorded_inputs(program: Program, question: Question) -> Inputs:
    """What the decision of one question takes in."""
    admission = Admission.of(program)
    return Recorder(admission).record(question, admission.admit(question))


def replay_question(inputs: Inputs, *, service: str, method: str, path: Path, host: str, now_ms: int) -> Question:
    """The question that recorded inputs answer; the other arguments are those of the first question."""
    facts: dict[str, frozenset[Row]] = {}
    for each in inputs.lookups:
        if each.found is not None:
            facts[each.relation] = facts.get(each.relation, frozenset()) | ({_row(each)} if each.found else set())
    return Question(service, method, path, host, inputs.caller, now_ms, facts)


def _inputs(
    caller: Caller,
    declared: tuple[FieldSchema, ...],
    kept: set[str],
    reads: Mapping[Attr, Value | None],
    lookups: tuple[Looked, ...],
) -> Inputs:
    claims: dict[str, Json] = {}
    unread: set[str] = set()
    for each in declared:
        if each.name in caller.unread:
            unread.add(each.name)
        elif each.name in kept:
            _copy(each.source, caller.claims, claims)
        elif _is_there(each, caller.claims):
            unread.add(each.name)
    return Inputs(replace(caller, claims=claims, unread=frozenset(unread)), reads, lookups)


def _is_there(declared: FieldSchema, claims: Mapping[str, Json]) -> bool:
    """Whether a claim is in the token and conforms."""
    there = not isinstance(locate(declared.source, claims), Absent)
    return there and not isinstance(conform_claim(declared, claims), SchemaRefusal)


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


def _looked(lookups: tuple[Lookup, ...], call: Call) -> tuple[Looked, ...]:
    looked: dict[Looked, None] = {}
    for each in lookups:
        arguments = tuple(value_of(argument, call.environment) for argument in each.arguments)
        truth = truth_of_atom(each, call.environment)
        looked[Looked(each.relation, arguments, None if truth is UNKNOWN else truth is TRUE)] = None
    return tuple(looked)


def _row(looked: Looked) -> Row:
    """The arguments of a row that was found, which are scalars all."""
    return tuple(each for each in looked.arguments if isinstance(each, bool | int | str))

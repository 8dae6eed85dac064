"""What a token opens under a policy: every endpoint, whatever else a call may hold.

A program, the claims of a token and an instant come in, one `Opening` for each endpoint goes out. The claims are known;
paths, queries, headers, resources, addresses, facts and readings are not, and neither is the time beyond what no hour
changes any more. All guards are worked out once, three-valued (language.md 5.3), and each endpoint is judged as
policy_lang/meaning/reference.py judges a call: `closed` is what is refused for certain, `opens` what passes for
certain.

INVARIANT: of the calls that a gateway without want of capabilities asks about with this token, from the instant on and
before `until_ms`: one that passes lies on an endpoint that is not `closed`; one that is routed to an endpoint and
conforms to its schema passes where that `opens`, and passes or is asked for stronger authentication where it opens
`after step-up`.
Source: language.md 5.2, 5.3, 5.4, point J; issue "Zero trust", "No personal data in tokens".

Decision: 2026-11-21. An atom that reads the time is known where it changes no more before `until_ms`: a rule that has
ended stays ended, and a login that is too old stays so. So what a token opens at night includes what it opens by day.
Decision: 2026-11-21. A header made of what is not known may be one that no gateway can send (`conflict.value`), so its
endpoint only may open. A conflict that is certain is told as one that may be: to say `closed` would take a second
merging, and nobody writes such a policy twice.
Decision: 2026-11-21. While a service is observed, all it refuses by policy passes, and later does not: `may open`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.checking.warnings import day
from policy_lang.ir import (
    All,
    AnyOf,
    Atom,
    Cell,
    CellRule,
    Clause,
    Has,
    IssueToken,
    Kind,
    Lit,
    Lookup,
    Operand,
    Program,
    SetHeader,
    Value,
    Vote,
    attrs_of,
    operands_of,
)
from policy_lang.ir.reads import parts_of
from policy_lang.meaning.admission import Admission, Call, Refused
from policy_lang.meaning.baselines import (
    Refusal,
    audience_refusal,
    exclusive_refusal,
    observed_until,
    scope_refusal,
)
from policy_lang.meaning.evaluation import Environment, truth_of_atom
from policy_lang.meaning.horizon import Clockwork, has_now, reads_time, valid_until
from policy_lang.meaning.obligations import Conflict, merged_duties, terms_of
from policy_lang.meaning.reference import OBSERVABLE
from policy_lang.meaning.schema import SchemaRefusal, conform_claims
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN, conjunction, disjunction, negation
from policy_lang.meaning.words import attr_name
from policy_lang.reach import route_text
from policy_lang.request import Path
from policy_lang.verdict import Caller, HttpCall, Question, Truth3

State = Literal["opens", "opens after step-up", "may open", "closed"]
STATES: tuple[State, ...] = ("opens", "opens after step-up", "may open", "closed")


class Unsettled(Struct, frozen=True):
    """What the token does not settle: a clause of a rule by its label, and the inputs it hangs on by name, sorted.

    `clause` is `obligations` where rules ask what may not go together (`inputs` names the header or the scopes), and
    `observe until DAY` of a service that is observed, with no rule.
    """

    rule: str
    clause: str
    inputs: tuple[str, ...] = ()


class Opening(Struct, frozen=True):
    """Whether a token opens an endpoint, by id. `reason` and `subject` are those of the refusal where it is closed (and
    where it only opens because its service is observed), with the denies that refuse; elsewhere `rules` are the allows
    that may let it in. `challenges` are what step-up asks for.
    """

    service: str
    endpoint: str
    route: str
    state: State
    reason: str = ""
    subject: str = ""
    rules: tuple[str, ...] = ()
    challenges: tuple[str, ...] = ()
    unsettled: tuple[Unsettled, ...] = ()


def openings(
    program: Program, kind: Kind | None, caller: Caller, now_ms: int, until_ms: int | None = None
) -> tuple[Opening, ...]:
    """The openings of all endpoints in the order of the program, for a token of this kind from `now_ms` on and before
    `until_ms`, both Unix milliseconds; None is for ever. Of no kind at all, every endpoint is closed (`token.issuer`).
    """
    blank = [Opening(each.service, each.id, route_text(each), "closed") for each in program.endpoints]
    if kind is None:
        return tuple(replace(each, reason="token.issuer") for each in blank)
    admission = Admission.of(program)
    values = conform_claims(kind, caller)
    if isinstance(values, SchemaRefusal):
        refused = [Refused("schema", values.reason, values.subject, each.endpoint) for each in blank]
        shut = [replace(each, reason=values.reason, subject=values.subject) for each in blank]
        pairs: Iterable[tuple[Opening, Call | Refused]] = zip(shut, refused, strict=True)
    else:
        known = _Known.of(program, admission, values, now_ms, until_ms)
        calls = [_call(known, admission, index, kind) for index in range(len(blank))]
        pairs = [(_judged(known, each, call, caller), call) for each, call in zip(blank, calls, strict=True)]
    found: list[Opening] = []
    for opening, call in pairs:
        question = Question(opening.service, _NO_CALL, caller, now_ms, {})
        found.append(_observed(opening, observed_until(admission, question, call)))
    return tuple(found)


def _call(known: _Known, admission: Admission, index: int, kind: Kind) -> Call:
    """Any call to an endpoint that conforms, of which nothing is known but its token."""
    program, endpoint = admission.program, admission.program.endpoints[index]
    place = admission.cells.get((index, kind.id))
    cell = Cell(index, kind.id, (), (), (), ()) if place is None else program.cells[place]
    return Call(admission.router.services[endpoint.service], endpoint, kind, cell, place, known.environment)


_NO_CALL = HttpCall("GET", Path("/", (), trailing_slash=False, escaped=frozenset(), query=None), "")
"""Where a question needs a call that nothing looks at."""


class _Known(Struct, frozen=True):
    """What the token settles: the inputs, and what each atom and each guard is worth, by index."""

    program: Program
    environment: Environment
    atoms: tuple[Truth3, ...]
    guards: tuple[Truth3, ...]

    @classmethod
    def of(
        cls, program: Program, admission: Admission, claims: Mapping[str, Value], now_ms: int, until_ms: int | None
    ) -> _Known:
        given = (atom.attr for atom in program.atoms if isinstance(atom, Has) and atom.attr.root != "token")
        environment = Environment(
            token=claims,
            subject={},
            resource={},
            path={},
            query={},
            header={},
            request={},
            signal={},
            unread=frozenset(given),
            now_ms=now_ms,
            facts={},
            columns=admission.columns,
            tables=admission.voters,
        )
        atoms = tuple(_settled(atom, environment, until_ms) for atom in program.atoms)
        return cls(program, environment, atoms, _worth_of_guards(program, atoms))

    def possible(self, group: Iterable[CellRule]) -> tuple[tuple[CellRule, Truth3], ...]:
        """The rules of a group that are not FALSE for certain, each with what it is worth."""
        worths = ((each, conjunction(self.guards[clause.guard] for clause in self._clauses(each))) for each in group)
        return tuple((each, worth) for each, worth in worths if worth is not FALSE)

    def unsettled(self, group: Iterable[tuple[CellRule, Truth3]]) -> Iterator[Unsettled]:
        """What is open of these rules, clause by clause."""
        for each, worth in group:
            if worth is UNKNOWN:
                for clause in self._clauses(each):
                    if self.guards[clause.guard] is UNKNOWN:
                        yield Unsettled(self.program.rules[each.rule].id, clause.label, self._inputs(clause.guard))

    def _clauses(self, of: CellRule) -> tuple[Clause, ...]:
        return self.program.bodies[of.body].clauses

    def _inputs(self, guard: int) -> tuple[str, ...]:
        """The inputs that keep a guard from being settled."""
        below = (self.program.guards[index] for index in parts_of(self.program, guard))
        literals = (node.atom for node in below if isinstance(node, Lit))
        unknown = (self.program.atoms[atom] for atom in literals if self.atoms[atom] is UNKNOWN)
        return tuple(sorted({name for atom in unknown for name in _inputs_of(atom, self.environment)}))


def _settled(atom: Atom, environment: Environment, until_ms: int | None) -> Truth3:
    """What an atom is worth from now on, UNKNOWN where that may change before `until_ms`."""
    worth = truth_of_atom(atom, environment)
    asked = frozenset({atom.table}) if isinstance(atom, Vote) else frozenset[str]()
    clockwork = Clockwork((atom,) if reads_time(atom) else (), ticking=False, tables=asked)
    changes_ms = valid_until(clockwork, environment)
    return worth if changes_ms is None or (until_ms is not None and changes_ms >= until_ms) else UNKNOWN


def _worth_of_guards(program: Program, atoms: Sequence[Truth3]) -> tuple[Truth3, ...]:
    """What each guard is worth; the parts of one stand before it."""
    worth: list[Truth3] = []
    for node in program.guards:
        match node:
            case Lit(atom, negated):
                worth.append(negation(atoms[atom]) if negated else atoms[atom])
            case All(parts):
                worth.append(conjunction(worth[part] for part in parts))
            case AnyOf(parts):
                worth.append(disjunction(worth[part] for part in parts))
            case _:
                assert_never(node)
    return tuple(worth)


def _inputs_of(atom: Atom, environment: Environment) -> Iterator[str]:
    """The names of what an atom that is not settled hangs on."""
    attrs = {attr for operand in operands_of(atom) for attr in attrs_of(operand)}
    yield from (attr_name(attr) for attr in attrs if attr.root != "token")
    match atom:
        case Lookup(relation, _):
            yield f"facts {relation.rpartition('.')[2]}"
        case Vote(table, _, _) if table in environment.tables.timed:
            yield "now"
        case _:
            pass
    if reads_time(atom):
        yield "now"


# ---------------------------------------------------------------- one endpoint


def _judged(known: _Known, blank: Opening, call: Call, caller: Caller) -> Opening:
    """The opening of one endpoint, by the steps 3 to 9 of a decision."""
    services, several = known.program.services, caller.multi_audience
    refusal = audience_refusal(call, services, multi_audience=several) or exclusive_refusal(call)
    if refusal is not None:
        return _closed(blank, refusal)
    denies = known.possible(call.cell.deny)
    certain = tuple(each for each, worth in denies if worth is TRUE)
    if certain:
        return replace(blank, reason="rule", rules=_ids(known.program, certain))
    if refusal := scope_refusal(call):
        return _closed(blank, refusal)
    allows = known.possible(call.cell.allow)
    if not allows:
        return replace(blank, reason="default.no_rule" if call.cell.allow else "default.no_cell_rule")
    requires = known.possible(call.cell.require)
    granted = any(worth is TRUE for _, worth in allows)
    unsettled = [*known.unsettled(denies), *(() if granted else known.unsettled(allows))]
    unsettled += _conflicts(known.program, call, [each for each, _ in requires])
    challenges = _challenges(known, [each for each, _ in requires])
    state: State = "may open" if unsettled else "opens after step-up" if challenges else "opens"
    rules = _ids(known.program, (each for each, _ in allows))
    return replace(blank, state=state, rules=rules, challenges=challenges, unsettled=tuple(unsettled))


def _closed(blank: Opening, refusal: Refusal) -> Opening:
    return replace(blank, reason=refusal.reason, subject=refusal.subject)


def _ids(program: Program, rules: Iterable[CellRule]) -> tuple[str, ...]:
    return tuple(program.rules[each.rule].id for each in rules)


def _challenges(known: _Known, requires: Iterable[CellRule]) -> tuple[str, ...]:
    """What may be asked for: the challenges of the needs that are not met for certain."""
    needs = (need for each in requires for need in known.program.bodies[each.body].needs)
    return tuple(dict.fromkeys(need.challenge for need in needs if known.guards[need.guard] is not TRUE))


def _conflicts(program: Program, call: Call, requires: Sequence[CellRule]) -> Iterator[Unsettled]:
    """What may keep the obligations of these rules from being done together: where all of them can, fewer can too."""
    terms = terms_of(call, program.signals)

    def text_of(operand: Operand) -> str | None:
        return None if has_now(operand) else terms.text_of(operand)

    musts = [must for each in requires for must in program.bodies[each.body].must]
    merged = merged_duties(musts, replace(terms, text_of=text_of))
    if isinstance(merged, Conflict):
        asking = (each for each in requires if _asks(program, each, merged))
        yield Unsettled(", ".join(_ids(program, asking)), "obligations", (_subject(merged),))


def _asks(program: Program, rule: CellRule, conflict: Conflict) -> bool:
    """Whether a rule asks for what a conflict is about."""
    return any(
        conflict.reason == "conflict.scope" if isinstance(must, IssueToken) else must.name == conflict.subject
        for must in program.bodies[rule.body].must
        if isinstance(must, IssueToken | SetHeader)
    )


def _subject(conflict: Conflict) -> str:
    word = "scope" if conflict.reason == "conflict.scope" else "header"
    return f"{word} {conflict.subject}"


def _observed(opening: Opening, until_ms: int | None) -> Opening:
    """What becomes of an opening while its service is observed: what policy refuses passes until then."""
    refused = opening.state == "closed"
    by_policy = opening.reason == "rule" or opening.reason.partition(".")[0] in OBSERVABLE
    if until_ms is None or opening.state == "opens" or (refused and not by_policy):
        return opening
    observed = Unsettled("", f"observe until {day(until_ms)}", ("now",))
    return replace(opening, state="may open", unsettled=(observed, *opening.unsettled))

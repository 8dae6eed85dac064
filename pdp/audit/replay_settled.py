"""Whether a verdict holds whatever the inputs are that a record does not hold; or which of them it hangs on.

A program, an admitted call in whose environment the missing inputs are unknown, and the verdict on it by the definition
come in; names come out, none where the verdict stands. The steps are those of policy_lang/meaning/reference.py: with
what is unknown it refuses wherever a deny may apply, allows only by what holds for certain, and asks for all that may
be asked for. So the verdict stands where the group that decided has a rule that decides for certain, and no rule before
it may decide otherwise.

INVARIANT: where `hangs_on` is empty, every completion of the missing inputs (that conforms) leads to the same outcome;
where `asks_hang_on` is empty too, to the same obligations and advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from policy_lang.ir import (
    Atom,
    Attr,
    Body,
    CellRule,
    IssueToken,
    Lit,
    Lookup,
    Obligation,
    Program,
    SetHeader,
    attrs_of,
    operands_of,
)
from policy_lang.meaning.admission import Call
from policy_lang.meaning.evaluation import truths
from policy_lang.meaning.schema import root_of
from policy_lang.meaning.values import FALSE, UNKNOWN, conjunction
from policy_lang.meaning.words import attr_name
from policy_lang.verdict import Truth3, Verdict


class Missing(Struct, frozen=True):
    """Inputs that a cell may read and that are not at hand; relations of which a row is not, by id."""

    attrs: frozenset[Attr] = frozenset()
    relations: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.attrs or self.relations)

    def of_atom(self, atom: Atom) -> Iterator[str]:
        """The names of those that an atom reads."""
        for operand in operands_of(atom):
            yield from (attr_name(attr) for attr in attrs_of(operand) if attr in self.attrs)
        if isinstance(atom, Lookup) and atom.relation in self.relations:
            yield f"facts {atom.relation.rpartition('.')[2]}"


class Settled(Struct, frozen=True):
    """`hangs_on` names what the outcome hangs on, `asks_hang_on` what the obligations and the advice hang on besides,
    sorted. `by` are the denies that decide for certain, () elsewhere.
    """

    hangs_on: tuple[str, ...] = ()
    asks_hang_on: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


def settled(program: Program, call: Call, verdict: Verdict, missing: Missing) -> Settled:
    """Whether a verdict of the definition stands."""
    refusal = verdict.observed
    outcome, by, reason = (
        (verdict.outcome, verdict.by[0], verdict.reason)
        if refusal is None
        else (refusal.outcome, refusal.by[0], refusal.reason)
    )
    look = _Look(program, call, missing)
    if by in {"audience", "exclusive", "scope"}:
        return Settled(tuple(sorted(attr_name(attr) for attr in missing.attrs & look.baseline(by))))
    if outcome == "deny" and reason == "rule":
        return look.denied()
    if by == "default":
        return Settled(look.names(look.open(each) for each in call.cell.allow))
    return Settled(look.names(look.required()), look.names(look.advised()))


class _Look(Struct, frozen=True):
    """A look at the rules of one call."""

    program: Program
    call: Call
    missing: Missing

    def names(self, found: Iterable[frozenset[str]]) -> tuple[str, ...]:
        return tuple(sorted(frozenset[str]().union(*found)))

    def baseline(self, word: str) -> frozenset[Attr]:
        """The claim that step 3, 4 or 6 reads."""
        if word != "exclusive":
            return frozenset({Attr("token", "aud" if word == "audience" else "scope")})
        kind = self.call.kind
        claim = None if kind is None else kind.role_claim
        return frozenset() if claim is None else frozenset({Attr(root_of(kind), claim)})

    def denied(self) -> Settled:
        """Step 5: one deny that applies whatever is missing is enough; others may have more done."""
        speaking = [(each, self.open(each)) for each in self.call.cell.deny if self.worth(each) is not FALSE]
        certain = tuple(self.program.rules[each.rule].id for each, hangs_on in speaking if not hangs_on)
        if not certain:
            return Settled(self.names(hangs_on for _, hangs_on in speaking))
        asking = (hangs_on for each, hangs_on in speaking if self._body(each).must or self._body(each).should)
        return Settled(asks_hang_on=self.names(asking), by=certain)

    def required(self) -> Iterator[frozenset[str]]:
        """Steps 8 to 10: what must be done, and what the caller lacks."""
        for each in self.call.cell.require:
            yield self.open(each)
            if self.worth(each) is not FALSE:
                body = self._body(each)
                yield from (self._hanging(need.guard) for need in body.needs)
                yield self._said(body.must)

    def advised(self) -> Iterator[frozenset[str]]:
        """What is told beside it."""
        for each in (*self.call.cell.allow, *self.call.cell.require):
            should = self._body(each).should
            if should and self.worth(each) is not FALSE:
                yield self.open(each) | self._said(should)

    def worth(self, rule: CellRule) -> Truth3:
        """What the guards of a rule are worth together."""
        return conjunction(self._worth(clause.guard)[clause.guard] for clause in self._body(rule).clauses)

    def open(self, rule: CellRule) -> frozenset[str]:
        """What keeps a rule from being known to apply or not; nothing of one that is settled."""
        if self.worth(rule) is not UNKNOWN:
            return frozenset()
        return frozenset[str]().union(*(self._hanging(clause.guard) for clause in self._body(rule).clauses))

    def _hanging(self, guard: int) -> frozenset[str]:
        worth = self._worth(guard)
        if worth[guard] is not UNKNOWN:
            return frozenset()
        return frozenset(name for index in worth for name in self._names_of(index) if worth[index] is UNKNOWN)

    def _names_of(self, index: int) -> Iterator[str]:
        node = self.program.guards[index]
        if isinstance(node, Lit):
            yield from self.missing.of_atom(self.program.atoms[node.atom])

    def _said(self, obligations: Iterable[Obligation]) -> frozenset[str]:
        """The missing inputs that obligations say: the value of a header, the scopes of a token."""
        attrs: set[Attr] = set()
        for each in obligations:
            match each:
                case SetHeader(_, value):
                    attrs.update(attrs_of(value))
                case IssueToken():
                    attrs.add(Attr("token", "scope"))
                case _:
                    pass
        return frozenset(attr_name(attr) for attr in attrs & self.missing.attrs)

    def _body(self, rule: CellRule) -> Body:
        return self.program.bodies[rule.body]

    def _worth(self, guard: int) -> dict[int, Truth3]:
        return truths(self.program, guard, self.call.environment)

"""What a test gives, and what a call of it changes: the caller, where the call comes from, signals, facts, the instant.

`given` clauses go in, a `Fixture` comes out; `set_claim`, `set_request` and `set_signal` change one input of it, for
`given` and for `with` alike. Mistakes are appended to `found`, and the case has no use.
Source: language.md 5.7, points B, C, F, K.

Decision (2026-11-21): `given now` counts for a whole test wherever it stands among the givens. A claim that is required
may be left out or unset: that is how a test asks for a refusal by `schema`. `unset` takes a peer or a gateway away,
`unknown` an address, `tls` or a signal: of each the word that says what a call can lack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from policy_lang import ir, tree
from policy_lang.declared.entries import Inventory, KindEntry, ModuleEntry, RelationEntry, SignalEntry
from policy_lang.declared.fields import is_canonical_host
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.mistakes.cases import CannotSet, GivenTwice
from policy_lang.mistakes.names import BadHost, UnknownAttribute, UnknownName
from policy_lang.mistakes.types import ArgumentCount
from policy_lang.trials.cases import DEFAULT_IP, DEFAULT_NOW_MS
from policy_lang.trials.values import Values, placed
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Caller, Facts, Json, Origin, Row

_REQUEST = ("ip", "peer", "gateway", "host", "tls")


class Fixture(Struct):
    """The inputs of a call but the call itself. `claims` by the name of the claim, not yet where its declaration says.

    `host` None is the first host of the service called.
    """

    kind: KindEntry | None
    claims: dict[str, Json]
    origin: Origin
    host: str | None
    signals: dict[str, ir.Value]
    facts: Facts
    now_ms: int

    def copy(self) -> Fixture:
        """One that a call may change."""
        return replace(self, claims=dict(self.claims), signals=dict(self.signals))


def instant_of(givens: Iterable[tree.Given], found: list[Diagnostic]) -> int:
    """The instant of a test."""
    now_ms: int | None = None
    for given in givens:
        if isinstance(given, tree.GivenNow):
            if now_ms is not None:
                found.append(GivenTwice(span=given.span, what="`now`"))
            now_ms = given.at.milliseconds
    return DEFAULT_NOW_MS if now_ms is None else now_ms


class Givens:
    """Reads what one test gives."""

    def __init__(self, entry: ModuleEntry, inventory: Inventory, values: Values, found: list[Diagnostic]) -> None:
        self._entry = entry
        self._inventory = inventory
        self._values = values
        self._found = found

    def fixture(self, givens: Iterable[tree.Given], now_ms: int) -> Fixture:
        """What all calls of a test have in common; what it does not give is absent or unknown."""
        fixture = Fixture(None, {}, Origin(ip=DEFAULT_IP), None, {}, {}, now_ms)
        rows: dict[str, set[Row]] = {relation.id: set() for relation in self._inventory.relations}
        once: set[str] = set()
        for given in givens:
            match given:
                case tree.GivenNow():
                    pass
                case tree.GivenToken() | tree.GivenSubject() | tree.GivenAnonymous():
                    self._first("the caller", given, once)
                    self._caller(fixture, given, once)
                case tree.GivenRequest(attributes=attributes):
                    for name, expr in attributes:
                        self._first(f"`request.{name.text}`", name, once)
                        self.set_request(fixture, name, expr)
                case tree.GivenSignal(name=name, value=value):
                    self._first(f"`signal.{name.text}`", name, once)
                    self.set_signal(fixture, name, value)
                case tree.GivenFact():
                    self._fact(given, rows)
                case _:
                    assert_never(given)
        fixture.facts = {relation: frozenset(held) for relation, held in rows.items()}
        return fixture

    def caller(self, fixture: Fixture, node: tree.Node) -> Caller:
        """Who calls, with the claims where their declarations say; `node` is where a clash of two is shown."""
        if fixture.kind is None:
            return Caller(None)
        kind = fixture.kind.kind
        claims = placed(fixture.claims, {field.name: field.source for field in kind.claims})
        if isinstance(claims, str):
            name = f"{kind.form}.{claims}"
            self._found.append(CannotSet(span=node.span, name=name, why="another claim stands at its place"))
            claims = {}
        return Caller(kind.id, claims)

    def _first(self, what: str, node: tree.Node, once: set[str]) -> None:
        if what in once:
            self._found.append(GivenTwice(span=node.span, what=what))
        once.add(what)

    # ------------------------------------------------------------ the caller

    def _caller(
        self, fixture: Fixture, given: tree.GivenToken | tree.GivenSubject | tree.GivenAnonymous, once: set[str]
    ) -> None:
        match given:
            case tree.GivenToken(kind=name, claims=claims):
                fixture.kind = self._kind(name, "token")
            case tree.GivenSubject(kind=name, properties=claims):
                fixture.kind = self._kind(name, "subject")
            case tree.GivenAnonymous():
                return
            case _:
                assert_never(given)
        if fixture.kind is not None:
            for claim, expr in claims:
                self._first(f"`{claim.text}`", claim, once)
                self.set_claim(fixture, claim, expr)

    def _kind(self, name: tree.Name, form: str) -> KindEntry | None:
        entry = self._entry.scope.get(name.text)
        if isinstance(entry, KindEntry) and entry.kind.form == form:
            return entry
        if entry is not None or name.text not in self._entry.broken:
            known = [k for k, e in self._entry.scope.items() if isinstance(e, KindEntry) and e.kind.form == form]
            hint = hint_for(name.text, known, self._found)
            self._found.append(UnknownName(span=name.span, what=f"{form} kind", name=name.text, hint=hint))
        return None

    def set_claim(self, fixture: Fixture, name: tree.Name, expr: tree.Expr) -> None:
        """Give the caller, who is somebody, a claim or a property; take it away where `expr` is `unset`."""
        kind = fixture.kind
        if kind is None:
            return
        form = kind.kind.form
        slot = kind.slots.get(name.text)
        if slot is None:
            if (form, name.text) not in self._inventory.broken:
                why = f"{form} kind `{kind.kind.id}` has no such {'claim' if form == 'token' else 'property'}"
                hint = hint_for(name.text, kind.slots, self._found)
                self._found.append(UnknownAttribute(span=name.span, name=f"{form}.{name.text}", why=why, hint=hint))
        elif isinstance(expr, tree.UnsetLit):
            fixture.claims.pop(name.text, None)
        else:
            value = self._values.value(expr, slot.type)
            if value is not None:
                json = self._values.claim_json(value, slot.type, expr, f"{form}.{name.text}")
                fixture.claims[name.text] = json

    # ------------------------------------------------------------ where it comes from, signals

    def set_request(self, fixture: Fixture, name: tree.Name, expr: tree.Expr) -> None:
        """Set one of `ip peer gateway host tls`."""
        unknown, unset = isinstance(expr, tree.UnknownLit), isinstance(expr, tree.UnsetLit)
        origin = fixture.origin
        match name.text:
            case "ip":
                ip = None if unknown else self._values.value(expr, Scalar.IP)
                fixture.origin = replace(origin, ip=ip if isinstance(ip, str) else None)
            case "tls":
                tls = None if unknown else self._values.value(expr, Scalar.BOOL)
                fixture.origin = replace(origin, tls=tls if isinstance(tls, bool) else None)
            case "peer" | "gateway":
                given = None if unset else self._values.value(expr, Scalar.WORKLOAD)
                identity = given if isinstance(given, str) else ""
                is_peer = name.text == "peer"
                fixture.origin = replace(origin, peer=identity) if is_peer else replace(origin, gateway=identity)
            case "host":
                host = None if unset else self._values.value(expr, Scalar.STRING)
                if isinstance(host, str) and not is_canonical_host(host):
                    self._found.append(BadHost(span=expr.span, host=host))
                fixture.host = host if isinstance(host, str) else None
            case "method" | "path":
                self._found.append(CannotSet(span=name.span, name=f"request.{name.text}", why="the call says it"))
            case other:
                hint = hint_for(other, _REQUEST, self._found)
                why = f"a test gives a request {', '.join(_REQUEST)}"
                self._found.append(UnknownAttribute(span=name.span, name=f"request.{other}", why=why, hint=hint))

    def set_signal(self, fixture: Fixture, name: tree.Name, expr: tree.Expr) -> None:
        """Set the reading of a signal; `unknown` where it fails."""
        entry = self._entry.scope.get(name.text)
        if not isinstance(entry, SignalEntry):
            if entry is not None or name.text not in self._entry.broken:
                known = [each for each, what in self._entry.scope.items() if isinstance(what, SignalEntry)]
                hint = hint_for(name.text, known, self._found)
                self._found.append(UnknownName(span=name.span, what="signal", name=name.text, hint=hint))
        elif isinstance(expr, tree.UnknownLit):
            fixture.signals.pop(entry.signal.id, None)
        else:
            value = self._values.value(expr, entry.signal.type)
            if value is not None:
                fixture.signals[entry.signal.id] = value

    # ------------------------------------------------------------ facts

    def _fact(self, given: tree.GivenFact, rows: dict[str, set[Row]]) -> None:
        name = given.relation.text
        entry = self._entry.scope.get(name)
        if not isinstance(entry, RelationEntry):
            if entry is not None or name not in self._entry.broken:
                known = [each for each, what in self._entry.scope.items() if isinstance(what, RelationEntry)]
                hint = hint_for(name, known, self._found)
                self._found.append(UnknownName(span=given.relation.span, what="relation", name=name, hint=hint))
            return
        row = self._row(given, entry)
        if row is not None:
            rows[entry.relation.id].add(row)

    def _row(self, given: tree.GivenFact, entry: RelationEntry) -> Row | None:
        columns = entry.relation.columns
        if len(given.values) != len(columns):
            name, number = given.relation.text, len(given.values)
            self._found.append(ArgumentCount(span=given.span, name=name, wanted=len(columns), found=number))
            return None
        row: list[ir.ScalarValue] = []
        for expr, (_, type_) in zip(given.values, columns, strict=True):
            value = self._values.value(expr, type_, entry.role_ids)
            if value is not None and not isinstance(value, frozenset):
                row.append(value)
        return tuple(row) if len(row) == len(columns) else None

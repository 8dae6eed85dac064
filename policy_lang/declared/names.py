"""Which declaration each name means: bindings in side tables by node id, one set of tables a module.

The inventory goes in; `Names` comes out for each module, and a mistake for every name that means nothing. A node
without an entry has been reported, so later phases pass over it in silence. What a condition's body means is said in
the tables of the module that declares it.
INVARIANT: no bound call leads back into the condition it stands in: calls into a circle are not bound.
Source: language.md 4.3, 4.4.

Decision: 2026-11-21. Attributes (`token.x`, `path.y`, `endpoint.tag`) need no import: they are the bundle's, and a
guard rail speaks of callers and services it has never heard of. Signals are names: `signal.risk` is `risk` of the
module.
Decision: 2026-11-21. A factor is known where a kind of the module's scope declares it. Which kinds have it is worked
out where each rule is checked.
Decision: 2026-11-21. A condition without parameters may be named without parentheses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeVar, assert_never

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.declared.cycles import in_order, shown
from policy_lang.declared.entries import (
    ConditionEntry,
    EnumValue,
    Fixed,
    Input,
    Inventory,
    KindEntry,
    ModuleEntry,
    Names,
    NetworkEntry,
    Parameter,
    RelationEntry,
    RoleEntry,
    SettingEntry,
    SignalEntry,
    TagRead,
    WorkloadEntry,
)
from policy_lang.declared.foreign_names import (
    NULLS,
    absence_hints,
    attribute_hint,
    call_hint,
    declaration_hint,
    name_hint,
    presence,
    written,
)
from policy_lang.declared.roots import ATTRS, MAY_BE_MISSING, TAGS, WHY, known_inputs
from policy_lang.declared.scopes import NOT_HERE, ROOTS, entry_word
from policy_lang.declared.targets import Targets
from policy_lang.declared.walking import mentions, walk
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.mistakes.names import BadSignal, DeclarationCycle, ShadowedName, UnknownAttribute, UnknownName
from policy_lang.mistakes.types import ArgumentCount, WrongType
from policy_lang.typesystem import Scalar

Wanted = TypeVar("Wanted")
Callee = ConditionEntry | RelationEntry
Key = tuple[str, str]
"""Module and name of a condition."""


def bind_names(inventory: Inventory, found: list[Diagnostic]) -> Mapping[str, Names]:
    """The bindings of every module by its name; mistakes are appended to `found`."""
    known = known_inputs(inventory)
    targets = Targets(inventory, found)
    binders = {entry.name: _Binder(entry, inventory, known, targets, found) for entry in inventory.modules}
    for binder in binders.values():
        binder.bind()
    _unbind_cycles(binders, found)
    return {name: binder.names() for name, binder in binders.items()}


_IN_EXPRESSIONS = (
    *(ConditionEntry, EnumValue, NetworkEntry, RelationEntry, RoleEntry),
    *(SettingEntry, WorkloadEntry),
)
"""What a name may stand for inside an expression; a parameter of such a name would be read as two things."""


class _Made(Struct, frozen=True):
    """A call of one condition by another."""

    node: tree.NodeId
    caller: Key
    callee: Key


class _Binder:
    """The tables of one module while they fill."""

    def __init__(
        self,
        entry: ModuleEntry,
        inventory: Inventory,
        known: Mapping[str, frozenset[str]],
        targets: Targets,
        found: list[Diagnostic],
    ) -> None:
        self._entry = entry
        self._inventory = inventory
        self._known = known
        self._targets = targets
        self._found = found
        self._inputs: dict[tree.NodeId, Input] = {}
        self._calls: dict[tree.NodeId, Callee] = {}
        self._kinds: dict[tree.NodeId, str] = {}
        self._roles: dict[tree.NodeId, RoleEntry] = {}
        self._workloads: dict[tree.NodeId, WorkloadEntry] = {}
        self._on: dict[tree.NodeId, tuple[int, ...]] = {}
        self._used = set(entry.mentioned)
        self._factors: dict[str, list[str]] = {}
        for name, each in entry.scope.items():
            for factor in each.factors if isinstance(each, KindEntry) else ():
                self._factors.setdefault(factor, []).append(name)
        self._absences: dict[tree.NodeId, str] = {}
        self.made: list[_Made] = []

    def bind(self) -> None:
        """Bind every name of the module."""
        for own, entry in self._entry.own.items():
            match entry:
                case KindEntry(factors=factors):
                    for factor in factors.values():
                        self._expression(factor.at, {})
                        if factor.when is not None:
                            self._expression(factor.when, {})
                case SignalEntry(decl=signal):
                    self._keys(signal)
                case ConditionEntry(decl=condition, parameters=parameters):
                    self._condition(own, condition, dict(parameters))
                case _:
                    pass
        for decl in self._entry.module.declarations:
            match decl:
                case tree.Rule(name=name) if self._entry.rules.get(name.text) is decl:
                    self._clauses(name, decl.clauses, grants=decl.effect == "allow")
                case tree.CasbinDecl(name=name) if self._entry.blocks.get(name.text) is decl:
                    self._block(decl)
                case tree.ProveDecl(title=title, clauses=clauses):
                    self._clauses(title, clauses, grants=False)
                case tree.TestDecl():
                    for mentioned in mentions(decl):
                        self._mention(mentioned)
                case _:
                    pass

    def names(self) -> Names:
        """What was bound."""
        return Names(
            inputs=self._inputs,
            calls=self._calls,
            kinds=self._kinds,
            roles=self._roles,
            workloads=self._workloads,
            targets=self._on,
            used=frozenset(self._used),
        )

    def unbind(self, call: tree.NodeId) -> None:
        """Forget a call."""
        self._calls.pop(call, None)

    def conditions(self) -> Iterator[tree.ConditionDecl]:
        """The conditions of the module, as declared."""
        return (entry.decl for entry in self._entry.own.values() if isinstance(entry, ConditionEntry))

    def _mention(self, name: str) -> None:
        entry = self._entry.scope.get(name)
        if entry is not None:
            self._used.add(name)
        if isinstance(entry, EnumValue):
            self._used.add(str(entry.type))

    # ------------------------------------------------------------ declarations

    def _keys(self, decl: tree.SignalDecl) -> None:
        for key in decl.keys:
            root = key.root.text
            if root in ATTRS and key.parts:
                self._ref(key, {})
            elif root != "endpoint" or key.parts:
                why = f"`{written(key)}` is no key; one is an input, or `endpoint`"
                self._found.append(BadSignal(span=key.span, name=decl.name.text, why=why))

    def _condition(self, name: str, decl: tree.ConditionDecl, parameters: Mapping[str, object]) -> None:
        for parameter in decl.parameters:
            if isinstance(self._entry.scope.get(parameter.name.text), _IN_EXPRESSIONS):
                meaning = "this module declares or imports it"
                shadowed = ShadowedName(span=parameter.name.span, name=parameter.name.text, meaning=meaning)
                self._found.append(shadowed)
        self._expression(decl.body, parameters)
        for node in walk(decl.body):
            if not isinstance(node, tree.Call | tree.Ref):
                continue
            callee = self._calls.get(node.id)
            if isinstance(callee, ConditionEntry):
                key = (callee.module, callee.decl.name.text)
                self.made.append(_Made(node.id, (self._entry.name, name), key))

    # ------------------------------------------------------------ clauses

    def _clauses(self, of: tree.Name | tree.Text, clauses: Iterable[tree.Clause], *, grants: bool) -> None:
        for clause in clauses:
            match clause:
                case tree.ForClause(subjects=subjects, via=via):
                    for subject in subjects:
                        self._subject(subject)
                    self._callers(via)
                case tree.OnClause():
                    for name in self._targets.names_of(clause):
                        self._mention(name)
                    self._on[clause.id] = self._targets.resolve(self._entry, clause, of, grants=grants)
                case tree.WhenClause(condition=condition):
                    self._expression(condition, {})
                case tree.NeedsClause(need=need):
                    if isinstance(need, tree.FactorNeed):
                        self._factor(need.name, need.within)
                    else:
                        self._expression(need.condition, {})
                case tree.MustClause(obligation=obligation) | tree.ShouldClause(obligation=obligation):
                    if isinstance(obligation, tree.SetHeader):
                        self._expression(obligation.value, {})
                case tree.UntilClause() | tree.BecauseClause():
                    pass
                case _:
                    assert_never(clause)

    def _block(self, decl: tree.CasbinDecl) -> None:
        """Bind what a `casbin` block reads, and where it votes: who grants nothing else may not grant by it either."""
        for item in decl.items:
            match item:
                case tree.OnClause():
                    self._clauses(decl.name, (item,), grants=True)
                case tree.CasbinBind(bindings=bindings):
                    for binding in bindings:
                        self._ref(binding.value, {})
                case _:
                    pass

    def _subject(self, subject: tree.Subject) -> None:
        match subject:
            case tree.Anyone():
                pass
            case tree.AnyOfKind(kind=name):
                kind = self._wanted(name, KindEntry, "kind")
                if kind is not None:
                    self._kinds[subject.id] = kind.kind.id
            case tree.OfRole(roles=names):
                for name in names:
                    self._role(name)
            case tree.OfWorkload(workloads=names):
                self._callers(names)
            case _:
                assert_never(subject)

    def _callers(self, names: Iterable[tree.Name]) -> None:
        for name in names:
            workload = self._wanted(name, WorkloadEntry, "workload")
            if workload is not None:
                self._workloads[name.id] = workload

    def _role(self, name: tree.Name) -> None:
        role = self._wanted(name, RoleEntry, "role")
        if role is not None:
            self._roles[name.id] = role

    def _factor(self, name: tree.Name, within: tree.DurationLit | tree.Name | None) -> None:
        if isinstance(within, tree.Name):
            self._within(within)
        kinds = self._factors.get(name.text, ())
        self._used.update(kinds)
        missed = not self._entry.broken.isdisjoint(self._entry.imported)
        if kinds or name.text in self._known["factor"] or missed:
            return
        hint = hint_for(name.text, self._factors, self._found)
        where = "no kind declares it that this module declares or imports"
        self._found.append(UnknownName(span=name.span, what="factor", name=name.text, where=where, hint=hint))

    def _within(self, name: tree.Name) -> None:
        """Bind the setting that says how long ago a factor may have been proved."""
        self._mention(name.text)
        match self._entry.scope.get(name.text):
            case SettingEntry(type=Scalar.DURATION, value=int() as ms):
                self._inputs[name.id] = Fixed(ms, Scalar.DURATION)
            case SettingEntry(decl=decl):
                found = f"a setting of type `{decl.type}`"
                self._found.append(WrongType(span=name.span, wanted="a duration", found=found))
            case _:
                scope = self._entry.scope.items()
                known = (n for n, each in scope if isinstance(each, SettingEntry) and each.type == Scalar.DURATION)
                self._unknown(name, "setting", known)

    def _wanted(self, name: tree.Name, kind: type[Wanted], what: str) -> Wanted | None:
        self._mention(name.text)
        entry = self._entry.scope.get(name.text)
        if isinstance(entry, kind):
            return entry
        self._unknown(name, what, (n for n, each in self._entry.scope.items() if isinstance(each, kind)))
        return None

    def _foreign(self, ref: tree.Ref) -> str:
        return attribute_hint((ref.root.text, *(part.text for part in ref.parts)), self._known)

    def _unknown(self, name: tree.Name, what: str, known: Iterable[str], foreign: str = "") -> None:
        """Report a name that does not mean what is wanted, unless it was; `foreign` is the hint of one nobody knows."""
        if name.text in self._entry.broken:
            return
        entry = self._entry.scope.get(name.text)
        where = NOT_HERE if entry is None else f"this is {entry_word(entry)}"
        if name.text in self._entry.rules:
            where = "this is a rule"
        elif name.text in self._entry.blocks:
            where = "this is a `casbin` block"
        hint = (foreign if entry is None else "") or hint_for(
            name.text, (each for each in known if each != name.text), self._found
        )
        self._found.append(UnknownName(span=name.span, what=what, name=name.text, where=where, hint=hint))

    # ------------------------------------------------------------ expressions

    def _expression(self, root: tree.Expr, parameters: Mapping[str, object]) -> None:
        for node in walk(root):
            match node:
                case tree.StringLit() | tree.IntLit():
                    pass
                case tree.Ref():
                    self._ref(node, parameters)
                case tree.Compare():
                    self._absences.update(absence_hints(node))
                case tree.Call(name=name):
                    self._call(node)
                case tree.HasFactor(name=name, within=within):
                    self._factor(name, within)
                case tree.HasRole(name=name):
                    self._role(name)
                case tree.Has():
                    self._has(node)
                case tree.IsKind():
                    self._is(node)
                case _:
                    pass

    def _is(self, node: tree.IsKind) -> None:
        form = node.of.root.text if isinstance(node.of, tree.Ref) and not node.of.parts else ""
        if form not in {"token", "subject"}:
            hint = presence(node.of, there=False) if node.kind.text in NULLS else "`==` compares, `in` asks of a set"
            self._attribute(node.of, written(node.of) or "is", "`is` asks of `token` or `subject`", hint)
            return
        kind = self._wanted(node.kind, KindEntry, f"{form} kind")
        if kind is not None and kind.kind.form == form:
            self._kinds[node.id] = kind.kind.id
        elif kind is not None:
            where = f"this is a {kind.kind.form} kind: `{kind.kind.form} is {kind.kind.id}`"
            name = node.kind
            self._found.append(UnknownName(span=name.span, what=f"{form} kind", name=name.text, where=where))

    def _has(self, node: tree.Has) -> None:
        of = node.of
        if isinstance(of, tree.Ref) and not of.parts and of.root.text in MAY_BE_MISSING:
            self._attr(node, of.root.text, node.attribute.text)
        else:
            listed = ", ".join(f"`{root}`" for root in MAY_BE_MISSING[:-1])
            name = ".".join(filter(None, (written(of), node.attribute.text)))
            self._attribute(of, name, f"`has` asks of {listed} or `{MAY_BE_MISSING[-1]}`")

    def _ref(self, ref: tree.Ref, parameters: Mapping[str, object]) -> None:
        root, parts = ref.root.text, ref.parts
        if not parts and root in parameters:
            self._inputs[ref.id] = Parameter(root)
        elif not parts and root == "now":
            self._inputs[ref.id] = ir.Now()
        elif root not in ROOTS:
            self._named(ref, parameters)
        elif root == "now" or len(parts) != 1:
            why = "`now` is an instant" if root == "now" else f"name one attribute of `{root}`"
            self._attribute(ref, written(ref), why, self._foreign(ref))
        elif root == "signal":
            self._signal(ref, parts[0])
        else:
            self._attr(ref, root, parts[0].text)

    def _attr(self, node: tree.Ref | tree.Has, root: str, name: str) -> None:
        if name not in self._known[root]:
            foreign = self._foreign(node) if isinstance(node, tree.Ref) and root == "request" else ""
            hint = foreign or hint_for(name, self._known[root], self._found) or declaration_hint(root, name)
            self._attribute(node, f"{root}.{name}", WHY[root], hint)
        elif (root, name) in self._inventory.broken:
            pass
        elif root in TAGS:
            self._inputs[node.id] = TagRead(root, name)
        else:
            self._inputs[node.id] = ir.Attr(ATTRS[root], name)

    def _signal(self, ref: tree.Ref, name: tree.Name) -> None:
        self._mention(name.text)
        entry = self._entry.scope.get(name.text)
        if isinstance(entry, SignalEntry):
            self._inputs[ref.id] = ir.Attr("signal", entry.signal.id)
        elif name.text not in self._entry.broken:
            known = (each for each, entry in self._entry.scope.items() if isinstance(entry, SignalEntry))
            self._attribute(ref, written(ref), WHY["signal"], hint_for(name.text, known, self._found))

    def _attribute(self, node: tree.Node, name: str, why: str, hint: str = "") -> None:
        self._found.append(UnknownAttribute(span=node.span, name=name, why=why, hint=hint))

    def _named(self, ref: tree.Ref, parameters: Mapping[str, object]) -> None:
        """Bind a name of the module."""
        name = ref.root.text
        if ref.parts:
            self._attribute(ref, written(ref), f"`{name}` has no attributes", self._foreign(ref))
            return
        self._mention(name)
        match self._entry.scope.get(name):
            case EnumValue(type=type_, value=value):
                self._inputs[ref.id] = Fixed(value, type_)
            case SettingEntry(value=tuple() as ranges, decl=decl):
                self._inputs[ref.id] = NetworkEntry(name, ranges, decl.name)
            case SettingEntry(type=type_, value=value) if type_ is not None and not isinstance(value, tuple):
                self._inputs[ref.id] = Fixed(value, type_)
            case WorkloadEntry(workload=workload):
                self._inputs[ref.id] = Fixed(workload.identity, Scalar.WORKLOAD)
            case NetworkEntry() | RoleEntry() as entry:
                self._inputs[ref.id] = entry
            case ConditionEntry() as condition:
                self._apply(ref, condition, 0)
            case _:
                foreign = self._absences.get(ref.id) or name_hint(name)
                self._unknown(ref.root, "name", chain(parameters, self._entry.scope, ROOTS), foreign)

    def _call(self, call: tree.Call) -> None:
        self._mention(call.name.text)
        match self._entry.scope.get(call.name.text):
            case ConditionEntry() | RelationEntry() as callee:
                self._apply(call, callee, len(call.arguments))
            case _:
                known = (name for name, each in self._entry.scope.items() if isinstance(each, Callee))
                self._unknown(call.name, "condition or relation", known, call_hint(call))

    def _apply(self, node: tree.Ref | tree.Call, callee: Callee, given: int) -> None:
        """Bind a condition or relation to what it is applied to."""
        wanted = len(callee.parameters if isinstance(callee, ConditionEntry) else callee.relation.columns)
        if wanted == given:
            self._calls[node.id] = callee
            return
        name = callee.decl.name
        others = (Label(name.span, "declared here"),)
        self._found.append(ArgumentCount(span=node.span, name=name.text, wanted=wanted, found=given, others=others))


def _unbind_cycles(binders: Mapping[str, _Binder], found: list[Diagnostic]) -> None:
    """Report conditions that go round, and unbind what leads into a circle."""
    declared = {(m, decl.name.text): decl.name for m, binder in binders.items() for decl in binder.conditions()}
    graph: dict[Key, list[Key]] = {key: [] for key in declared}
    for binder in binders.values():
        for made in binder.made:
            graph[made.caller].append(made.callee)
    cycles = in_order(graph).cycles
    for cycle in cycles:
        name = declared[cycle.way[0]]
        home = {module for module, _ in cycle.way}
        names = [plain if len(home) == 1 else f"{module}.{plain}" for module, plain in cycle.way]
        found.append(DeclarationCycle(span=name.span, what="condition", name=name.text, way=shown(names)))
    round_about = frozenset[Key]().union(*(cycle.members for cycle in cycles))
    for binder in binders.values():
        for made in binder.made:
            if made.callee in round_about:
                binder.unbind(made.node)

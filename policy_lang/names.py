"""Which declaration each name means: bindings in side tables by node id, one set of tables a module.

The inventory goes in; `Names` comes out for each module, and a mistake for every name that means nothing. A node
without an entry has been reported, so later phases pass over it in silence.
INVARIANT: no bound call leads back into the condition it stands in: calls into a cycle are not bound.
Source: language.md 4.3, 4.4.

Decision: 2026-11-21. An allow may reach endpoints of other modules only by `on any endpoint`, and may not (E506), as
long as a service cannot say who else grants on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import assert_never

from policy_lang import ir, tree
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.inventory import ConditionEntry, Inventory, ModuleEntry
from policy_lang.mistakes.names import ConditionCycle, UnknownAttribute, UnknownName
from policy_lang.mistakes.types import ArgumentCount
from policy_lang.targets import Targets


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the condition in whose body it stands."""

    name: str


Input = ir.Attr | ir.Now | Parameter
Callee = ConditionEntry | ir.Relation

REQUEST_ATTRIBUTES = ("method", "path", "host")
"""What a rule may ask of the request, each a string."""

OPTIONAL_ROOTS: Mapping[str, ir.Root] = {"token": "token", "path": "path", "query": "query"}


@dataclass(frozen=True, slots=True)
class Names:
    """The bindings of one module. `inputs` of references and of `has`, `kinds` of `is`, `targets` of `on` clauses."""

    inputs: Mapping[tree.NodeId, Input]
    calls: Mapping[tree.NodeId, Callee]
    kinds: Mapping[tree.NodeId, str]
    targets: Mapping[tree.NodeId, tuple[int, ...]]
    used: frozenset[str]
    """Names of the module's labels, conditions and relations that some rule, factor or condition mentions."""


def bind_names(inventory: Inventory, found: list[Diagnostic]) -> Mapping[str, Names]:
    """The bindings of every module by its name; mistakes are appended to `found`."""
    known = _known_inputs(inventory)
    targets = Targets(inventory, found)
    factors = frozenset(name for kind in inventory.kinds for name in kind.factors)
    return {entry.name: _Binder(entry, inventory, known, factors, targets, found).bind() for entry in inventory.modules}


def _known_inputs(inventory: Inventory) -> Mapping[str, frozenset[str]]:
    broken: dict[str, set[str]] = {root: set() for root in OPTIONAL_ROOTS}
    for root, name in inventory.broken:
        broken[root].add(name)
    return {
        "token": frozenset(broken["token"].union(*(kind.slots for kind in inventory.kinds), ("aud", "scope"))),
        "path": frozenset(broken["path"].union(*(entry.path for entry in inventory.endpoints))),
        "query": frozenset(broken["query"].union(*(entry.query for entry in inventory.endpoints))),
        "request": frozenset(REQUEST_ATTRIBUTES),
    }


class _Binder:
    """The tables of one module while they fill."""

    def __init__(
        self,
        entry: ModuleEntry,
        inventory: Inventory,
        known: Mapping[str, frozenset[str]],
        factors: frozenset[str],
        targets: Targets,
        found: list[Diagnostic],
    ) -> None:
        self._entry = entry
        self._inventory = inventory
        self._known = known
        self._factors = factors
        self._targets = targets
        self._found = found
        self._inputs: dict[tree.NodeId, Input] = {}
        self._calls: dict[tree.NodeId, Callee] = {}
        self._kinds: dict[tree.NodeId, str] = {}
        self._on: dict[tree.NodeId, tuple[int, ...]] = {}
        self._used: set[str] = set()

    def bind(self) -> Names:
        for kind in self._entry.kinds.values():
            for factor in kind.factors.values():
                self._expression(factor.at, {})
                if factor.when is not None:
                    self._expression(factor.when, {})
        calls: dict[str, list[tree.Call]] = {}
        for name, condition in self._entry.conditions.items():
            self._expression(condition.decl.body, dict(condition.parameters))
            calls[name] = self._condition_calls(condition.decl.body)
        self._unbind_cycles(calls)
        for rule in self._entry.rules.values():
            for clause in rule.clauses:
                self._clause(rule, clause)
        return Names(self._inputs, self._calls, self._kinds, self._on, frozenset(self._used))

    # ------------------------------------------------------------ conditions

    def _condition_calls(self, body: tree.Expr) -> list[tree.Call]:
        return [
            node
            for node in walk(body)
            if isinstance(node, tree.Call) and isinstance(self._calls.get(node.id), ConditionEntry)
        ]

    def _unbind_cycles(self, calls: Mapping[str, list[tree.Call]]) -> None:
        # Tuples, not sets: which cycle is found first must not depend on the seed of a hash.
        graph = {name: tuple(dict.fromkeys(call.name.text for call in made)) for name, made in calls.items()}
        while True:
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as error:
                way: list[str] = list(reversed(error.args[1]))
            else:
                return
            first = self._entry.conditions[way[0]].decl.name
            shown = " -> ".join(f"`{name}`" for name in way)
            self._found.append(ConditionCycle(span=first.span, name=first.text, way=shown))
            for name, made in calls.items():
                for call in made:
                    if call.name.text in way:
                        self._calls.pop(call.id, None)
                graph[name] = tuple(each for each in graph[name] if each not in way)

    # ------------------------------------------------------------ clauses

    def _clause(self, rule: tree.Rule, clause: tree.Clause) -> None:
        match clause:
            case tree.ForClause(subjects=subjects):
                for subject in subjects:
                    if isinstance(subject, tree.AnyOfKind):
                        self._kind(subject, subject.kind)
            case tree.OnClause():
                self._used.update(self._targets.labels_of(clause))
                self._on[clause.id] = self._targets.resolve(self._entry, rule, clause)
            case tree.WhenClause(condition=condition):
                self._expression(condition, {})
            case tree.NeedsClause(need=tree.ConditionNeed(condition=condition)):
                self._expression(condition, {})
            case tree.NeedsClause(need=tree.FactorNeed(name=name)):
                self._factor(name)
            case tree.NeedsClause() | tree.MustClause() | tree.BecauseClause():
                pass
            case _:
                assert_never(clause)

    def _kind(self, node: tree.Node, name: tree.Name) -> None:
        if name.text in self._entry.kinds:
            self._kinds[node.id] = name.text
        elif name.text not in self._entry.broken:
            self._unknown(name, "token kind", self._entry.kinds)

    def _factor(self, name: tree.Name) -> None:
        if name.text not in self._factors:
            hint = hint_for(name.text, self._factors, self._found)
            where = "no token kind of the policy declares it"  # in whatever module
            self._found.append(UnknownName(span=name.span, what="factor", name=name.text, where=where, hint=hint))

    def _unknown(self, name: tree.Name, what: str, known: Mapping[str, object] | frozenset[str]) -> None:
        hint = hint_for(name.text, known, self._found)
        self._found.append(UnknownName(span=name.span, what=what, name=name.text, hint=hint))

    # ------------------------------------------------------------ expressions

    def _expression(self, root: tree.Expr, parameters: Mapping[str, object]) -> None:
        for node in walk(root):
            match node:
                case tree.Ref():
                    self._ref(node, parameters)
                case tree.Call():
                    self._call(node)
                case tree.HasFactor(name=name):
                    self._factor(name)
                case tree.Has():
                    self._has(node)
                case tree.IsKind(of=of, kind=kind):
                    if isinstance(of, tree.Ref) and of.root.text == "token" and not of.parts:
                        self._kind(node, kind)
                    else:
                        self._attribute(of, "is", "`is` asks of `token` only")
                case _:
                    pass

    def _ref(self, ref: tree.Ref, parameters: Mapping[str, object]) -> None:
        root = ref.root.text
        written = ".".join((root, *(part.text for part in ref.parts)))
        if not ref.parts and root in parameters:
            self._inputs[ref.id] = Parameter(root)
        elif not ref.parts and root == "now":
            self._inputs[ref.id] = ir.Now()
        elif root in self._known:
            if len(ref.parts) != 1:
                self._attribute(ref, written, f"name one attribute of `{root}`")
            else:
                self._attr(ref, ref.parts[0], written)
        elif ref.parts or root in {"subject", "resource", "header", "endpoint", "service", "signal"}:
            self._attribute(ref, written, f"there is no `{root}` in this version of the language")
        elif root not in self._entry.broken:
            self._unknown(ref.root, "name", frozenset((*parameters, *self._known, "now")))

    def _attr(self, node: tree.Ref | tree.Has, name: tree.Name, written: str) -> None:
        root = node.root.text if isinstance(node, tree.Ref) else written.partition(".")[0]
        if name.text not in self._known[root]:
            hint = hint_for(name.text, self._known[root], self._found)
            self._found.append(UnknownAttribute(span=node.span, name=written, why=_WHY[root], hint=hint))
        elif (root, name.text) not in self._inventory.broken and root in OPTIONAL_ROOTS:
            self._inputs[node.id] = ir.Attr(OPTIONAL_ROOTS[root], name.text)
        elif root == "request":
            self._inputs[node.id] = ir.Attr("request", name.text)

    def _has(self, node: tree.Has) -> None:
        of = node.of
        if isinstance(of, tree.Ref) and not of.parts and of.root.text in OPTIONAL_ROOTS:
            self._attr(node, node.attribute, f"{of.root.text}.{node.attribute.text}")
        else:
            self._attribute(of, node.attribute.text, "`has` asks of `token`, `path` or `query`")

    def _attribute(self, node: tree.Node, name: str, why: str) -> None:
        self._found.append(UnknownAttribute(span=node.span, name=name, why=why))

    def _call(self, call: tree.Call) -> None:
        name = call.name.text
        condition = self._entry.conditions.get(name)
        relation = self._entry.relations.get(name)
        callee = condition if condition is not None else None if relation is None else relation.relation
        if callee is None:
            if name not in self._entry.broken:
                known = {**self._entry.conditions, **self._entry.relations}
                self._unknown(call.name, "condition or relation", known)
            return
        self._used.add(name)
        wanted = len(callee.parameters if isinstance(callee, ConditionEntry) else callee.columns)
        if wanted == len(call.arguments):
            self._calls[call.id] = callee
            return
        declared = condition.decl.name if condition is not None else None if relation is None else relation.decl.name
        others = () if declared is None else (Label(declared.span, "declared here"),)
        self._found.append(
            ArgumentCount(span=call.span, name=name, wanted=wanted, found=len(call.arguments), others=others)
        )


_WHY = {
    "token": "no token kind has such a claim",
    "path": "no endpoint has such a capture",
    "query": "no endpoint declares such a parameter",
    "request": "a request has method, path and host",
}


def walk(root: tree.Expr) -> Iterator[tree.Expr]:
    """Every node of an expression in source order, but for what `has` and `is` ask of; any depth."""
    todo: list[tree.Expr] = [root]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(_children(node)))


def _children(node: tree.Expr) -> tuple[tree.Expr, ...]:
    match node:
        case tree.SetLit(members=parts) | tree.Call(arguments=parts):
            return parts
        case tree.Not(operand=operand) | tree.Like(operand=operand) | tree.IsEmpty(operand=operand):
            return (operand,)
        case tree.And(left=left, right=right) | tree.Or(left=left, right=right):
            return (left, right)
        case tree.Compare(left=left, right=right) | tree.SetTest(left=left, right=right):
            return (left, right)
        case tree.Arithmetic(left=left, right=right) | tree.In(item=left, among=right):
            return (left, right)
        case _:
            return ()

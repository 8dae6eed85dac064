"""Roles: who includes whom, which values of a claim give them, and which may not meet in one caller.

Scopes with their kinds taken go in; every role becomes a `RoleEntry` of its scope, and each kind is told where its
roles come from and which pairs exclude each other.
INVARIANT: `above` and `values` of a role are closed: whoever holds a role, by whichever value, holds what it includes.
INVARIANT: of an exclusive pair no role and no value gives both, so the run-time check can look at values alone.
Source: language.md 2.1, 6.5.

Decision: 2026-11-21. A kind has one `roles for` in a bundle: one source, one hierarchy, one place to read.
Decision: 2026-11-21. `exclusive` under `from none` is a mistake: the run-time check reads the role claim, so nothing
would enforce it. So is `from` on a role there.
Decision: 2026-11-21. One value may give several roles, but not two that exclude each other (E231): its holders could
call nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations

from msgspec import Struct
from msgspec.structs import replace

from policy_lang import ir, tree
from policy_lang.declared.cycles import in_order, shown
from policy_lang.declared.entries import KindEntry, RoleEntry
from policy_lang.declared.fields import duplicate
from policy_lang.declared.scopes import NOT_HERE, Scope
from policy_lang.declared.walking import dotted
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.mistakes.names import (
    BadRoleSource,
    BreaksExclusive,
    DeclarationCycle,
    NothingGives,
    RolesTwice,
    TooMuch,
    UnknownName,
)
from policy_lang.mistakes.types import LiteralMisfit
from policy_lang.typesystem import EnumType, Scalar, SetType, Type

MOST_STEPS = 200_000
"""Roles and values that the hierarchy of a kind hands down, at each `includes` all of them: some 600 in a line."""

MOST_PAIRS = 1000
"""Exclusive pairs of a kind: each is looked at on every call."""


class Roles:
    """Takes the roles of every kind; `broken` are claims that were reported, by root and name."""

    def __init__(
        self, scopes: Mapping[str, Scope], broken: AbstractSet[tuple[str, str]], found: list[Diagnostic]
    ) -> None:
        self._scopes = scopes
        self._broken = broken
        self._found = found
        self._first: dict[str, tree.Name] = {}

    def take(self) -> None:
        """Take every `roles for` of the bundle."""
        for scope in self._scopes.values():
            for decl in scope.module.declarations:
                if isinstance(decl, tree.RolesDecl) and not self._take(scope, decl):
                    scope.broken.update(role.name.text for role in decl.roles if scope.first(role.name))

    def _take(self, scope: Scope, decl: tree.RolesDecl) -> bool:
        kind = scope.wanted(decl.kind, KindEntry, "kind")
        if kind is None:
            return False
        id_ = kind.kind.id
        if id_ in self._first:
            others = (Label(self._first[id_].span, "declared here"),)
            self._found.append(RolesTwice(span=decl.kind.span, kind=id_, others=others))
            return False
        self._first[id_] = decl.kind
        source = self._source(kind, decl)
        hierarchy = _Hierarchy(scope, decl, kind, source, self._found)
        entries = hierarchy.entries()
        scope.own.update(entries)
        exclusive = hierarchy.exclusive(entries)
        claim = None if source is None else source.attr.name
        taken = replace(kind.kind, role_claim=claim, exclusive=exclusive)
        owner = self._scopes[kind.module]
        owner.own[kind.decl.text] = replace(kind, kind=taken, role_source=None if source is None else source.attr)
        return True

    def _source(self, kind: KindEntry, decl: tree.RolesDecl) -> _Source | None:
        """The claim that gives roles; None for `from none`, and after a mistake."""
        if _is_none(decl.source):
            return None
        root, parts = decl.source.root.text, decl.source.parts
        form = kind.kind.form
        why = f"`{kind.kind.id}` is a {form} kind"
        if root == form and len(parts) == 1:
            name = parts[0].text
            slot = kind.slots.get(name)
            if slot is None and (form, name) in self._broken:
                return None
            if slot is not None and _gives_roles(slot.type):
                return _Source(ir.Attr(form, name), slot.type)
            why = f"`{kind.kind.id}` has no such {_FIELD[form]}" if slot is None else f"it is of type `{slot.type}`"
        source, id_ = decl.source, kind.kind.id
        self._found.append(BadRoleSource(span=source.span, kind=id_, source=dotted(source), form=form, why=why))
        return None


_FIELD: Mapping[str, str] = {"token": "claim", "subject": "property"}


class _Source(Struct, frozen=True):
    attr: ir.Attr
    type: Type


def _is_none(source: tree.Ref) -> bool:
    """Whether roles are `from none`."""
    return source.root.text == "none" and not source.parts


def _gives_roles(type_: Type) -> bool:
    element = type_.element if isinstance(type_, SetType) else type_
    return element is Scalar.STRING or isinstance(element, EnumType)


class _Hierarchy:
    """The roles of one kind."""

    def __init__(
        self, scope: Scope, decl: tree.RolesDecl, kind: KindEntry, source: _Source | None, found: list[Diagnostic]
    ) -> None:
        self._scope = scope
        self._decl = decl
        self._kind = kind
        self._source = source
        self._found = found
        self._roles = {role.name.text: role for role in decl.roles if scope.first(role.name)}
        self._from_none = _is_none(decl.source)

    def entries(self) -> dict[str, RoleEntry]:
        """The roles by name, without those that need themselves."""
        includes = {name: self._included(role) for name, role in self._roles.items()}
        ordered = in_order(includes)
        for cycle in ordered.cycles:
            first = self._roles[cycle.way[0]].name
            way = shown(cycle.way)
            self._found.append(DeclarationCycle(span=first.span, what="role", name=first.text, way=way))
            self._scope.broken.update(cycle.members)
        above: dict[str, set[str]] = {name: {name} for name in ordered.nodes}
        values = {name: set(self._given_by(self._roles[name])) for name in ordered.nodes}
        steps = 0
        for name in reversed(ordered.nodes):
            for lower in includes[name]:
                steps += len(above[name]) + len(values[name])
                if steps > MOST_STEPS:
                    self._too_deep(self._roles[name].name)
                    return {}
                if lower in above:
                    above[lower] |= above[name]
                    values[lower] |= values[name]
        return {name: self._entry(self._roles[name], above[name], values[name]) for name in ordered.nodes}

    def _entry(self, role: tree.RoleDecl, above: set[str], values: set[str]) -> RoleEntry:
        module, name = self._scope.name, role.name.text
        ids = frozenset(f"{module}.{each}" for each in above)
        return RoleEntry(f"{module}.{name}", name, self._kind.kind.id, ids, frozenset(values), role)

    def _too_deep(self, name: tree.Name) -> None:
        why = f"what each holds, and what gives it, is more than {MOST_STEPS} in all"
        remedy = "make the hierarchy flatter"
        self._found.append(TooMuch(span=name.span, what="roles", why=why, remedy=remedy))
        self._scope.broken.update(self._roles)

    def _included(self, role: tree.RoleDecl) -> list[str]:
        names = (self._own(name) for name in role.includes)
        return [name for name in names if name is not None]

    def _own(self, name: tree.Name) -> str | None:
        """A role of this kind by its name; None with a mistake."""
        self._scope.mention(name.text)
        if name.text in self._roles:
            return name.text
        if not self._scope.is_broken(name.text):
            where = self._scope.instead(name.text)
            if where == "this is a role":
                where = "this is a role of another kind"
            elif where == NOT_HERE:
                where = f"no role of `{self._kind.kind.id}`"
            hint = hint_for(name.text, self._roles, self._found)
            self._found.append(UnknownName(span=name.span, what="role", name=name.text, where=where, hint=hint))
        return None

    def _given_by(self, role: tree.RoleDecl) -> Iterator[str]:
        """The values of the role claim that give a role itself."""
        if self._from_none and role.sources:
            remedy = "take `from` away; facts name a role by its own name"
            kind = self._kind.kind.id
            self._found.append(NothingGives(span=role.sources[0].span, what="`from`", kind=kind, remedy=remedy))
        if self._source is None:
            return
        type_ = self._source.type
        element = type_.element if isinstance(type_, SetType) else type_
        for text in role.sources or (tree.Text(role.name.id, role.name.span, role.name.text),):
            if isinstance(element, EnumType) and text.value not in element.values:
                self._found.append(LiteralMisfit(span=text.span, value=text.value, wanted=f"`{element}`"))
            else:
                yield text.value

    # ------------------------------------------------------------ exclusive

    def exclusive(self, entries: Mapping[str, RoleEntry]) -> tuple[ir.Exclusive, ...]:
        """The pairs that exclude each other, sorted, each once."""
        pairs: dict[tuple[str, str], ir.Exclusive] = {}
        for decl in self._decl.exclusive:
            names = self._named(decl.names)
            if self._from_none:
                remedy = "take it away, or give the roles a claim that they come from"
                kind = self._kind.kind.id
                self._found.append(NothingGives(span=decl.span, what="`exclusive`", kind=kind, remedy=remedy))
                continue
            held = [entries[name.text] for name in names if name.text in entries]
            if len(pairs) + len(held) * (len(held) - 1) // 2 > MOST_PAIRS:
                why = f"every pair is looked at on every call, and there are more than {MOST_PAIRS}"
                remedy = "exclude fewer roles from each other"
                self._found.append(TooMuch(span=decl.span, what="exclusive roles", why=why, remedy=remedy))
                continue
            for one, other in combinations(sorted(held, key=lambda each: each.name), 2):
                pairs[one.name, other.name] = self._pair(decl, one, other)
        return tuple(pairs[key] for key in sorted(pairs))

    def _named(self, names: Sequence[tree.Name]) -> list[tree.Name]:
        first: dict[str, tree.Name] = {}
        for name in names:
            if name.text in first:
                self._found.append(duplicate(name, first[name.text]))
            elif self._own(name) is not None:
                first[name.text] = name
        return list(first.values())

    def _pair(self, decl: tree.ExclusiveDecl, one: RoleEntry, other: RoleEntry) -> ir.Exclusive:
        both = ""
        if roles := one.above & other.above:
            both = f"whoever holds `{min(roles).rpartition('.')[2]}` holds both"
        elif values := one.values & other.values:
            both = f"the value `{min(values)}` gives both"
        if both:
            mistake = BreaksExclusive(span=decl.span, left=one.name, right=other.name, both=both)
            self._found.append(mistake)
        return ir.Exclusive(one.name, one.values, other.name, other.values)

"""Networks: named sets of addresses, with what they nest and what they leave out worked out to ranges.

Scopes with their settings taken go in; each network becomes a `NetworkEntry` of its scope.
INVARIANT: a network is whole or not usable at all: one with a mistake in any part of it holds nothing and is reported,
since a network short of a range would open under `unless` what it closes under `when`.
Source: language.md 2.1, 5.1 (one 128-bit space).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from policy_lang import tree
from policy_lang.addresses import Interval, Intervals, difference, union
from policy_lang.declared.cycles import Cycle, in_order, shown
from policy_lang.declared.entries import NetworkEntry, SettingEntry
from policy_lang.declared.scopes import Scope
from policy_lang.declared.settings import interval_of
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.mistakes.names import DeclarationCycle, EmptyNetwork, TooMuch, UnknownName

MOST_RANGES = 500_000
"""Ranges of all networks together, nested ones counted wherever they are nested: memory, and half a second of work."""

Key = tuple[str, str]
"""Module and name."""


class Networks:
    """Works networks out, each after those it nests."""

    def __init__(self, scopes: Mapping[str, Scope], found: list[Diagnostic]) -> None:
        self._scopes = scopes
        self._found = found
        self._left = MOST_RANGES
        self._decls: dict[Key, tree.NetworkDecl] = {
            (scope.name, name): decl
            for scope in scopes.values()
            for name, (_, decl) in scope.declared.items()
            if isinstance(decl, tree.NetworkDecl)
        }

    def take(self) -> None:
        """Take every network of the bundle."""
        graph = {key: self._nested(key) for key in self._decls}
        ordered = in_order(graph)
        for cycle in ordered.cycles:
            self._refuse(cycle)
        for module, name in ordered.nodes:
            scope, decl = self._scopes[module], self._decls[module, name]
            entry = self._network(scope, decl)
            if entry is None:
                scope.broken.add(name)
            else:
                scope.own[name] = entry

    def _nested(self, key: Key) -> list[Key]:
        scope, decl = self._scopes[key[0]], self._decls[key]
        nested: list[Key] = []
        for item in (*decl.items, *decl.excluded):
            origin = scope.origin(item.text) if isinstance(item, tree.Name) else None
            if origin is not None and isinstance(item, tree.Name) and (origin.name, item.text) in self._decls:
                nested.append((origin.name, item.text))
        return nested

    def _refuse(self, cycle: Cycle[Key]) -> None:
        first = self._decls[cycle.way[0]].name
        way = shown([name for _, name in cycle.way])
        self._found.append(DeclarationCycle(span=first.span, what="network", name=first.text, way=way))
        for module, name in cycle.members:
            self._scopes[module].broken.add(name)
            for other in self._nested((module, name)):
                self._scopes[module].mention(other[1])

    def _network(self, scope: Scope, decl: tree.NetworkDecl) -> NetworkEntry | None:
        if self._left < 0:
            return None
        held = self._union(scope, decl.items)
        excluded = self._union(scope, decl.excluded)
        if self._left < 0:
            why = f"together they hold more than {MOST_RANGES} ranges"
            remedy = "do not nest long networks in one another"
            self._found.append(TooMuch(span=decl.name.span, what="networks", why=why, remedy=remedy))
        if held is None or excluded is None:
            return None
        ranges = _without(held, excluded)
        if not ranges:
            self._found.append(EmptyNetwork(span=decl.name.span, name=decl.name.text))
            return None
        return NetworkEntry(decl.name.text, ranges, decl.name)

    def _union(self, scope: Scope, items: Sequence[tree.NetworkItem]) -> Intervals | None:
        """What some items hold; None where one of them went wrong, or where they are too many."""
        parts: list[Intervals] = []
        whole = True
        for item in items:
            part = self._item(scope, item)
            self._left -= 0 if part is None else len(part)
            if self._left < 0:
                return None
            whole = whole and part is not None
            parts.append(part or ())
        return union(interval for part in parts for interval in part) if whole else None

    def _item(self, scope: Scope, item: tree.NetworkItem) -> Intervals | None:
        if not isinstance(item, tree.Name):
            interval = interval_of(item, self._found)
            return None if interval is None else (interval,)
        scope.mention(item.text)
        entry = scope.find(item.text)
        if isinstance(entry, NetworkEntry):
            return entry.ranges
        if isinstance(entry, SettingEntry) and isinstance(entry.value, tuple):
            return entry.value
        if not scope.is_broken(item.text):
            where = scope.instead(item.text)
            if isinstance(entry, SettingEntry):
                where = f"this is a setting of type {entry.decl.type}"
            hint = hint_for(item.text, scope.names_of(NetworkEntry), self._found)
            self._found.append(UnknownName(span=item.span, what="network", name=item.text, where=where, hint=hint))
        return None


def _without(held: Intervals, excluded: Intervals) -> Intervals:
    """What the first hold and the second do not. A range meets only those that reach into it, since `difference`
    compares all with all; most meet none.
    """
    if not excluded:
        return held
    starts, ends = [first for first, _ in held], [last for _, last in held]
    cut = {index for first, last in excluded for index in range(bisect_left(ends, first), bisect_right(starts, last))}
    starts, ends = [first for first, _ in excluded], [last for _, last in excluded]
    kept: list[Interval] = []
    for index, (first, last) in enumerate(held):
        if index in cut:
            kept += difference(((first, last),), excluded[bisect_left(ends, first) : bisect_right(starts, last)])
        else:
            kept.append((first, last))
    return tuple(kept)

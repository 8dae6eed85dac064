"""Imports: which names of other modules a module sees, and that no module imports itself by way of others.

The scopes of all modules go in, with their declarations; afterwards each knows where its imported names are declared.
Every name is explicit; importing an enum brings its values, importing a kind of principal its factors (names.py).
Source: language.md 2.1, 4.3.

Decision: 2026-11-21. A name is imported from the module that declares it, never from one that imports it: a reader
finds what a name means one step away. Rules are not imported; tests name them by `module.rule`.
Decision: 2026-11-21. A value may be imported beside its enum, and is then brought once.
Decision: 2026-11-21. What enums bring is counted over the bundle (E232): modules times values is no work for a short
text.
"""

from __future__ import annotations

from collections.abc import Mapping

from policy_lang import tree
from policy_lang.declared.cycles import in_order, shown
from policy_lang.declared.fields import duplicate
from policy_lang.declared.scopes import Scope, declared_names
from policy_lang.diagnostics import Diagnostic, Label, hint_for
from policy_lang.mistakes.names import DuplicateName, ImportCycle, MissingExport, TooMuch, UnknownModule

MOST_BROUGHT = 100_000
"""Values that the imported enums of a bundle bring, counted in each module."""


class Imports:
    """Resolves imports. `all_named`: every file of the bundle names its module."""

    def __init__(self, scopes: Mapping[str, Scope], *, all_named: bool, found: list[Diagnostic]) -> None:
        self._scopes = scopes
        self._all_named = all_named
        self._found = found
        self._left = MOST_BROUGHT

    def resolve(self) -> None:
        """Bring every imported name into its scope."""
        graph: dict[str, list[str]] = {}
        for scope in self._scopes.values():
            graph[scope.name] = [each.module.value for each in scope.module.imports]
            enums = [enum for each in scope.module.imports for enum in self._import(scope, each)]
            for name, decl, origin in enums:
                self._bring_values(scope, name, decl, origin)
        for cycle in in_order(graph).cycles:
            first, second = cycle.way[0], cycle.way[1]
            made = next(each for each in self._scopes[first].module.imports if each.module.value == second)
            self._found.append(ImportCycle(span=made.module.span, name=first, way=shown(cycle.way)))

    def _import(self, scope: Scope, made: tree.ImportDecl) -> list[tuple[tree.Name, tree.EnumDecl, Scope]]:
        """Take the names of one import in; out come the enums among them."""
        origin = self._scopes.get(made.module.value)
        if origin is None and self._all_named:
            hint = hint_for(made.module.value, self._scopes, self._found)
            self._found.append(UnknownModule(span=made.module.span, name=made.module.value, hint=hint))
        enums: list[tuple[tree.Name, tree.EnumDecl, Scope]] = []
        for name in made.names:
            if not self._is_free(scope, name):
                continue
            scope.imported[name.text] = name
            if origin is None or origin is scope or not self._exports(origin, name):
                scope.broken.add(name.text)
                continue
            scope.bring(name.text, origin)
            origin.mention(name.text)
            decl = origin.declared[name.text][1]
            if isinstance(decl, tree.EnumDecl) and decl.name.text == name.text:
                enums.append((name, decl, origin))
        return enums

    def _is_free(self, scope: Scope, name: tree.Name) -> bool:
        first = scope.imported.get(name.text)
        if first is None and name.text in scope.declared:
            first = scope.declared[name.text][0]
        if first is not None:
            self._found.append(duplicate(name, first))
        return first is None

    def _exports(self, origin: Scope, name: tree.Name) -> bool:
        declared = origin.declared.get(name.text)
        if declared is not None and not isinstance(declared[1], tree.Rule):
            return True
        if not origin.whole:
            return False
        elsewhere = origin.exporters.get(name.text)
        if declared is not None:
            why = "this is a rule, which nobody refers to"
        elif elsewhere is not None:
            why = f"it imports that itself: import it from `{elsewhere}`"
        else:
            why = "not declared there"
        names = (each for each, (_, decl) in origin.declared.items() if not isinstance(decl, tree.Rule))
        hint = hint_for(name.text, names, self._found)
        self._found.append(MissingExport(span=name.span, module=origin.name, name=name.text, why=why, hint=hint))
        return False

    def _bring_values(self, scope: Scope, enum: tree.Name, decl: tree.EnumDecl, origin: Scope) -> None:
        before, self._left = self._left, self._left - len(decl.values)
        if self._left < 0:
            if before >= 0:
                why = f"together they bring more than {MOST_BROUGHT} values"
                remedy = "import a long enum into fewer modules"
                self._found.append(TooMuch(span=enum.span, what="imported enums", why=why, remedy=remedy))
            return
        for value in declared_names(decl)[1:]:
            if not origin.first(value):
                continue
            other = scope.origin(value.text)
            if other is None:
                scope.bring(value.text, origin)
            elif other is not origin:
                here = scope.imported.get(value.text, enum) if other is not scope else scope.declared[value.text][0]
                others = (Label(here.span, f"`{value.text}` is this too"),)
                self._found.append(DuplicateName(span=enum.span, name=value.text, others=others))

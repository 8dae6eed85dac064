"""What a module's names mean while the inventory is taken: its own declarations and its imports, filled in steps.

One `Scope` a module. Declarations are taken in steps (inventory.py), and each step looks up what earlier ones made; a
lookup that fails is reported where the name stands, unless the name itself was. Every lookup also notes that the name
was mentioned.
INVARIANT: a name means one thing: what the module declares by it, or else what it imports.
Source: language.md 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, assert_never

from msgspec import Struct

from policy_lang import tree
from policy_lang.declared.endpoints import ServiceEntry
from policy_lang.declared.entries import (
    ConditionEntry,
    Entry,
    EnumEntry,
    EnumValue,
    KindEntry,
    LabelEntry,
    ModuleEntry,
    NetworkEntry,
    RelationEntry,
    RoleEntry,
    SettingEntry,
    SignalEntry,
    WorkloadEntry,
)
from policy_lang.declared.fields import duplicate
from policy_lang.diagnostics import Diagnostic, hint_for
from policy_lang.mistakes.names import BadText, ShadowedName, UnknownName
from policy_lang.typesystem import RoleType, Scalar

ROOTS = ("token", "subject", "resource", "request", "path", "query", "header", "endpoint", "service", "signal", "now")
"""Names that stand for inputs and so for nothing else."""

NOT_HERE = "neither declared in this module nor imported"

Wanted = TypeVar("Wanted")


class Roles(Struct, frozen=True):
    """The roles that a module sees: the type that their names make, and the ids that these mean."""

    type: RoleType
    ids: Mapping[str, str]


class Scope:
    """The names of one module. `own` fills as declarations are taken; `broken` are names, its own or imported,
    that went wrong; `exporters` are the modules that its imports name, by imported name. `whole`: its file was
    read whole, so that what is not there was never written.
    """

    def __init__(self, module: tree.Module, *, whole: bool, found: list[Diagnostic]) -> None:
        self.module = module
        self.whole = whole
        self.name = module.name.value
        self.found = found
        self.declared: dict[str, tuple[tree.Name, tree.Decl]] = {}
        self.own: dict[str, Entry] = {}
        self.rules: dict[str, tree.Rule] = {}
        self.blocks: dict[str, tree.CasbinDecl] = {}
        self.broken: set[str] = set()
        self.imported: dict[str, tree.Name] = {}
        self.exporters = {name.text: made.module.value for made in module.imports for name in made.names}
        self._origin: dict[str, Scope] = {}
        self._mentioned: set[str] = set()
        self._roles: Roles | None = None
        self.declares_roles = any(isinstance(decl, tree.RolesDecl) for decl in module.declarations)
        for decl in module.declarations:
            for name in declared_names(decl):
                self._declare(name, decl)

    def _declare(self, name: tree.Name, decl: tree.Decl) -> None:
        if name.text in ROOTS:
            self.found.append(ShadowedName(span=name.span, name=name.text, meaning="it is an input of every rule"))
        elif name.text in self.declared:
            self.found.append(duplicate(name, self.declared[name.text][0]))
        else:
            self.declared[name.text] = (name, decl)

    def bring(self, name: str, origin: Scope) -> None:
        """Make a name mean what it means in the module that declares it."""
        self._origin[name] = origin

    def origin(self, name: str) -> Scope | None:
        """The scope whose own the name is; None where it means nothing, or was reported."""
        return self if name in self.declared else self._origin.get(name)

    def first(self, name: tree.Name) -> bool:
        """Whether this is the declaration that its name stands for, and not a second one."""
        return name.text in self.declared and self.declared[name.text][0] is name

    def missed_imports(self) -> bool:
        """Whether an import went wrong, so that nobody knows what else it would have brought."""
        return not self.broken.isdisjoint(self.imported)

    # ------------------------------------------------------------ looking up

    def find(self, name: str) -> Entry | None:
        """What a name means; None where it means nothing, or nothing yet."""
        origin = self.origin(name)
        return None if origin is None else origin.own.get(name)

    def is_broken(self, name: str) -> bool:
        """Whether the name is declared or imported and was reported, or may stand where nobody could read it."""
        origin = self.origin(name)
        if origin is None:
            return name in self.broken or not self.whole
        return name in self.broken or name in origin.broken

    def wanted(self, name: tree.Name, kind: type[Wanted], what: str) -> Wanted | None:
        """What a name means, which must be a `kind`; else None, and reported unless it was."""
        self.mention(name.text)
        entry = self.find(name.text)
        if isinstance(entry, kind):
            return entry
        if not self.is_broken(name.text):
            hint = hint_for(name.text, self.names_of(kind), self.found)
            where = self.instead(name.text)
            self.found.append(UnknownName(span=name.span, what=what, name=name.text, where=where, hint=hint))
        return None

    def instead(self, name: str) -> str:
        """What the name is, where it is not what was wanted."""
        origin = self.origin(name)
        return NOT_HERE if origin is None else f"this is {word_of(origin.declared[name][1])}"

    def text(self, written: tree.TextOrSetting, what: str) -> str | None:
        """A text, or that of a setting; it must say something."""
        if isinstance(written, tree.Text):
            value = written.value
        else:
            setting = self.wanted(written, SettingEntry, "setting")
            if setting is None:
                return None
            if setting.type is not Scalar.STRING or not isinstance(setting.value, str):
                why = f"it is of type {setting.decl.type}"
                self.found.append(BadText(span=written.span, what=what, value=written.text, why=why))
                return None
            value = setting.value
        if value.strip():
            return value
        self.found.append(BadText(span=written.span, what=what, value=value, why="it is empty"))
        return None

    def names_of(self, kind: type[Wanted]) -> Iterator[str]:
        """The names that mean a `kind`."""
        for name in self.visible():
            if isinstance(self.find(name), kind):
                yield name

    def visible(self) -> Iterable[str]:
        """Every name that means something, or was meant to."""
        return (*self.declared, *self._origin)

    def roles(self) -> Roles:
        """The roles that the module sees; asked for once all are taken."""
        if self._roles is None:
            entries = ((name, self.find(name)) for name in sorted(self.visible()))
            ids = {name: entry.id for name, entry in entries if isinstance(entry, RoleEntry)}
            self._roles = Roles(RoleType(tuple(ids)), ids)
        return self._roles

    def mention(self, name: str) -> None:
        """Note that a declaration mentions a name."""
        self._mentioned.add(name)

    def entry(self) -> ModuleEntry:
        """The module as the inventory lists it."""
        scope = {name: entry for name in self.visible() if (entry := self.find(name)) is not None}
        broken = self.broken.union(name for name in self._origin if self.is_broken(name))
        mentioned = {name for name in self._mentioned if name in self.declared or name in self._origin}
        mentioned.update(filter(None, map(enum_of, map(scope.get, tuple(mentioned)))))
        return ModuleEntry(
            name=self.name,
            module=self.module,
            own=self.own,
            scope=scope,
            imported=self.imported,
            rules=self.rules,
            blocks=self.blocks,
            broken=frozenset(broken),
            mentioned=frozenset(mentioned),
        )


def enum_of(entry: Entry | None) -> str | None:
    """The plain name of the enum whose value an entry is."""
    return str(entry.type) if isinstance(entry, EnumValue) else None


def declared_names(decl: tree.Decl) -> tuple[tree.Name, ...]:
    """The names that a declaration brings into its module."""
    match decl:
        case tree.LabelDecl(names=names):
            return names
        case tree.EnumDecl(name=name, values=values):
            return (name, *values)
        case tree.RolesDecl(roles=roles):
            return tuple(role.name for role in roles)
        case tree.TestDecl() | tree.ProveDecl():
            return ()
        case (
            tree.SettingDecl()
            | tree.NetworkDecl()
            | tree.WorkloadDecl()
            | tree.TokenDecl()
            | tree.SubjectDecl()
            | tree.RelationDecl()
            | tree.SignalDecl()
            | tree.ConditionDecl()
            | tree.ServiceDecl()
            | tree.CasbinDecl()
            | tree.Rule()
        ):
            return (decl.name,)
        case _:
            assert_never(decl)


def word_of(decl: tree.Decl) -> str:
    """What a declaration declares, for a message: `a label`."""
    match decl:
        case tree.SettingDecl():
            return "a setting"
        case tree.EnumDecl():
            return "an enum, or a value of one"
        case tree.LabelDecl():
            return "a label"
        case tree.NetworkDecl():
            return "a network"
        case tree.WorkloadDecl():
            return "a workload"
        case tree.TokenDecl():
            return "a token kind"
        case tree.SubjectDecl():
            return "a subject kind"
        case tree.RolesDecl():
            return "a role"
        case tree.RelationDecl():
            return "a relation"
        case tree.SignalDecl():
            return "a signal"
        case tree.ConditionDecl():
            return "a condition"
        case tree.ServiceDecl():
            return "a service"
        case tree.CasbinDecl():
            return "a `casbin` block"
        case tree.Rule():
            return "a rule"
        case tree.TestDecl() | tree.ProveDecl():
            return "no name"
        case _:
            assert_never(decl)


def entry_word(entry: Entry) -> str:
    """What an entry is, for a message: `a label`."""
    match entry:
        case LabelEntry():
            return "a label"
        case EnumEntry():
            return "an enum"
        case EnumValue(type=type_):
            return f"a value of the enum `{type_}`"
        case SettingEntry(decl=decl):
            return f"a setting of type {decl.type}"
        case NetworkEntry():
            return "a network"
        case WorkloadEntry():
            return "a workload"
        case RoleEntry(kind=kind):
            return f"a role of `{kind}`"
        case KindEntry(kind=kind):
            return f"a {kind.form} kind"
        case RelationEntry():
            return "a relation, which is asked with arguments"
        case SignalEntry():
            return "a signal, which is read as `signal.NAME`"
        case ConditionEntry():
            return "a condition"
        case ServiceEntry():
            return "a service"
        case _:
            assert_never(entry)

"""What names stand for, once declared: the entries of the inventory, and what expressions read.

`inventory` makes them, `names` binds names to them, `check` reads them. Values only.
Source: language.md 2.1, 4.1, 4.3; points B, F, H, I.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from policy_lang import ir, tree
from policy_lang.addresses import Intervals
from policy_lang.declared.endpoints import EndpointEntry, ServiceEntry
from policy_lang.declared.fields import Slot
from policy_lang.typesystem import EnumType, Type


class LabelEntry(Struct, frozen=True):
    """`id` is `module.name`."""

    id: str
    decl: tree.Name


class EnumEntry(Struct, frozen=True):
    type: EnumType
    decl: tree.EnumDecl


class EnumValue(Struct, frozen=True):
    """A value of an enum, which is a name of its module too."""

    type: EnumType
    value: str
    decl: tree.Name


class SettingEntry(Struct, frozen=True):
    """A setting bound in the chosen environment. `value` of a network setting is its intervals."""

    type: Type | None
    value: ir.Value | Intervals
    decl: tree.SettingDecl


class NetworkEntry(Struct, frozen=True):
    """`name` as the policy says it, its ranges with everything nested and excluded worked out."""

    name: str
    ranges: Intervals
    decl: tree.Name


class WorkloadEntry(Struct, frozen=True):
    workload: ir.Workload
    decl: tree.WorkloadDecl


class RoleEntry(Struct, frozen=True):
    """A role of one kind. `id` is `module.name`.

    `above` are the ids of the roles that hold this one: itself and all that include it at any depth. `values` are the
    values of the role claim that give any of them; empty where roles come from relations only.
    """

    id: str
    name: str
    kind: str
    above: frozenset[str]
    values: frozenset[str]
    decl: tree.RoleDecl


class KindEntry(Struct, frozen=True):
    """A kind of principal: `slots` are its claims or properties with the implicit ones (`aud`, `scope`; `id`).

    `role_source` is what gives its roles, None where relations alone do or no roles are declared for it.
    """

    kind: ir.Kind
    module: str
    slots: Mapping[str, Slot]
    factors: Mapping[str, tree.FactorDecl]
    role_source: ir.Attr | None
    decl: tree.Name


class RelationEntry(Struct, frozen=True):
    """`role_ids` maps the plain names that a role column may hold to the ids of the roles they mean."""

    relation: ir.Relation
    role_ids: Mapping[str, str]
    decl: tree.RelationDecl


class SignalEntry(Struct, frozen=True):
    signal: ir.Signal
    decl: tree.SignalDecl


class ConditionEntry(Struct, frozen=True):
    decl: tree.ConditionDecl
    module: str
    parameters: tuple[tuple[str, Type], ...]


Entry = (
    LabelEntry | EnumEntry | EnumValue | SettingEntry | NetworkEntry | WorkloadEntry | RoleEntry | KindEntry
    | RelationEntry | SignalEntry | ConditionEntry | ServiceEntry
)  # fmt: skip
"""What a name of a module's scope may stand for. Rules and `casbin` blocks have names too, but nothing refers to them
but tests.
"""


class ModuleEntry(Struct, frozen=True):
    """One module. `own` is what it declares by plain name, `scope` that with what it imports; `broken` are names that
    are declared or imported but not usable, reported already; `imported` are the names of imports where they stand;
    `mentioned` are names of its scope that its declarations mention, and its own that other modules import.
    """

    name: str
    module: tree.Module
    own: Mapping[str, Entry]
    scope: Mapping[str, Entry]
    imported: Mapping[str, tree.Name]
    rules: Mapping[str, tree.Rule]
    blocks: Mapping[str, tree.CasbinDecl]
    broken: frozenset[str]
    mentioned: frozenset[str]


class Inventory(Struct, frozen=True):
    """The whole bundle. `endpoints` by their index in the program; `broken` are inputs by root and name, and factors
    by the root `factor`: declared, and not usable.
    """

    modules: tuple[ModuleEntry, ...]
    kinds: tuple[KindEntry, ...]
    relations: tuple[ir.Relation, ...]
    signals: tuple[ir.Signal, ...]
    workloads: tuple[ir.Workload, ...]
    services: tuple[ServiceEntry, ...]
    endpoints: tuple[EndpointEntry, ...]
    broken: frozenset[tuple[str, str]]


# ---------------------------------------------------------------- what a reference reads


class Parameter(Struct, frozen=True):
    """A parameter of the condition in whose body it stands."""

    name: str


class TagRead(Struct, frozen=True):
    """`endpoint.sensitivity` or `service.owner`: a constant of the endpoint at hand."""

    root: str
    name: str


class Fixed(Struct, frozen=True):
    """A value known when the policy is compiled: an enum's value, a setting, a workload."""

    value: ir.Value
    type: Type


Input = ir.Attr | ir.Now | Parameter | TagRead | Fixed | NetworkEntry | RoleEntry
"""What a reference binds to. A network stands only right of `in`, a role only as an argument for a role."""


class Names(Struct, frozen=True):
    """The bindings of one module, by node id.

    `inputs` of references and of `has`; `calls`; `kinds` of `is` and of `any KIND`; `roles` of `role R` (in expressions
    and in `for`) by the id of the name; `workloads` of `for workload` and `via` by the id of the name; `targets` of
    `on` clauses; `used` are names of the module's scope that some rule, test, proof, factor or declaration mentions,
    an enum where one of its values is, a kind where one of its factors is; and its own that other modules import.
    """

    inputs: Mapping[tree.NodeId, Input]
    calls: Mapping[tree.NodeId, ConditionEntry | RelationEntry]
    kinds: Mapping[tree.NodeId, str]
    roles: Mapping[tree.NodeId, RoleEntry]
    workloads: Mapping[tree.NodeId, WorkloadEntry]
    targets: Mapping[tree.NodeId, tuple[int, ...]]
    used: frozenset[str]

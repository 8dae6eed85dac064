"""What a module declares besides services and rules.

Source: language.md 2.1 (Module level).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.tree.expressions import CidrLit, Expr, IpLit, LiteralExpr, Ref
from policy_lang.tree.nodes import Name, Node, Text

TextOrSetting = Text | Name
"""A text, or the name of a setting that holds it."""


@dataclass(frozen=True, slots=True)
class ImportDecl(Node):
    """`import shop.common (office, edge)`."""

    module: Text
    names: tuple[Name, ...]


SettingType = Literal["string", "int", "duration", "network"]


@dataclass(frozen=True, slots=True)
class SettingDecl(Node):
    """A value that differs per environment (language.md, point H)."""

    name: Name
    type: SettingType
    default: LiteralExpr | None


@dataclass(frozen=True, slots=True)
class EnumDecl(Node):
    """`values` lowest first where `ordered`."""

    name: Name
    values: tuple[Name, ...]
    ordered: bool


NetworkItem = CidrLit | IpLit | Name


@dataclass(frozen=True, slots=True)
class NetworkDecl(Node):
    name: Name
    items: tuple[NetworkItem, ...]
    excluded: tuple[NetworkItem, ...]


@dataclass(frozen=True, slots=True)
class WorkloadDecl(Node):
    """`identity` is a SPIFFE id."""

    name: Name
    identity: TextOrSetting


@dataclass(frozen=True, slots=True)
class TypeExpr(Node):
    """A type as written: its word, the bounds of an int, the element of a set."""

    word: str
    lowest: int | None = None
    highest: int | None = None
    element: TypeExpr | None = None


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A claim, property, query parameter or header.

    `source` is where its value stands, outermost first; empty means its own name.
    """

    name: Name
    type: TypeExpr
    optional: bool
    private: bool
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactorDecl(Node):
    name: Name
    at: Ref
    when: Expr | None


@dataclass(frozen=True, slots=True)
class LabelDecl(Node):
    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class TokenDecl(Node):
    name: Name
    issuer: TextOrSetting
    claims: tuple[Field, ...]
    factors: tuple[FactorDecl, ...]


@dataclass(frozen=True, slots=True)
class SubjectDecl(Node):
    """What an authenticated caller may assert (language.md, point B); `type` is AuthZEN's subject type."""

    name: Name
    type: Text
    properties: tuple[Field, ...]
    factors: tuple[FactorDecl, ...]


@dataclass(frozen=True, slots=True)
class RoleDecl(Node):
    """`sources` are the values of the claim that give the role; empty means its own name."""

    name: Name
    sources: tuple[Text, ...]
    includes: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class ExclusiveDecl(Node):
    """No two of these roles may be held by one caller."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class RolesDecl(Node):
    """`roles for KIND from SOURCE`; `from none` is a reference to `none` without parts."""

    kind: Name
    source: Ref
    roles: tuple[RoleDecl, ...]
    exclusive: tuple[ExclusiveDecl, ...]


@dataclass(frozen=True, slots=True)
class Column(Node):
    """A column of a relation, or a parameter of a condition."""

    name: Name
    type: TypeExpr


@dataclass(frozen=True, slots=True)
class RelationDecl(Node):
    name: Name
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class ConditionDecl(Node):
    name: Name
    parameters: tuple[Column, ...]
    body: Expr


@dataclass(frozen=True, slots=True)
class SignalDecl(Node):
    """`fallback` is what `else` says: a literal or `unknown`."""

    name: Name
    type: TypeExpr
    provider: Text
    keys: tuple[Ref, ...]
    within_ms: int
    fallback: LiteralExpr

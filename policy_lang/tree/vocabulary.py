"""What a module declares besides services and rules.

Source: language.md 2.1 (Module level).
"""

from __future__ import annotations

from typing import Literal

from policy_lang.tree.expressions import CidrLit, Expr, IpLit, LiteralExpr, Ref
from policy_lang.tree.nodes import Name, Node, Text

TextOrSetting = Text | Name
"""A text, or the name of a setting that holds it."""


class ImportDecl(Node, frozen=True):
    """`import shop.common (office, edge)`."""

    module: Text
    names: tuple[Name, ...]


SettingType = Literal["string", "int", "duration", "network"]


class SettingDecl(Node, frozen=True):
    """A value that differs per environment (language.md, point H)."""

    name: Name
    type: SettingType
    default: LiteralExpr | None


class EnumDecl(Node, frozen=True):
    """`values` lowest first where `ordered`."""

    name: Name
    values: tuple[Name, ...]
    ordered: bool


NetworkItem = CidrLit | IpLit | Name


class NetworkDecl(Node, frozen=True):
    name: Name
    items: tuple[NetworkItem, ...]
    excluded: tuple[NetworkItem, ...]


class WorkloadDecl(Node, frozen=True):
    """`identity` is a SPIFFE id."""

    name: Name
    identity: TextOrSetting


class TypeExpr(Node, frozen=True):
    """A type as written: its word, the bounds of an int, the element of a set."""

    word: str
    lowest: int | None = None
    highest: int | None = None
    element: TypeExpr | None = None


class Field(Node, frozen=True):
    """A claim, property, query parameter or header.

    `source` is where its value stands, outermost first; empty means its own name.
    """

    name: Name
    type: TypeExpr
    optional: bool
    private: bool
    source: tuple[str, ...]


class FactorDecl(Node, frozen=True):
    name: Name
    at: Ref
    when: Expr | None


class LabelDecl(Node, frozen=True):
    names: tuple[Name, ...]


class TokenDecl(Node, frozen=True):
    name: Name
    issuer: TextOrSetting
    claims: tuple[Field, ...]
    factors: tuple[FactorDecl, ...]


class SubjectDecl(Node, frozen=True):
    """What an authenticated caller may assert (language.md, point B); `type` is AuthZEN's subject type."""

    name: Name
    type: Text
    properties: tuple[Field, ...]
    factors: tuple[FactorDecl, ...]


class RoleDecl(Node, frozen=True):
    """`sources` are the values of the claim that give the role; empty means its own name."""

    name: Name
    sources: tuple[Text, ...]
    includes: tuple[Name, ...]


class ExclusiveDecl(Node, frozen=True):
    """No two of these roles may be held by one caller."""

    names: tuple[Name, ...]


class RolesDecl(Node, frozen=True):
    """`roles for KIND from SOURCE`; `from none` is a reference to `none` without parts."""

    kind: Name
    source: Ref
    roles: tuple[RoleDecl, ...]
    exclusive: tuple[ExclusiveDecl, ...]


class Column(Node, frozen=True):
    """A column of a relation, or a parameter of a condition."""

    name: Name
    type: TypeExpr


class RelationDecl(Node, frozen=True):
    name: Name
    columns: tuple[Column, ...]


class ConditionDecl(Node, frozen=True):
    name: Name
    parameters: tuple[Column, ...]
    body: Expr


class SignalDecl(Node, frozen=True):
    """`fallback` is what `else` says: a literal or `unknown`."""

    name: Name
    type: TypeExpr
    provider: Text
    keys: tuple[Ref, ...]
    within_ms: int
    fallback: LiteralExpr

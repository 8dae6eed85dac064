"""`casbin` blocks: a Casbin model and its policy that vote among the rules.

Source: language.md 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.tree.expressions import Ref
from policy_lang.tree.nodes import Name, Node, Text
from policy_lang.tree.rules import OnClause


@dataclass(frozen=True, slots=True)
class CasbinFile(Node):
    """`model "PATH"` or `policy "PATH"`."""

    what: Literal["model", "policy"]
    path: Text


@dataclass(frozen=True, slots=True)
class Binding(Node):
    """`sub = token.sub`, `"sub.Age" = token.age`."""

    parameter: Text
    value: Ref


@dataclass(frozen=True, slots=True)
class CasbinBind(Node):
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class CasbinWord(Node):
    """`as full` or `mode strict`: the word as written."""

    what: Literal["as", "mode"]
    word: Name


@dataclass(frozen=True, slots=True)
class CasbinUse(Node):
    """`use r2, p2`: which definitions of the model are combined."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class CasbinMatch(Node):
    """`match g = "keyMatch2"`, and `match_domain` where `domains`."""

    domains: bool
    graph: Name
    function: Text


@dataclass(frozen=True, slots=True)
class CasbinZone(Node):
    zone: Text


CasbinItem = CasbinFile | CasbinBind | OnClause | CasbinWord | CasbinUse | CasbinMatch | CasbinZone


@dataclass(frozen=True, slots=True)
class CasbinDecl(Node):
    """`items` in the order of the text."""

    name: Name
    items: tuple[CasbinItem, ...]

"""`casbin` blocks: a Casbin model and its policy that vote among the rules.

Source: language.md 6.4.
"""

from __future__ import annotations

from typing import Literal

from policy_lang.tree.expressions import Ref
from policy_lang.tree.nodes import Name, Node, Text
from policy_lang.tree.rules import OnClause


class CasbinFile(Node, frozen=True):
    """`model "PATH"` or `policy "PATH"`."""

    what: Literal["model", "policy"]
    path: Text


class Binding(Node, frozen=True):
    """`sub = token.sub`, `"sub.Age" = token.age`."""

    parameter: Text
    value: Ref


class CasbinBind(Node, frozen=True):
    bindings: tuple[Binding, ...]


class CasbinWord(Node, frozen=True):
    """`as full` or `mode strict`: the word as written."""

    what: Literal["as", "mode"]
    word: Name


class CasbinUse(Node, frozen=True):
    """`use r2, p2`: which definitions of the model are combined."""

    names: tuple[Name, ...]


class CasbinMatch(Node, frozen=True):
    """`match g = "keyMatch2"`, and `match_domain` where `domains`."""

    domains: bool
    graph: Name
    function: Text


class CasbinZone(Node, frozen=True):
    zone: Text


CasbinItem = CasbinFile | CasbinBind | OnClause | CasbinWord | CasbinUse | CasbinMatch | CasbinZone


class CasbinDecl(Node, frozen=True):
    """`items` in the order of the text."""

    name: Name
    items: tuple[CasbinItem, ...]

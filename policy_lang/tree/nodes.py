"""What every node has, and the nodes that stand for themselves."""

from __future__ import annotations

from typing import NewType

from msgspec import Struct

from policy_lang.source import Span

NodeId = NewType("NodeId", int)


class Node(Struct, frozen=True):
    id: NodeId
    span: Span


class Name(Node, frozen=True):
    """An identifier where it stands."""

    text: str


class Text(Node, frozen=True):
    """A string where it stands, escapes resolved; also a path pattern, as written."""

    value: str

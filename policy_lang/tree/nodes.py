"""What every node has, and the nodes that stand for themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from policy_lang.source import Span

NodeId = NewType("NodeId", int)


@dataclass(frozen=True, slots=True)
class Node:
    id: NodeId
    span: Span


@dataclass(frozen=True, slots=True)
class Name(Node):
    """An identifier where it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Text(Node):
    """A string where it stands, escapes resolved; also a path pattern, as written."""

    value: str

"""What the grammar makes of a text: tokens, and trees of them.

Two values, of which the builders take apart what the grammar put together; offsets count code points from the start of
the text that was read. A tree starts where its first token starts and ends where its last one ends, those that the
grammar leaves out of `children` included, parentheses around an expression not.

Decision: 2026-11-21. They are slotted but not frozen, and not of Lark: a file of half a megabyte has 200,000 of them,
and freezing doubles what one costs. Nothing changes them once reading is over.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

Leaf = TypeVar("Leaf")


class Token(Struct):
    """A piece of the text that one terminal of the grammar matched; `str` gives it as written."""

    type: str
    text: str
    start_pos: int
    end_pos: int

    def __str__(self) -> str:
        return self.text


class Tree(Struct, Generic[Leaf]):
    """What one rule of the grammar matched: the rule's name or alias, and its parts in the order of the text.

    `outer` is the range with the parentheses around it, where there are any.
    """

    data: str
    children: list[Tree[Leaf] | Leaf]
    start_pos: int
    end_pos: int
    outer: tuple[int, int] | None = None


Branch = Tree[Token] | Token


def trees(tree: Tree[Token]) -> list[Tree[Token]]:
    """The children of `tree` that are no tokens."""
    return [child for child in tree.children if isinstance(child, Tree)]


def words(tree: Tree[Token]) -> tuple[str, ...]:
    """The tokens of a flat `tree`, as written."""
    return tuple(str(token) for token in tree.children)


def token_of(branch: Branch) -> Token:
    """`branch`, where the grammar has a token."""
    if isinstance(branch, Token):
        return branch
    raise TypeError(f"a tree where the grammar has a token: {branch.data}")


def tree_of(branch: Branch) -> Tree[Token]:
    """`branch`, where the grammar has a tree."""
    if isinstance(branch, Tree):
        return branch
    raise TypeError(f"a token where the grammar has a tree: {branch.type}")

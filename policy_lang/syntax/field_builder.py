"""What several declarations have in common: typed fields, columns, tags, and texts that a setting may hold.

In goes a part of the parser's tree and a draft to report to; out comes a node of `policy_lang/tree`. What is said
twice of one field is E101 and the declaration is dropped (the invariant of `policy_lang/syntax/draft.py`).
Specification: language.md 2.1, 4.1, points H and K; grammar.lark, `field`, `type`, `column`, `_text`, `tag_value`.
"""

from __future__ import annotations

from policy_lang.mistakes.syntax import Repeated
from policy_lang.syntax.draft import Draft
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of
from policy_lang.tree import Column, Field, Name, TagValue, Text, TextOrSetting, TypeExpr


def field_of(draft: Draft, outer: Branch) -> Field:
    """The field that a clause such as `claim` or `query` holds."""
    tree = tree_of(tree_of(outer).children[0])
    name, kind, *modifiers = tree.children
    said: dict[str, Tree[Token]] = {}
    for modifier in map(tree_of, modifiers):
        if modifier.data in said:
            word = "from" if modifier.data == "source" else modifier.data
            draft.found.append(Repeated(span=draft.span(modifier), what=f"`{word}`"))
        said[modifier.data] = modifier
    source = said.get("source")
    return Field(
        draft.id(),
        draft.span(tree),
        draft.name(name),
        type_of(draft, kind),
        optional="optional" in said,
        private="private" in said,
        source=() if source is None else tuple([draft.characters(part) for part in source.children]),
    )


def type_of(draft: Draft, branch: Branch) -> TypeExpr:
    """A type as written; bounds in the wrong order and unknown names are for later phases."""
    tree = tree_of(branch)
    span = draft.span(tree)
    parts = tree.children
    match tree.data:
        case "t_name":
            return TypeExpr(draft.id(), span, str(parts[0]))
        case "t_set":
            return TypeExpr(draft.id(), span, "set", element=type_of(draft, parts[0]))
        case "t_int" if parts:
            return TypeExpr(draft.id(), span, "int", draft.integer(parts[0]), draft.integer(parts[1]))
        case word:
            return TypeExpr(draft.id(), span, word.removeprefix("t_"))


def columns_of(draft: Draft, branches: list[Branch]) -> tuple[Column, ...]:
    """Columns of a relation, or parameters of a condition."""
    return tuple([_column(draft, tree_of(branch)) for branch in branches])


def _column(draft: Draft, tree: Tree[Token]) -> Column:
    name, kind = tree.children
    return Column(draft.id(), draft.span(tree), draft.name(name), type_of(draft, kind))


def tag(draft: Draft, tree: Tree[Token]) -> TagValue:
    """`tag owner = "team-orders"`, of a service or an endpoint."""
    name, value = tree.children
    return TagValue(draft.id(), draft.span(tree), draft.name(name), text_or_setting(draft, value))


def text_or_setting(draft: Draft, branch: Branch) -> Text | Name:
    """A string, or the name that stands for one."""
    token = token_of(branch)
    return draft.string(token) if token.type == "STRING" else draft.name(token)


def texts_or_settings(draft: Draft, branches: list[Branch]) -> tuple[TextOrSetting, ...]:
    """Several of these."""
    return tuple([text_or_setting(draft, branch) for branch in branches])


def strings(draft: Draft, branch: Branch) -> tuple[Text, ...]:
    """A list of strings."""
    return tuple([draft.string(part) for part in tree_of(branch).children])


def names(draft: Draft, branch: Branch) -> tuple[Name, ...]:
    """A list of names."""
    return draft.names(tree_of(branch).children)

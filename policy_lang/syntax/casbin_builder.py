"""`casbin` blocks: the parser's trees to the nodes of `policy_lang/tree/casbin.py`.

In goes the tree of one block and a draft to report to; out comes its node, which the caller drops where anything was
reported (the invariant of `policy_lang/syntax/draft.py`). Items keep the order of the text; which of them there must
be, and how often, is for later phases.
Specification: language.md 6.4; grammar.lark, the section on Casbin models.
"""

from __future__ import annotations

from policy_lang.syntax.draft import Draft
from policy_lang.syntax.expression_builder import reference
from policy_lang.syntax.field_builder import names
from policy_lang.syntax.grammar import Branch, Token, Tree, token_of, tree_of
from policy_lang.syntax.rule_builder import targets
from policy_lang.tree import (
    Binding,
    CasbinBind,
    CasbinDecl,
    CasbinFile,
    CasbinItem,
    CasbinMatch,
    CasbinUse,
    CasbinWord,
    CasbinZone,
    Text,
)


def casbin(draft: Draft, tree: Tree[Token]) -> CasbinDecl:
    """`casbin wiki { model … policy … bind … on … as … }`."""
    name, *items = tree.children
    return CasbinDecl(
        draft.id(), draft.span(tree), draft.name(name), tuple([_item(draft, tree_of(item)) for item in items])
    )


def _item(draft: Draft, tree: Tree[Token]) -> CasbinItem:
    span = draft.span(tree)
    first, *others = tree.children
    match tree.data:
        case "casbin_model":
            return CasbinFile(draft.id(), span, "model", draft.string(first))
        case "casbin_policy":
            return CasbinFile(draft.id(), span, "policy", draft.string(first))
        case "casbin_bind":
            return CasbinBind(draft.id(), span, tuple([_binding(draft, tree_of(part)) for part in tree.children]))
        case "casbin_on":
            return targets(draft, tree)
        case "casbin_as":
            return CasbinWord(draft.id(), span, "as", draft.name(first))
        case "casbin_mode":
            return CasbinWord(draft.id(), span, "mode", draft.name(first))
        case "casbin_use":
            return CasbinUse(draft.id(), span, names(draft, first))
        case "casbin_match" | "casbin_match_domain" as word:
            domains = word == "casbin_match_domain"
            return CasbinMatch(draft.id(), span, domains, draft.name(first), draft.string(others[0]))
        case "casbin_zone":
            return CasbinZone(draft.id(), span, draft.string(first))
        case other:
            raise TypeError(f"no item of the grammar: {other}")


def _binding(draft: Draft, tree: Tree[Token]) -> Binding:
    parameter, value = tree.children
    return Binding(draft.id(), draft.span(tree), _parameter(draft, parameter), reference(draft, value))


def _parameter(draft: Draft, branch: Branch) -> Text:
    token = token_of(branch)
    return draft.string(token) if token.type == "STRING" else draft.verbatim(token)

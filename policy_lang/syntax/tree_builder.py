"""Declarations: the parser's trees to the nodes of `policy_lang/tree`.

In goes the tree of one declaration, a draft to report to and the text of the file; out comes its node, or None where
anything in it was reported. A declaration is kept whole or not at all: half a rule would be another rule.
Specification: language.md 2.1; grammar.lark.

Decision: 2026-11-21. The text comes along because a tree holds no word that has one spelling only, and in three places
a choice is nothing but such a word (the type of a setting, the quantifier of a proof, the head of a column).
"""

from __future__ import annotations

from policy_lang.syntax import casbin_builder, case_builder, rule_builder, service_builder
from policy_lang.syntax import vocabulary_builder as vocabulary
from policy_lang.syntax.draft import Draft
from policy_lang.syntax.grammar import Token, Tree
from policy_lang.tree import Decl, ImportDecl


def imported(draft: Draft, tree: Tree[Token]) -> ImportDecl:
    """The node of one import."""
    return vocabulary.imported(draft, tree)


def declaration(draft: Draft, tree: Tree[Token], text: str) -> Decl | None:
    """The node of one declaration of the file `text`, or None where something in it was reported."""
    before = len(draft.found)
    built = _declaration(draft, tree, text)
    return built if len(draft.found) == before else None


def _declaration(draft: Draft, tree: Tree[Token], text: str) -> Decl | None:
    match tree.data:
        case "rule":
            return rule_builder.rule(draft, tree)
        case "test_decl":
            return case_builder.test(draft, tree, text)
        case "service_decl":
            return service_builder.service(draft, tree)
        case "condition_decl":
            return vocabulary.condition(draft, tree)
        case "relation_decl":
            return vocabulary.relation(draft, tree)
        case "network_decl":
            return vocabulary.network(draft, tree)
        case "token_decl":
            return vocabulary.token_kind(draft, tree)
        case "subject_decl":
            return vocabulary.subject_kind(draft, tree)
        case "roles_decl":
            return vocabulary.roles(draft, tree)
        case "signal_decl":
            return vocabulary.signal(draft, tree)
        case "enum_decl":
            return vocabulary.enum(draft, tree)
        case "label_decl":
            return vocabulary.label(draft, tree)
        case "workload_decl":
            return vocabulary.workload(draft, tree)
        case "setting_decl":
            return vocabulary.setting(draft, tree, text)
        case "prove_decl":
            return case_builder.proof(draft, tree, text)
        case "casbin_decl":
            return casbin_builder.casbin(draft, tree)
        case other:
            raise TypeError(f"no declaration of the grammar: {other}")

"""What is one condition to whoever wrote it, though it came to several atoms: a role, a factor, a row, an order.

An expression and the formula that it came to go in; whether it is such, and its words, come out. Tests that count which
conditions came out both ways ask for those, not for what they were made of. Nothing here says what a policy means.
Source: language.md 5.7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from policy_lang import tree
from policy_lang.checking.guards import Formula, Leaf
from policy_lang.declared.entries import RoleEntry
from policy_lang.declared.literals_typed import Typed
from policy_lang.meaning.words import UNTYPED, operand_text
from policy_lang.source import Source
from policy_lang.wording import as_written


def may_be_one(expr: tree.Expr, formula: Formula) -> bool:
    """Whether an expression is one condition, if it is no call of a condition that has a name."""
    if isinstance(expr, tree.Compare):
        return not isinstance(formula, bool | Leaf)
    return isinstance(expr, tree.HasRole | tree.HasFactor | tree.Call) and not isinstance(formula, bool)


def said(expr: tree.Expr, source: Source, arguments: Mapping[str, Typed | RoleEntry | None]) -> str:
    """An expression as it was written, with `arguments` in place of the parameters of the condition it stands in."""
    text = as_written(source, expr.span)
    for name, argument in arguments.items():
        if argument is not None:
            words = _words(argument).replace("\\", r"\\")
            text = re.sub(rf'(?<![\w."]){re.escape(name)}\b', words, text)
    return text


def _words(argument: Typed | RoleEntry) -> str:
    if isinstance(argument, RoleEntry):
        return argument.name
    return operand_text(argument.operand, UNTYPED, argument.type)

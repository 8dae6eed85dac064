"""What another language would read in another way: segments such as `:id`, patterns such as `^admin*`.

The inventory goes in, warnings come out, each at its place: what is written is legal, and hardly meant.
Source: language.md 3 "Path patterns", 4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

from policy_lang import tree
from policy_lang.declared.entries import Inventory
from policy_lang.declared.foreign_patterns import anchor, capture_meant
from policy_lang.declared.walking import walk
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.rules import LooksLikeCapture, LooksLikeRegex
from policy_lang.source import Span


def lookalikes(inventory: Inventory) -> Iterator[Diagnostic]:
    """The warnings of every module."""
    for entry in inventory.modules:
        for decl in entry.module.declarations:
            for path in _paths(decl):
                yield from _segments(path)
            for expr in _expressions(decl):
                yield from _patterns(expr)


def _segments(path: tree.Text) -> Iterator[Diagnostic]:
    parts = path.value.split("/")
    ends = accumulate(len(part) + 1 for part in parts)
    for part, (start, end) in zip(parts, pairwise((0, *ends)), strict=True):
        name = capture_meant(part)
        if name:
            span = Span(path.span.source, path.span.start + start, path.span.start + end - 1)
            yield LooksLikeCapture(span=span, segment=part, name=name)


def _patterns(root: tree.Expr) -> Iterator[Diagnostic]:
    for node in walk(root):
        character = anchor(node.pattern.value) if isinstance(node, tree.Like) else ""
        if isinstance(node, tree.Like) and character:
            yield LooksLikeRegex(span=node.pattern.span, pattern=node.pattern.value, character=character)


def _paths(decl: tree.Decl) -> Iterator[tree.Text]:
    match decl:
        case tree.ServiceDecl(endpoints=endpoints):
            for endpoint in endpoints:
                if isinstance(endpoint.route, tree.HttpRoute):
                    yield endpoint.route.pattern
        case tree.Rule(clauses=clauses) | tree.ProveDecl(clauses=clauses) | tree.CasbinDecl(items=clauses):
            for clause in clauses:
                for target in clause.targets if isinstance(clause, tree.OnClause) else ():
                    if isinstance(target.base, tree.OfPattern):
                        yield target.base.pattern
        case _:
            pass


def _expressions(decl: tree.Decl) -> Iterator[tree.Expr]:
    match decl:
        case tree.Rule(clauses=clauses) | tree.ProveDecl(clauses=clauses):
            yield from _asked(clauses)
        case tree.ConditionDecl(body=body):
            yield body
        case tree.TokenDecl(factors=factors) | tree.SubjectDecl(factors=factors):
            yield from (factor.when for factor in factors if factor.when is not None)
        case _:
            pass


def _asked(clauses: Iterable[tree.Clause]) -> Iterator[tree.Expr]:
    for clause in clauses:
        match clause:
            case tree.WhenClause(condition=condition) | tree.NeedsClause(need=tree.ConditionNeed(condition=condition)):
                yield condition
            case _:
                pass

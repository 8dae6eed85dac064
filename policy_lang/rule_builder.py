"""Rules and tests: Lark's trees to the nodes of `policy_lang/tree.py`.

In goes the tree of one declaration and a draft to report to; out comes its node, which the caller drops where anything
was reported (the invariant of `policy_lang/draft.py`). What this version lacks is reported once each, at its place.
Specification: language.md 2.1 (Rules), 5.7 (Tests); grammar.lark, the sections on rules, tests and proofs.
"""

from __future__ import annotations

from lark import Token, Tree

from policy_lang.draft import Draft
from policy_lang.expression_builder import expression, reference
from policy_lang.grammar import token_of, tree_of, trees, words
from policy_lang.mistakes.syntax import Repeated
from policy_lang.tree import (
    AnyOfKind,
    Anyone,
    BecauseClause,
    Case,
    Clause,
    ConditionNeed,
    Effect,
    Everything,
    FactorNeed,
    ForClause,
    Given,
    GivenAnonymous,
    GivenFact,
    GivenNow,
    GivenToken,
    LogObligation,
    MustClause,
    NeedsClause,
    OfEndpoint,
    OfPattern,
    OfService,
    OnClause,
    Outcome,
    Override,
    ProveDecl,
    Rule,
    TagFilter,
    Target,
    TestDecl,
    Text,
    TimeLit,
    WhenClause,
)

_OBLIGATIONS = {
    "o_set_header": "`set header`",
    "o_remove_header": "`remove header`",
    "o_redact": "`redact`",
    "o_issue_token": "`issue token`",
    "o_alert": "`alert`",
    "o_answer": "`answer`",
}

# ---------------------------------------------------------------- rules


def rule(draft: Draft, tree: Tree[Token]) -> Rule:
    """`allow`, `deny` or `require`, with its clauses in the order of the text."""
    words = [child for child in tree.children if isinstance(child, Token)]
    if words[0].type == "SHADOW":
        draft.unavailable("`shadow`", draft.span(words.pop(0)))
    clauses = tuple(built for part in trees(tree) if (built := _clause(draft, part)) is not None)
    return Rule(draft.id(), draft.span(tree), _effect(words[0]), draft.name(words[1]), clauses)


def _effect(word: Token) -> Effect:
    match str(word):
        case "allow" | "deny" | "require" as effect:
            return effect
        case other:
            raise TypeError(f"no effect of the grammar: {other}")


def _clause(draft: Draft, tree: Tree[Token]) -> Clause | None:
    span = draft.span(tree)
    first = tree.children[0]
    match str(tree.data):
        case "for_clause":
            subjects = tuple(built for part in trees(tree) if (built := _subject(draft, part)) is not None)
            return ForClause(draft.id(), span, subjects)
        case "on_clause":
            return OnClause(draft.id(), span, tuple(_target(draft, part) for part in trees(tree)))
        case "when_clause":
            return WhenClause(draft.id(), span, expression(draft, first), negated=False)
        case "unless_clause":
            return WhenClause(draft.id(), span, expression(draft, first), negated=True)
        case "needs_clause":
            return NeedsClause(draft.id(), span, _need(draft, tree_of(first)))
        case "must_clause":
            obligation = _obligation(draft, tree_of(first))
            return None if obligation is None else MustClause(draft.id(), span, obligation)
        case "because_clause":
            return BecauseClause(draft.id(), span, draft.string(first))
        case "until_clause":
            draft.unavailable("`until`", span)
        case _:
            draft.unavailable("`should`", span)
    return None


def _subject(draft: Draft, tree: Tree[Token]) -> Anyone | AnyOfKind | None:
    span = draft.span(tree)
    match str(tree.data):
        case "s_anyone":
            return Anyone(draft.id(), span)
        case "s_token_kind":
            return AnyOfKind(draft.id(), span, draft.name(tree.children[0]))
        case "s_role":
            draft.unavailable("`role`", span)
        case "s_workload":
            draft.unavailable("`workload`", span)
        case _:
            draft.unavailable("`via`", span)
    return None


def _target(draft: Draft, tree: Tree[Token]) -> Target:
    base, *tagged = trees(tree)
    return Target(draft.id(), draft.span(tree), _base(draft, base), _filter(draft, tagged[0]) if tagged else None)


def _base(draft: Draft, tree: Tree[Token]) -> Everything | OfService | OfEndpoint | OfPattern:
    span = draft.span(tree)
    match tree.children:
        case []:
            return Everything(draft.id(), span)
        case [service]:
            return OfService(draft.id(), span, draft.name(service))
        case [service, endpoint]:
            return OfEndpoint(draft.id(), span, draft.name(service), draft.name(endpoint))
        case [service, listed, path]:
            verbs = words(tree_of(listed))
            return OfPattern(draft.id(), span, draft.name(service), verbs, draft.verbatim(token_of(path)))
        case _:
            raise TypeError(f"no target of the grammar: {tree.data}")


def _filter(draft: Draft, tree: Tree[Token]) -> TagFilter:
    return TagFilter(draft.id(), draft.span(tree), draft.names(tree.children), tree.data == "tag_and")


def _need(draft: Draft, tree: Tree[Token]) -> FactorNeed | ConditionNeed:
    span = draft.span(tree)
    match tree.children:
        case [name] if tree.data == "factor_need":
            return FactorNeed(draft.id(), span, draft.name(name), None)
        case [name, within] if tree.data == "factor_need":
            return FactorNeed(draft.id(), span, draft.name(name), draft.duration(within))
        case [condition, challenge]:
            return ConditionNeed(draft.id(), span, expression(draft, condition), draft.string(challenge))
        case _:
            raise TypeError(f"no need of the grammar: {tree.data}")


def _obligation(draft: Draft, tree: Tree[Token]) -> LogObligation | None:
    span = draft.span(tree)
    if tree.data != "o_log":
        draft.unavailable(_OBLIGATIONS[str(tree.data)], span)
        return None
    level, *mode = draft.names(tree.children)
    return LogObligation(draft.id(), span, level, mode[0] if mode else None)


# ---------------------------------------------------------------- tests and proofs


def test(draft: Draft, tree: Tree[Token]) -> TestDecl:
    """A `test` block: its givens and its calls."""
    title, *rest = tree.children
    given: list[Given] = []
    cases: list[Case] = []
    for part in map(tree_of, rest):
        match str(part.data):
            case "case":
                case = _case(draft, part)
                cases += () if case is None else (case,)
            case "table":
                draft.unavailable("`table`", draft.span(part))
            case _:
                fixture = _given(draft, part)
                given += () if fixture is None else (fixture,)
    return TestDecl(draft.id(), draft.span(tree), draft.string(title), tuple(given), tuple(cases))


def proof(draft: Draft, tree: Tree[Token]) -> ProveDecl:
    """A `prove` statement, of which only the title is kept."""
    return ProveDecl(draft.id(), draft.span(tree), draft.string(tree.children[0]))


def _given(draft: Draft, tree: Tree[Token]) -> Given | None:
    span = draft.span(tree)
    parts = tree.children
    match str(tree.data):
        case "g_token":
            pairs = [tree_of(pair).children for pair in tree_of(parts[1]).children]
            claims = tuple((draft.name(name), expression(draft, value)) for name, value in pairs)
            return GivenToken(draft.id(), span, draft.name(parts[0]), claims)
        case "g_anonymous":
            return GivenAnonymous(draft.id(), span)
        case "g_now":
            at = TimeLit(draft.id(), draft.span(parts[0]), draft.instant(parts[0]))
            return GivenNow(draft.id(), span, at)
        case "g_fact":
            values = tuple(expression(draft, value) for value in parts[1:])
            return GivenFact(draft.id(), span, draft.name(parts[0]), values)
        case "g_subject":
            draft.unavailable("`given subject`", span)
        case "g_request":
            draft.unavailable("`given request`", span)
        case _:
            draft.unavailable("`given signal`", span)
    return None


def _case(draft: Draft, tree: Tree[Token]) -> Case | None:
    call, *changes, expected = map(tree_of, tree.children)
    overrides = tuple(_override(draft, change) for change in changes)
    outcome = _outcome(draft, expected)
    if call.data != "call_path":
        what = "a call by the name of an endpoint" if call.data == "call_endpoint" else "a gRPC call"
        draft.unavailable(what, draft.span(call))
        return None
    service, method, path = map(token_of, call.children)
    span = draft.span(tree)
    return Case(draft.id(), span, draft.name(service), str(method), draft.verbatim(path), overrides, outcome)


def _override(draft: Draft, tree: Tree[Token]) -> Override:
    ref, value = tree.children
    return Override(draft.id(), draft.span(tree), reference(draft, tree_of(ref)), expression(draft, value))


def _outcome(draft: Draft, tree: Tree[Token]) -> Outcome:
    span = draft.span(tree)
    by: tuple[Text, ...] = ()
    logs: list[LogObligation] = []
    for part in trees(tree):
        if part.data == "by":
            by = tuple(draft.dotted(name) for name in trees(part))
        else:
            log = _obligation(draft, tree_of(part.children[0]))
            logs += () if log is None else (log,)
    if len(logs) > 1:
        draft.found.append(Repeated(span=logs[1].span, what="`and log`"))
    log = logs[0] if logs else None
    match str(tree.data):
        case "out_allow":
            return Outcome(draft.id(), span, "allow", None, by, log)
        case "out_deny":
            return Outcome(draft.id(), span, "deny", None, by, log)
        case _:
            return Outcome(draft.id(), span, "step_up", draft.name(tree.children[0]), by, log)

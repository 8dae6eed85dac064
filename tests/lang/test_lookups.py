"""Roles of relations: asked of callers of the kind whose roles they are, and refused of what others say of themselves.

The text that a person reads is tests/golden/rendered/E312.txt.
"""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.meaning.reference import decide
from policy_lang.request import Path, canonical_path
from policy_lang.verdict import Caller, HttpCall, Question

HEAD = """module m
token user { issuer "https://id.example" claim sub: string claim at: time factor login at token.at }
token partner { issuer "https://partner.example" claim sub: string claim at: time factor login at token.at }
token robot { issuer "https://robots.example" claim name: string }
roles for user from none { role viewer role editor includes viewer }
roles for partner from none { role agent }
relation holds (who: string, role: role)
relation since (at: time, role: role)
relation both (who: string, one: role, other: role)
condition seen (who: string, what: role) = holds(who, what)
condition viewing (who: string) = holds(who, viewer)
condition nested (who: string) = token is user and viewing(who)
service s { audience "s" host "s.example" endpoint one GET /{who} }
"""

REFUSED = {
    "another kind's claim": ("for any partner", "when holds(token.sub, viewer)"),
    "a claim of all kinds of a rule": ("for any user, any partner", "when holds(token.sub, viewer)"),
    "a claim in a condition": ("for any partner", "when viewing(token.sub)"),
    "a claim and a role that a condition is given": ("for any partner", "when seen(token.sub, editor)"),
    "negated": ("for any user, any partner", "when not holds(token.sub, viewer)"),
    "behind `unless`": ("for any partner", "unless holds(token.sub, viewer)"),
    "behind an `or` that does not narrow": (
        "for any user, any partner",
        "when token is user or holds(token.sub, viewer)",
    ),
    "in a need": ("for any partner", 'needs holds(token.sub, viewer) else challenge "c"'),
    "arithmetic with a claim": ("for any partner", "when since(token.at + 1h, viewer)"),
    "roles of two kinds": ("for any user", "when both(token.sub, viewer, agent)"),
    "a kind that says it by another name": ("for any robot", "when holds(token.name, viewer)"),
}
TAKEN = {
    "a claim of the kind whose role it is": ("for any user", "when holds(token.sub, viewer)"),
    "each kind its own": ("for any partner", "when holds(token.sub, agent)"),
    "narrowed by the kind": ("for any user, any partner", "when token is user and holds(token.sub, viewer)"),
    "narrowed by a clause": ("for any user, any partner", "when token is user when holds(token.sub, viewer)"),
    "narrowed by a role": ("for any user, any partner", "when not token is partner and holds(token.sub, viewer)"),
    "narrowed in a condition": ("for any user, any partner", "when nested(token.sub)"),
    "each in its own branch": (
        "for any user, any partner",
        "when token is user and holds(token.sub, viewer) or token is partner and holds(token.sub, agent)",
    ),
    "somebody whom the call names": ("for any partner", "when holds(path.who, viewer)"),
    "somebody whom the policy names": ("for anyone", 'when holds("ann", viewer)'),
    "an instant that nobody says": ("for any partner", "when since(now, viewer)"),
}


def errors(who: str, condition: str) -> list[str]:
    effect = "require" if condition.startswith("needs") else "deny"
    try:
        compile_policy({"m.pol": f'{HEAD}{effect} r {who} on s {condition} because "-"'.encode()})
    except CompileError as error:
        return [each.code for each in error.diagnostics]
    return []


@pytest.mark.parametrize("case", REFUSED)
def test_a_role_of_another_kind_is_refused(case: str) -> None:
    assert errors(*REFUSED[case]) == ["E312"]


@pytest.mark.parametrize("case", TAKEN)
def test_a_role_of_the_own_kind_or_of_somebody_else_is_taken(case: str) -> None:
    assert errors(*TAKEN[case]) == []


def test_a_mistake_of_two_kinds_is_told_once() -> None:
    assert errors("for any user, any partner, any robot", "when holds(token.aud, viewer)") == ["E301"]
    assert errors("for any partner", "when holds(token.sub, viewer) when holds(token.sub, editor)") == ["E312", "E312"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("call", ["seen(token.sub, viewer)", "viewing(token.sub)", "nested(token.sub)"])
def test_what_a_condition_came_to_for_one_kind_is_not_what_it_comes_to_for_another(call: str, order: int) -> None:
    """Two rules call one condition with the same arguments, each for a kind of its own."""
    rules = [f'deny of_{kind} for any {kind} on s when {call} because "-"\n' for kind in ("user", "partner")]
    found: list[str] = []
    try:
        compile_policy({"m.pol": (HEAD + "".join(rules[::order])).encode()})
    except CompileError as error:
        found = [each.code for each in error.diagnostics if each.severity == "error"]
    assert found == ([] if call.startswith("nested") else ["E312"])


@pytest.mark.parametrize(("kind", "outcome"), [("user", "allow"), ("partner", "deny")])
def test_the_row_of_a_user_is_not_that_of_a_partner_of_the_same_name(kind: str, outcome: str) -> None:
    rule = 'allow r for any user, any partner on s when token is user and holds(token.sub, viewer) because "-"'
    program = compile_policy({"m.pol": f"{HEAD}{rule}".encode()}).program
    path = canonical_path("/x")
    assert isinstance(path, Path)
    asked = Question(
        service="s",
        call=HttpCall("GET", path, "s.example"),
        caller=Caller(kind, {"sub": "u1", "at": 0, "aud": "s"}),
        now_ms=0,
        facts={"m.holds": frozenset({("u1", "editor")}), "m.since": frozenset(), "m.both": frozenset()},
    )
    assert decide(program, asked).outcome == outcome

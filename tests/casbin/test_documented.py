"""Single questions whose answers Casbin's documentation gives or implies, and the traps that strict refuses.

Each table is keyed by the sentence that stands for the case. Every answer is asked of Casbin too, so that no row of a
table is a belief; where Casbin answers otherwise than its documents say, the case says what it answers.
Source: Casbin's documentation, "Functions", "RBAC with Domains", "Priority Model"; language.md 6.6.
"""

from __future__ import annotations

from random import Random
from typing import Literal

import pytest
from msgspec import Struct

from policy_lang.casbin.program import compile_casbin
from policy_lang.diagnostics import CompileError
from tests.casbin.kind import (
    ALLOW_AND_DENY,
    BY_ROLE,
    DENY_OVERRIDE,
    PRIORITY,
    SAME,
    SUBJECT_PRIORITY,
    Request,
    Settings,
    Trial,
    model,
)
from tests.casbin.oracle import Answer, LoadError, Oracle

FUNCTIONS: dict[str, tuple[str, str, str, bool]] = {
    "keyMatch: a star takes the rest, slashes too": ("keyMatch", "/foo/bar/baz", "/foo/*", True),
    "keyMatch: a star takes nothing, too": ("keyMatch", "/foo/", "/foo/*", True),
    "keyMatch: without a star the names are equal": ("keyMatch", "/foo/", "/foo", False),
    "keyMatch: the slash before the star is needed": ("keyMatch", "/foo", "/foo/*", False),
    "keyMatch: a colon is itself": ("keyMatch", "/resource1", "/:resource", False),
    "keyMatch2: a name in the pattern is one segment": ("keyMatch2", "/resource1", "/:resource", True),
    "keyMatch2: a segment is not empty": ("keyMatch2", "/", "/:resource", False),
    "keyMatch2: a segment ends at a slash": ("keyMatch2", "/a/b", "/:resource", False),
    "keyMatch2: a star after a slash takes the rest": ("keyMatch2", "/foo/bar/x", "/foo/*", True),
    "keyMatch2: a star alone takes all": ("keyMatch2", "anything", "*", True),
    "keyMatch2: braces are no placeholder": ("keyMatch2", "/resource1", "/{resource}", False),
    "keyMatch3: a name in braces is one segment": ("keyMatch3", "/project/p1/x", "/project/{name}/x", True),
    "keyMatch3: braces next to letters": ("keyMatch3", "/proxy/a_b", "/proxy/{x}_b", True),
    "keyMatch3: a colon is itself": ("keyMatch3", "/resource1", "/:resource", False),
    "keyMatch4: equal names take equal values": ("keyMatch4", "/p/123/c/123", "/p/{id}/c/{id}", True),
    "keyMatch4: equal names refuse other values": ("keyMatch4", "/p/123/c/456", "/p/{id}/c/{id}", False),
    "keyMatch4: other names take other values": ("keyMatch4", "/p/123/c/456", "/p/{id}/c/{other}", True),
    "keyMatch5: the query is left out": ("keyMatch5", "/foo/bar?status=1&type=2", "/foo/bar", True),
    "keyMatch5: a star takes the rest before the query": ("keyMatch5", "/parent/child1?status=1", "/parent/*", True),
    "keyMatch5: braces are one segment": ("keyMatch5", "/foo/a?x=1", "/foo/{id}", True),
    "keyMatch5: braces are not two segments": ("keyMatch5", "/foo/a/b", "/foo/{id}", False),
    "globMatch: a star stays in its segment": ("globMatch", "/foo/bar/baz", "/foo/*", False),
    "globMatch: a star takes a segment": ("globMatch", "/foo/bar", "/foo/*", True),
    "globMatch: two stars take any number of segments": ("globMatch", "/foo/bar/baz", "/foo/**", True),
    "globMatch: a star does not take a name that begins with a dot": ("globMatch", "/foo/.hidden", "/foo/*", False),
    "regexMatch: the pattern is met from the start": ("regexMatch", "/topic/create/123", "/topic/create", True),
    "regexMatch: the pattern need not stand at the end": ("regexMatch", "GETX", "GET", True),
    "regexMatch: the pattern is not searched for": ("regexMatch", "/x/topic", "/topic", False),
    "ipMatch: an address in a network": ("ipMatch", "192.168.2.123", "192.168.2.0/24", True),
    "ipMatch: an address outside a network": ("ipMatch", "192.168.3.123", "192.168.2.0/24", False),
    "ipMatch: one address": ("ipMatch", "10.0.0.1", "10.0.0.1", True),
    "ipMatch: an address of the other family": ("ipMatch", "::1", "10.0.0.0/8", False),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_function_of_casbin_says_what_is_documented(case: str) -> None:
    function, name, pattern, holds = FUNCTIONS[case]
    text = model(f"{function}(r.obj, p.obj)", request="obj", policy="obj")
    trial = Trial(text, (f"p, {pattern}",), lambda _: (name,))
    assert Oracle.of(trial, Settings()).answer((name,)) == _said(holds)
    for mode in _modes(trial):
        assert compile_casbin(text, trial.policy, mode=mode).enforce(name) is holds, mode


class Documented(Struct, frozen=True):
    model: str
    lines: tuple[str, ...]
    request: Request
    allowed: bool


DENIED_ROLE = model(BY_ROLE, policy="sub, obj, act, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _"})
RANKED = model(BY_ROLE, policy="priority, sub, obj, act, eft", effect=PRIORITY, roles={"g": "_, _"})
ORDERED = model(SAME, policy="sub, obj, act, eft", effect=PRIORITY)
BY_SUBJECT = model(BY_ROLE, policy="sub, obj, act, eft", effect=SUBJECT_PRIORITY, roles={"g": "_, _"})
TENANTS = model(
    "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj",
    request="sub, dom, obj",
    policy="sub, dom, obj",
    roles={"g": "_, _, _"},
)
ROLES = model(BY_ROLE, roles={"g": "_, _"})

QUESTIONS: dict[str, Documented] = {
    "a row allows what it names": Documented(model(SAME), ("p, alice, data1, read",), ("alice", "data1", "read"), True),
    "a row allows nothing else": Documented(
        model(SAME), ("p, alice, data1, read",), ("alice", "data1", "write"), False
    ),
    "names are compared with their case": Documented(
        model(SAME), ("p, alice, data1, read",), ("Alice", "data1", "read"), False
    ),
    "a role of a role is held": Documented(
        ROLES, ("p, admin, data1, read", "g, alice, lead", "g, lead, admin"), ("alice", "data1", "read"), True
    ),
    "a role does not hold its members' rows": Documented(
        ROLES, ("p, alice, data1, read", "g, alice, admin"), ("admin", "data1", "read"), False
    ),
    "roles that name each other end": Documented(
        ROLES, ("p, admin, data1, read", "g, a, b", "g, b, a"), ("a", "data1", "read"), False
    ),
    "a name nobody knows has itself": Documented(
        ROLES, ("p, stranger, data1, read", "g, alice, admin"), ("stranger", "data1", "read"), True
    ),
    "nine links are followed": Documented(
        ROLES, ("p, n9, data1, read", *(f"g, n{n}, n{n + 1}" for n in range(9))), ("n0", "data1", "read"), True
    ),
    "a role counts in its tenant": Documented(
        TENANTS, ("p, admin, acme, data1", "g, alice, admin, acme"), ("alice", "acme", "data1"), True
    ),
    "a role does not count in another tenant": Documented(
        TENANTS, ("p, admin, globex, data1", "g, alice, admin, acme"), ("alice", "globex", "data1"), False
    ),
    "a deny beats an allow that stands before it": Documented(
        DENIED_ROLE,
        ("p, admin, data1, read, allow", "p, alice, data1, read, deny", "g, alice, admin"),
        ("alice", "data1", "read"),
        False,
    ),
    "without a deny the allow holds": Documented(
        DENIED_ROLE,
        ("p, admin, data1, read, allow", "p, bob, data1, read, deny", "g, alice, admin"),
        ("alice", "data1", "read"),
        True,
    ),
    "by order the first row decides, an allow": Documented(
        ORDERED, ("p, a, d, read, allow", "p, a, d, read, deny"), ("a", "d", "read"), True
    ),
    "by order the first row decides, a deny": Documented(
        ORDERED, ("p, a, d, read, deny", "p, a, d, read, allow"), ("a", "d", "read"), False
    ),
    "the smaller priority decides": Documented(
        RANKED, ("p, 10, a, d, read, allow", "p, 9, a, d, read, deny"), ("a", "d", "read"), False
    ),
    "of equal priorities the first row decides": Documented(
        RANKED, ("p, 1, a, d, read, allow", "p, 1, a, d, read, deny"), ("a", "d", "read"), True
    ),
    "a user's row beats its role's": Documented(
        BY_SUBJECT,
        ("p, root, data1, read, deny", "p, admin, data1, read, deny", "p, alice, data1, read, allow",
         "g, admin, root", "g, alice, admin"),
        ("alice", "data1", "read"),
        True,
    ),
    "a role's row beats the role's above it": Documented(
        BY_SUBJECT,
        ("p, root, data1, read, allow", "p, admin, data1, read, deny", "g, admin, root", "g, alice, admin"),
        ("alice", "data1", "read"),
        False,
    ),
    "an owner may, by an attribute of an object": Documented(
        model("r.sub == r.obj.Owner", policy="act"), ("p, read",), ("alice", {"Owner": "alice"}, "read"), True
    ),
    "a rule of the policy is asked": Documented(
        model("eval(p.rule) && r.act == p.act", policy="rule, act"),
        ("p, r.sub.Age > 18 && r.sub.Age < 60, read",),
        ({"Age": 30}, "data1", "read"),
        True,
    ),
    "a rule of the policy refuses": Documented(
        model("eval(p.rule) && r.act == p.act", policy="rule, act"),
        ("p, r.sub.Age > 18 && r.sub.Age < 60, read",),
        ({"Age": 60}, "data1", "read"),
        False,
    ),
    "a comma in parentheses does not part columns": Documented(
        model("eval(p.rule) && r.act == p.act", policy="rule, act"),
        ("p, r.sub.Level in (3, 4), read",),
        ({"Level": 4}, "data1", "read"),
        True,
    ),
    "a line that begins with # is no row": Documented(
        model(SAME), ("# p, alice, data1, read", "p, bob, data1, read"), ("alice", "data1", "read"), False
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", QUESTIONS)
def test_a_documented_question_has_its_answer(case: str) -> None:
    asked = QUESTIONS[case]
    trial = Trial(asked.model, asked.lines, lambda _: asked.request)
    assert Oracle.of(trial, Settings()).answer(asked.request) == _said(asked.allowed)
    for mode in ("strict", "compat"):
        program = compile_casbin(asked.model, trial.policy, mode=mode)
        assert program.enforce(*asked.request) is asked.allowed, mode


class Trap(Struct, frozen=True):
    """Strict refuses with `code`. `theirs` is Casbin's answer; "unloadable" where it does not load. `compat` is ours,
    None where compat refuses too.
    """

    model: str
    lines: tuple[str, ...]
    request: Request
    code: str
    theirs: Answer | Literal["unloadable"]
    compat: bool | None


PLAIN_ROW = ("p, alice, data1, read",)
PLAIN = ("alice", "data1", "read")

TRAPS: dict[str, Trap] = {
    "deny override allows what no row names": Trap(
        model(SAME, policy="sub, obj, act, eft", effect=DENY_OVERRIDE),
        ("p, alice, data1, read, deny",), ("bob", "data1", "read"), "E606", "yes", True,
    ),
    "an effect that is spelt otherwise is no effect": Trap(
        model(SAME, policy="sub, obj, act, eft"),
        ("p, alice, data1, read, Allow",), PLAIN, "E607", "no", False,
    ),
    "a deny that is spelt otherwise is no deny": Trap(
        model(SAME, policy="sub, obj, act, eft", effect=ALLOW_AND_DENY),
        ("p, alice, data1, read, allow", "p, alice, data1, read, Deny"), PLAIN, "E607", "yes", True,
    ),
    "an unknown effect expression is not asked": Trap(
        model(SAME, effect="some(where (p.eft == deny))"), PLAIN_ROW, PLAIN, "E618", "unloadable", None,
    ),
    "an unknown function is not asked": Trap(
        model("fuzzy(r.sub, p.sub)"), PLAIN_ROW, PLAIN, "E604", "raised", None,
    ),
    "an unknown parameter is not asked": Trap(
        model("r.subject == p.sub"), PLAIN_ROW, PLAIN, "E605", "raised", None,
    ),
    "a hash in a string cuts the matcher": Trap(
        model("r.sub == p.sub # && r.obj == p.obj"), PLAIN_ROW, ("alice", "data2", "read"), "E611", "yes", True,
    ),
    "two ampersands in a string are rewritten": Trap(
        model("r.sub == 'a&&b'"), PLAIN_ROW, ("aandb", "data1", "read"), "E611", "yes", True,
    ),
    "in on a column looks for a part": Trap(
        model("r.sub in p.sub"), PLAIN_ROW, ("ali", "data1", "read"), "E612", "yes", True,
    ),
    "the empty name is in every name": Trap(
        model("r.sub in p.sub"), PLAIN_ROW, ("", "data1", "read"), "E612", "yes", True,
    ),
    "a row of a type that the model does not define is dropped": Trap(
        model(SAME), ("p9, alice, data1, read", *PLAIN_ROW), PLAIN, "E614", "yes", True,
    ),
    "quotes are part of the value": Trap(
        model(SAME), ('p, "alice", data1, read',), PLAIN, "E615", "no", False,
    ),
    "a matcher that is a string is no truth": Trap(
        model("p.sub"), PLAIN_ROW, PLAIN, "E616", "raised", None,
    ),
    "a row with too few columns": Trap(
        model(SAME), ("p, alice, data1",), PLAIN, "E617", "raised", None,
    ),
    "a row with too many columns": Trap(
        model(SAME), ("p, alice, data1, read, allow",), PLAIN, "E617", "raised", None,
    ),
    "an exclamation mark before a comparison has two readings": Trap(
        model("!r.sub == p.sub"), PLAIN_ROW, ("bob", "data1", "read"), "E619", "yes", True,
    ),
    "a pattern of the request is free text": Trap(
        model("regexMatch(p.obj, r.obj)"), PLAIN_ROW, ("bob", "data.", "read"), "E620", "yes", True,
    ),
    "times are of no zone": Trap(
        model("timeMatch(p.start, p.end)", policy="start, end"),
        ("p, _, 2999-01-01 00:00:00",), PLAIN, "E621", "yes", True,
    ),
    "roles in a circle have no order": Trap(
        BY_SUBJECT, ("p, a, d, read, allow", "g, a, b", "g, b, a"), ("a", "d", "read"), "E623", "unloadable", None,
    ),
    "a dot of keyMatch2 is any character": Trap(
        model("keyMatch2(r.obj, p.obj)"), ("p, alice, /v1.0/:id, read",), ("a", "/v1a0/x", "read"), "E610", "yes", True,
    ),
    "a star alone has no meaning for keyMatch3": Trap(
        model("keyMatch3(r.obj, p.obj)"), ("p, alice, *, read",), ("a", "/x", "read"), "E610", "raised", False,
    ),
    "roles without conditions beside others with them are names only": Trap(
        model(BY_ROLE, roles={"g": "_, _", "g2": "_, _, (_, _)"}),
        ("p, admin, data1, read", "g, alice, admin"), PLAIN, "E609", "no", False,
    ),
    "constraints are not enforced": Trap(
        f'{ROLES}\n[constraint_definition]\nc = sod("a", "b")\n',
        PLAIN_ROW, PLAIN, "E613", "yes", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TRAPS)
def test_strict_refuses_a_trap_and_compat_answers_as_casbin(case: str) -> None:
    trap = TRAPS[case]
    trial = Trial(trap.model, trap.lines, lambda _: trap.request)
    assert _theirs(trial) == trap.theirs
    assert _errors(trial, "strict") == {trap.code}
    if trap.compat is None:
        assert _errors(trial, "compat") == {trap.code}
        return
    program = compile_casbin(trap.model, trial.policy, mode="compat")
    assert program.enforce(*trap.request) is trap.compat
    assert f"W{trap.code[1:]}" in {warning.code for warning in program.diagnostics}


def test_operators_without_blanks_are_for_strict() -> None:
    """Casbin for Python makes a word `actorr` of it, and says no where it does not come to that."""
    trial = Trial(model(f"{SAME}||r.sub == 'root'"), PLAIN_ROW, lambda _: ("root", "data1", "read"))
    assert _theirs(trial) == "no"
    assert _errors(trial, "compat") == {"E603"}
    assert compile_casbin(trial.model, trial.policy).enforce("root", "data1", "read")


def _said(allowed: bool) -> Answer:
    return "yes" if allowed else "no"


def _theirs(trial: Trial) -> Answer | Literal["unloadable"]:
    try:
        return Oracle.of(trial, Settings()).answer(trial.ask(Random()))
    except LoadError:
        return "unloadable"


def _modes(trial: Trial) -> tuple[Literal["strict", "compat"], ...]:
    """Compat, and strict where it takes the pattern."""
    return ("compat",) if _errors(trial, "strict") == {"E610"} else ("compat", "strict")


def _errors(trial: Trial, mode: Literal["strict", "compat"]) -> set[str]:
    try:
        compile_casbin(trial.model, trial.policy, mode=mode)
    except CompileError as refused:
        return {each.code for each in refused.diagnostics if each.severity == "error"}
    return set()

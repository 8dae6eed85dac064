"""The bad input of Casbin models and policies, by name: a diagnostic with its file and line, or the right answer.

Whatever comes in, nothing raises but `CompileError`, nothing is half loaded, and nothing is allowed that no row allows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from msgspec import Struct

from policy_lang.casbin import CasbinProgram, compile_casbin
from policy_lang.diagnostics import CompileError, Diagnostic, render
from policy_lang.ir.tables import FunctionName, Mode
from policy_lang.source import Source

R, P, G = "[request_definition]\nr = sub, obj, act\n", "[policy_definition]\np = sub, obj, act\n", "g = _, _\n"
E = "[policy_effect]\ne = some(where (p.eft == allow))\n"
M = "[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"
MODEL = R + P + E + M
ROLES = R + P + "[role_definition]\n" + G + E + M.replace("r.sub == p.sub", "g(r.sub, p.sub)")
VOTES = MODEL.replace("p = sub, obj, act", "p = sub, obj, act, eft")
DENIES = VOTES.replace(" == allow))", " == allow)) && !some(where (p.eft == deny))")
SUBJECTS = ROLES.replace("p = sub, obj, act", "p = sub, obj, act, eft").replace(
    "some(where (p.eft == allow))", "subjectPriority(p.eft) || deny"
)
RULES = MODEL.replace("p = sub, obj, act", "p = sub, obj, rule").replace("r.act == p.act", "eval(p.rule)")
ROW = "p, alice, /data, read\n"
ASKED = ("alice", "/data", "read")
DEEP = "(" * 10_000 + "true" + ")" * 10_000
LONG = "x" * 2**20


def matched_by(matcher: str) -> str:
    return MODEL.replace("r.sub == p.sub", matcher)


# ---------------------------------------------------------------- refused


class Bad(Struct, frozen=True):
    """`strict` and `compat`: what is refused or warned of in each mode, as CODE and place; nothing in `request` is
    allowed where a program comes out.
    """

    model: str
    policy: str
    strict: Sequence[str]
    compat: Sequence[str] | None = None
    requests: Sequence[tuple[object, ...]] = (ASKED, ("", "", ""), (None, None, None))


REFUSED: dict[str, Bad] = {
    "an empty model": Bad("", ROW, ["E602 model.conf:1"] * 4),
    "a model of blanks": Bad(" \n\t\n", ROW, ["E602 model.conf:1"] * 4),
    "no request definition": Bad(P + E + M, ROW, ["E602 model.conf:1"]),
    "no policy definition": Bad(R + E + M, ROW, ["E602 model.conf:1"]),
    "no effect": Bad(R + P + M, ROW, ["E602 model.conf:1"]),
    "no matcher": Bad(R + P + E, ROW, ["E602 model.conf:1"]),
    "no role definition": Bad(MODEL.replace("r.sub == p.sub", "g(r.sub, p.sub)"), ROW, ["E604 model.conf:8"]),
    "a section without its definition": Bad(R + "[policy_definition]\n" + E + M, ROW, ["E602 model.conf:3"]),
    "an unknown function": Bad(matched_by("sameAs(r.sub, p.sub)"), ROW, ["E604 model.conf:8"]),
    "a row with too few columns": Bad(MODEL, "p, bob, /data, read\np, alice, /data\n", ["E617 policy.csv:2"]),
    "a row with too many columns": Bad(MODEL, "p, alice, /data, read, allow\n", ["E617 policy.csv:1"]),
    "a link with too few": Bad(ROLES, "g, alice\n", ["E617 policy.csv:1"]),
    "an effect spelt Deny": Bad(
        DENIES, "\np, alice, /data, read, Deny\n", ["E607 policy.csv:2"], ["W607 policy.csv:2"]
    ),
    "a role cycle under subject priority": Bad(
        SUBJECTS, "p, a, /data, read, allow\ng, a, b\ng, b, a\n", ["E623 policy.csv:2"]
    ),
    "a quoted value": Bad(MODEL, 'p, "alice", /data, read\n', ["E615 policy.csv:1"], ["W615 policy.csv:1"]),
    "a comma in a quoted value": Bad(
        MODEL, 'p, alice, "/data,read"\n', ["E615 policy.csv:1"], ["W615 policy.csv:1"]
    ),
    "a comma in a value": Bad(MODEL, "p, alice, /data,x, read\n", ["E617 policy.csv:1"]),
    "a bracket that is never closed": Bad(
        MODEL, "p, alice, /data(, read\n", ["E602 policy.csv:1"], ["E617 policy.csv:1", "W602 policy.csv:1"]
    ),
    "a # in a string": Bad(matched_by("r.sub == '#'"), ROW, ["E611 model.conf:8"]),
    "an && in a string": Bad(matched_by("r.sub == '&&'"), ROW, ["E611 model.conf:8"], ["W611 model.conf:8"]),
    "a ! in a string": Bad(matched_by("r.sub == '!'"), ROW, ["E611 model.conf:8"], ["W611 model.conf:8"]),
    "a NUL in the model": Bad(MODEL + "\0", ROW, ["E602 model.conf:9"]),
    "a NUL in the policy": Bad(MODEL, ROW.replace("alice", "al\0ice"), ["E602 policy.csv:1"], ["W602 policy.csv:1"]),
    "a NUL in a comment of the policy": Bad(
        MODEL, "# \0\np, bob, /data, read\n", ["E602 policy.csv:1"], ["W602 policy.csv:1"]
    ),
    "a CR alone": Bad(MODEL, "p, bob, /data, re\rad\n", ["E602 policy.csv:1"], ["W602 policy.csv:1"]),
    "a row of no type": Bad(MODEL, ", alice, /data, read\n", ["E602 policy.csv:1"]),
    "a row of an unknown type": Bad(MODEL, "\n\nq, alice, /data, read\n", ["E614 policy.csv:3"], ["W614 policy.csv:3"]),
    "half a character in the model": Bad(matched_by("r.sub\ud800 == p.sub"), ROW, ["E603 model.conf:8"]),
    "10,000 parentheses in the matcher": Bad(matched_by(DEEP), ROW, ["E603 model.conf:8"]),
    "10,000 parentheses in a row": Bad(RULES, f"p, alice, /data, {DEEP}\n", ["E603 policy.csv:1"]),
    "10,000 parentheses that never close": Bad(
        RULES, f"p, alice, /data, {'(' * 10_000}\n", ["E602 policy.csv:1"], ["E603 policy.csv:1", "W602 policy.csv:1"]
    ),
    "10,000 signs of negation": Bad(matched_by("!" * 10_000 + "true"), ROW, ["E603 model.conf:8"]),
    "a literal of 1 MiB in the model": Bad(matched_by(f"r.sub == '{LONG}'"), ROW, ["E602 model.conf:1"]),
    "a pattern of 1 MiB": Bad(
        matched_by("keyMatch2(r.sub, p.sub)"), f"p, /{LONG}.:id, /data, read\n", ["E610 policy.csv:1"],
        ["W610 policy.csv:1"],
    ),
    "a policy that is a model": Bad(
        MODEL, MODEL, [f"E614 policy.csv:{line}" for line in range(1, 9)],
        [f"W614 policy.csv:{line}" for line in range(1, 9)],
    ),
    "a model that is a policy": Bad(ROW, MODEL, ["E602 model.conf:1"] * 5),
}  # fmt: skip


def compiled(model: str, policy: str, mode: Mode) -> CasbinProgram | tuple[Diagnostic, ...]:
    try:
        return compile_casbin(model, policy, mode=mode)
    except CompileError as refused:
        return refused.diagnostics


def places(said: Sequence[Diagnostic], model: str, policy: str) -> list[str]:
    """What is said, by code, file and line. All of it can be shown."""
    sources = {"model.conf": Source("model.conf", model), "policy.csv": Source("policy.csv", policy)}
    assert not said or render(said, sources).encode("utf-8", "replace")
    return [f"{each.code} {each.span.source}:{sources[each.span.source].position(each.span.start).line}"
            for each in said]  # fmt: skip


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name_and_place(case: str, mode: Mode) -> None:
    bad = REFUSED[case]
    program = compiled(bad.model, bad.policy, mode)
    said = program.diagnostics if isinstance(program, CasbinProgram) else program
    want = bad.strict if mode == "strict" or bad.compat is None else bad.compat
    assert sorted(places(said, bad.model, bad.policy)) == sorted(want)
    if isinstance(program, CasbinProgram):
        assert mode == "compat"
        assert program.batch_enforce(bad.requests) == [False] * len(bad.requests)


# ---------------------------------------------------------------- the right answer


class Fine(Struct, frozen=True):
    """`yes` and `no` are requests; `said` are codes of warnings."""

    model: str
    policy: str
    yes: Sequence[tuple[object, ...]] = ()
    no: Sequence[tuple[object, ...]] = (("bob", "/data", "read"), ("", "", ""))
    said: Sequence[str] = ()


CYCLE = "p, admin, /data, read\ng, alice, admin\ng, admin, staff\ng, staff, admin\ng, admin, admin\n"
ANSWERED: dict[str, Fine] = {
    "an empty policy": Fine(MODEL, "", no=(ASKED, ("", "", ""))),
    "a policy of blanks and comments": Fine(MODEL, " \n# p, alice, /data, read\n\t", no=(ASKED, ("", "", ""))),
    "an empty policy with a matcher that asks no row": Fine(
        MODEL.replace("m = ", 'm = r.sub == "alice" || '), "", no=(ASKED,), said=["W626"]
    ),
    "links and no rows": Fine(ROLES, "g, alice, admin\n", no=(ASKED, ("admin", "", ""))),
    "a role cycle": Fine(ROLES, CYCLE, yes=(ASKED, ("staff", "/data", "read"))),
    "a byte order mark before the model": Fine("\ufeff" + MODEL, ROW, yes=(ASKED,)),
    "a byte order mark before the policy": Fine(MODEL, "\ufeff" + ROW, yes=(ASKED,), said=["W602"]),
    "CRLF in both": Fine(MODEL.replace("\n", "\r\n"), ROW.replace("\n", "\r\n"), yes=(ASKED,)),
    "no line end at the end": Fine(MODEL.strip(), ROW.strip(), yes=(ASKED,)),
    "a comma within brackets": Fine(
        MODEL, "p, alice, f(a, b), read\n", yes=(("alice", "f(a, b)", "read"),), no=(ASKED,)
    ),
    "an apostrophe in a value": Fine(MODEL, "p, o'hara, /data, read\n", yes=(("o'hara", "/data", "read"),)),
    "operators in a value": Fine(MODEL, "p, a && b, #x, ||\n", yes=(("a && b", "#x", "||"),)),
    "half a character in a value": Fine(MODEL, ROW.replace("alice", "\ud800"), yes=(("\ud800", "/data", "read"),)),
    "a value of 1 MiB": Fine(
        MODEL, f"p, {LONG}, /data, read\n", yes=((LONG, "/data", "read"),), no=((LONG[1:], "/data", "read"),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize("case", ANSWERED)
def test_odd_input_is_answered_rightly(case: str, mode: Mode) -> None:
    fine = ANSWERED[case]
    program = compile_casbin(fine.model, fine.policy, mode=mode)
    assert [each.code for each in program.diagnostics] == list(fine.said)
    assert program.batch_enforce(fine.yes) == [True] * len(fine.yes)
    assert program.batch_enforce(fine.no) == [False] * len(fine.no)


# ---------------------------------------------------------------- time and size

STARS = "/*/*/*/*/*/*/x"
SLASHES = ("/" * 4_000, "/" * 4_000 + "x\n", "/a" * 2_000)
STARRED: dict[FunctionName, str] = {
    "keyMatch": STARS, "keyMatch2": STARS, "keyMatch3": STARS, "keyMatch4": STARS, "keyMatch5": STARS,
    "globMatch": STARS, "regexMatch": "/.*/.*/.*/.*/.*/.*/x$",
}  # fmt: skip


@pytest.mark.parametrize("function", STARRED)
@pytest.mark.parametrize("asked", ["a row", "the request", "a role"])
def test_stars_against_4000_slashes_are_answered_within_5_ms(function: FunctionName, asked: str) -> None:
    pattern = STARRED[function]
    if asked == "a role":
        text, policy = ROLES, f"p, admin, /data, read\ng, {pattern}, admin\n"
        program = compile_casbin(text, policy, mode="compat", matching={"g": function})
        requests = [(name, "/data", "read") for name in SLASHES]
    elif asked == "a row":
        program = compile_casbin(matched_by(f"{function}(r.sub, p.sub)"), f"p, {pattern}, /data, read\n", mode="compat")
        requests = [(name, "/data", "read") for name in SLASHES]
    else:
        program = compile_casbin(matched_by(f"{function}(r.sub, r.act)"), "p, x, /data, read\n", mode="compat")
        requests = [(name, "/data", pattern) for name in SLASHES]
    for request in requests:
        taken = []
        for _ in range(3):
            begun = time.process_time()
            program.enforce(*request)
            taken.append(time.process_time() - begun)
        assert min(taken) < 0.005


def test_a_large_policy_is_compiled_and_answers() -> None:
    """4 MB: 80,000 rows and as many different paths."""
    count = 80_000
    lines = [f"p, role{number % 1000}, /tenants/{number % 97}/accounts/{number}/:part, read" for number in range(count)]
    policy = "\n".join([*lines, *(f"g, user{number}, role{number}" for number in range(1000))])
    assert len(policy) > 4_000_000
    begun = time.process_time()
    program = compile_casbin(ROLES.replace("r.obj == p.obj", "keyMatch2(r.obj, p.obj)"), policy)
    assert time.process_time() - begun < 60  # a guard against what grows with the square
    assert program.enforce("user7", "/tenants/7/accounts/7/owner", "read")
    assert not program.enforce("user8", "/tenants/7/accounts/7/owner", "read")


@pytest.mark.parametrize("line", ["p, alice, /data, read\n", "nothing of this is a row\n", "x" * 1023 + "\n"])
def test_a_policy_of_more_than_64_mib_is_refused_at_once(line: str) -> None:
    policy = line * (2**26 // len(line) + 1)
    begun = time.process_time()
    with pytest.raises(CompileError) as refused:
        compile_casbin(MODEL, policy)
    assert [each.code for each in refused.value.diagnostics] == ["E602"]
    assert time.process_time() - begun < 60  # a guard against what grows with the square


def test_a_policy_of_mistakes_is_refused_with_the_first_of_them() -> None:
    policy = "p, alice, /data\n" * (2**22 // 16)
    with pytest.raises(CompileError) as refused:
        compile_casbin(MODEL, policy)
    assert {each.code for each in refused.value.diagnostics} == {"E617", "E602"}
    assert "more problems" in refused.value.diagnostics[-1].message

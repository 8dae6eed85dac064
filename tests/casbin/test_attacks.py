"""Attempts to get one allow that a model's author did not mean, one exception, or work and memory without bounds.

Requests hold any objects, rows and names look like patterns, programs are changed again and again and asked by many
threads. Where there are two answers to compare, they are those of the plan, of the definition, and of a fresh compile
of the same texts. Everything is drawn from fixed seeds.
"""

from __future__ import annotations

import random
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, StrEnum
from functools import partial
from time import process_time

import pytest

from policy_lang.casbin.program import CasbinProgram, compile_casbin
from policy_lang.diagnostics import CompileError
from policy_lang.ir.tables import FunctionName, Mode
from policy_lang.meaning.tables import TableMeaning
from policy_lang.plan.tables import TablePlan
from tests.casbin.kind import ALLOW_AND_DENY, ALLOW_OVERRIDE, PRIORITY, Settings, Trial, model
from tests.casbin.oracle import LoadError, Oracle

NOON = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC."""

RBAC = model("g(r.sub, p.sub) && r.obj == p.obj", request="sub, obj", policy="sub, obj", roles={"g": "_, _"})
SECONDS = 20.0
"""Of the processor; what grows with the square takes minutes. A guard, no measurement."""


def noon() -> int:
    return NOON


# ---------------------------------------------------------------- objects that fight back


class Raising:
    """Whatever is done with it raises."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError

    def __bool__(self) -> bool:
        raise ValueError

    def __str__(self) -> str:
        raise ValueError

    def __getattr__(self, name: str) -> object:
        raise ValueError


class EqualToAll:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class EagerText(str):
    """A string that is equal to every other and begins with it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("admin")

    def startswith(self, *_: object) -> bool:
        return True

    def split(self, *_: object) -> list[str]:
        raise ValueError


class Granting(dict[str, object]):
    """A mapping that has everything."""

    def get(self, *_: object) -> object:
        return "admin"


class Refusing(dict[str, object]):
    def get(self, *_: object) -> object:
        raise ValueError


class OddKind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise ValueError

    def __subclasscheck__(cls, subclass: type) -> bool:
        raise ValueError

    def __getattr__(cls, name: str) -> object:
        raise ValueError


class OfOddKind(metaclass=OddKind):
    pass


class Word(StrEnum):
    ADMIN = "admin"


class Number(IntEnum):
    ONE = 1


@dataclass
class Person:
    name: str = "admin"
    age: int = 7


class Lazy:
    @property
    def name(self) -> str:
        raise SystemError

    age = "7"


NESTED: list[object] = []
NESTED.append(NESTED)

VALUES: tuple[object, ...] = (
    *("admin", "data", "/x/1", "/x/2\n", "10.1.2.3", "::ffff:10.1.2.3", "", "*", "/x/:id", "\ud800", "a\u0301", "\0"),
    *(1, 0, True, False, 1.0, -0.0, float("nan"), float("inf"), 10**400, None, b"admin", bytearray(b"admin")),
    *(["admin"], ("admin",), {"admin"}, frozenset({"admin"}), {"name": "admin", "age": 7}, range(3), NESTED),
    *(Raising(), EqualToAll(), EagerText("no"), Granting(), Refusing(), OfOddKind(), OfOddKind, Word.ADMIN, Number.ONE),
    *(Person(), Person, Lazy(), type, Decimal(7), memoryview(b"admin"), object(), len, [EqualToAll()], [float("nan")]),
)

CONDITIONS = (
    *("r.a == p.x", "p.y == r.b", "r.a != p.x", "g(r.a, p.x)", "g(p.x, r.a)", "g(r.a, r.b)", "g2(r.a, p.x, r.b)"),
    *("keyMatch(r.b, p.y)", "keyMatch2(r.b, p.y)", "keyMatch4(r.b, p.y)", "keyMatch5(r.b, p.y)", "r.a.age > 3"),
    *("regexMatch(r.b, p.y)", "globMatch(r.b, p.y)", "ipMatch(r.b, p.y)", "r.a in ('admin', 'q')", "p.x in r.a"),
    *("r.a.name == p.x", "g(r.a.name, p.x)", "r.a.age + 1 == 8", "r.a < p.x", "r.a == r.b", "r.a == 1", "r.a == true"),
    *("keyGet(r.b, p.y) == '1'", "eval(p.z)", "r.a + p.x == 'adminadmin'", "own(r.a, p.x)", "r.a % 2 == 1"),
)
XS = ("admin", "data", "", "*")
YS = ("/x/:id", "/x/*", "*", "10.0.0.0/8", "admin", "/x/1", "")
ZS = ("true", "r.a == 'admin'", "r.a == p.x", "g(r.a, p.x)", "r.a.age > 3")


def own(*arguments: object) -> object:
    if arguments[0] == "data":
        raise ValueError
    return arguments[-1] == "admin"


def drawn_condition(draw: random.Random, depth: int) -> str:
    if depth == 0 or draw.random() < 0.3:
        return draw.choice(CONDITIONS)
    parts = drawn_condition(draw, depth - 1), drawn_condition(draw, depth - 1)
    match draw.randrange(5):
        case 0:
            return f"!({parts[0]})"
        case 1 | 2:
            return f"({parts[0]} || {parts[1]})"
        case _:
            return f"({parts[0]} && {parts[1]})"


def drawn_programs(draw: random.Random, count: int) -> Iterator[CasbinProgram]:
    while count:
        text = model(
            drawn_condition(draw, 2),
            request="a, b",
            policy="x, y, z, eft",
            effect=draw.choice((ALLOW_OVERRIDE, ALLOW_AND_DENY, PRIORITY)),
            roles={"g": "_, _", "g2": "_, _, _"},
        )
        rows = [
            f"p, {draw.choice(XS)}, {draw.choice(YS)}, {draw.choice(ZS)}, {draw.choice(('allow', 'allow', 'deny'))}"
            for _ in range(draw.choice((1, 6, 24)))
        ]
        rows += [f"g, {draw.choice(XS)}, {draw.choice(XS)}" for _ in range(3)]
        rows += [f"g2, {draw.choice(XS)}, {draw.choice(XS)}, {draw.choice(YS)}" for _ in range(3)]
        try:
            mode: Mode = draw.choice(("strict", "compat"))
            yield compile_casbin(text, "\n".join(rows), mode=mode, functions={"own": own}, zone="UTC", clock=noon)
        except CompileError:
            continue
        count -= 1


@pytest.mark.parametrize("seed", range(4))
def test_no_object_makes_a_program_raise_or_answer_otherwise_than_its_definition(seed: int) -> None:
    draw = random.Random(f"objects {seed}")
    votes: set[str | None] = set()
    for program in drawn_programs(draw, 25):
        meaning = TableMeaning.of(program.table, {"own": own})
        plan = TablePlan.of(program.table, {"own": own})
        for _ in range(40):
            request = draw.choice(VALUES), draw.choice(VALUES)
            said = plan.said(request, now_ms=NOON)
            assert said == meaning.said(request, now_ms=NOON), (program.table.matcher, request)
            assert program.enforce(*request) is (said.vote == "allow")
            votes.add(said.vote)
    assert votes == {"allow", "deny", None}


NOT_ADMIN: dict[str, object] = {
    "equal to everything": EqualToAll(),
    "raises at everything": Raising(),
    "a string that is equal to everything": EagerText("mallory"),
    "a mapping that has everything": Granting(),
    "a list of the name": ["admin"],
    "bytes of the name": b"admin",
    "in capital letters": "ADMIN",
    "in full width": "\uff41\uff44\uff4d\uff49\uff4e",
    "with a combining mark": "admin\u0301",
    "with a mark that is not seen": "ad\u200bmin",
    "with a blank behind it": "admin ",
    "with a line break behind it": "admin\n",
    "with a null behind it": "admin\0",
    "an unpaired surrogate": "\ud800",
    "nothing": None,
    "an empty string": "",
    "a pattern": "*",
    "the class of strings": str,
}


@pytest.mark.parametrize("who", NOT_ADMIN.values(), ids=NOT_ADMIN.keys())
def test_who_is_not_admin_is_refused_in_strict(who: object) -> None:
    assert compile_casbin(RBAC, "p, admin, data\ng, root, admin\n").enforce("root", "data")
    assert not compile_casbin(RBAC, "p, admin, data\ng, root, admin\n").enforce(who, "data")


TWO_TYPES = {
    "a number is not true": ("r.sub == true", 1),
    "true is not a number": ("r.sub == 1", True),
    "true is not greater than nought": ("r.sub > 0", True),
}

UNLIKE = {
    "a number is not its text": ("r.sub == '1'", 1),
    "no number is the one that is none": ("r.sub == r.sub", float("nan")),
    "no number is endless": ("r.sub > 1", float("inf")),
    "nothing comes of dividing by nought": ("1 / r.sub > 0 || 1 / r.sub < 1", 0),
    "nothing comes of a fraction that is too great": ("r.sub * 1.5 > 0 || r.sub * 1.5 < 1", 10**400),
    "a missing part is not unequal": ("r.sub.name != 'bob'", {}),
    "a missing part is not outside a list": ("r.sub.name not in ('bob', 'eve')", {}),
    "a text has no parts": ("r.sub.name != 'bob'", "alice"),
}


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize(("matcher", "value"), UNLIKE.values(), ids=UNLIKE.keys())
def test_values_without_a_truth_grant_nothing(matcher: str, value: object, mode: Mode) -> None:
    text = model(f"({matcher}) && p.obj == 'x'", request="sub", policy="obj")
    assert not compile_casbin(text, "p, x\n", mode=mode).enforce(value)


@pytest.mark.parametrize(("matcher", "value"), TWO_TYPES.values(), ids=TWO_TYPES.keys())
def test_truths_are_no_numbers_in_strict(matcher: str, value: object) -> None:
    text = model(f"({matcher}) && p.obj == 'x'", request="sub", policy="obj")
    assert not compile_casbin(text, "p, x\n").enforce(value)


# ---------------------------------------------------------------- names


def test_a_name_that_looks_like_a_pattern_has_no_role_of_those_that_fit_it() -> None:
    program = compile_casbin(
        RBAC, "p, admin, data\ng, /team/:id, admin\ng, carol, admin\n", matching={"g": "keyMatch2"}
    )
    assert program.enforce("/team/7", "data")
    assert program.enforce("/team/:id", "data")
    for name in ("*", "/*", "/team*", "/:any/:id", "/team/", "/team/7/8", "/team/7\n8/", ":x", ".*", "car*"):
        assert not program.enforce(name, "data"), name


def test_a_domain_that_looks_like_a_pattern_or_is_empty_is_no_other_domain() -> None:
    text = model(
        "g(r.sub, p.sub, r.dom) && r.dom == p.dom",
        request="sub, dom",
        policy="sub, dom",
        roles={"g": "_, _, _"},
    )
    policy = "p, admin, one\np, admin, *\np, admin, \ng, eve, admin, two\ng, bob, admin, one\n"
    program = compile_casbin(text, policy, domain_matching={"g": "keyMatch"})
    assert program.enforce("bob", "one")
    for domain in ("*", "", "o*", "one\n", "ONE", " one", "one/", "two"):
        assert not program.enforce("bob", domain), domain


def test_a_time_that_no_clock_showed_is_no_hole_in_the_bounds_of_a_role() -> None:
    """In Berlin 2026-03-29 goes from 01:59:59 to 03:00:00."""
    text = model("g(r.sub, p.sub)", request="sub", policy="sub", roles={"g": "_, _, (_, _)"})
    policy = "p, admin\ng, alice, admin, 2026-03-29 02:10:00, 2026-03-29 02:50:00\n"
    start = 1_774_742_400_000  # 2026-03-29 00:00:00 UTC
    for minute in range(0, 180, 5):
        clock = partial(int, start + minute * 60_000)
        assert not compile_casbin(text, policy, zone="Europe/Berlin", clock=clock).enforce("alice")


# ---------------------------------------------------------------- work and memory


def timed(asked: Callable[[], object]) -> float:
    start = process_time()
    asked()
    return process_time() - start


PATTERNS = {
    "stars between slashes": ("keyMatch2", "/*/*/*/*/*/*/x", "/" * 100_000),
    "wildcards that share a name": ("keyMatch4", "/{a}/{b}/{a}", "/a/" + "b" * 100_000 + "/a"),
    "repetition of a repetition": ("regexMatch", "^(x+x+)+y$", "x" * 100_000),
    "repetition of what may be nothing": ("regexMatch", "(.?.?.?)*z", "a" * 50_000),
    "globs across segments": ("globMatch", "/**/a*b*c/**/x*y", "/" + "aabbcc/" * 10_000),
    "nothing but line breaks": ("keyMatch2", "/*", "/" + "\n" * 100_000),
}


@pytest.mark.parametrize(("function", "pattern", "name"), PATTERNS.values(), ids=PATTERNS.keys())
def test_no_name_makes_a_pattern_take_long(function: str, pattern: str, name: str) -> None:
    text = model(f"{function}(r.obj, p.obj)", request="obj", policy="obj")
    program = compile_casbin(text, f"p, {pattern}\n", mode="compat")
    assert timed(lambda: program.enforce(name)) < SECONDS


def test_a_chain_of_10000_roles_is_followed_to_its_end_and_not_beyond() -> None:
    links = "".join(f"g, r{at}, r{at + 1}\n" for at in range(10_000))
    program = compile_casbin(RBAC, f"p, r10000, data\np, r0, first\n{links}")
    assert timed(lambda: [program.enforce(f"r{at}", "data") for at in range(20)]) < SECONDS
    assert program.enforce("r0", "data")
    assert not program.enforce("r1", "first")
    compat = compile_casbin(RBAC, f"p, r10000, data\n{links}", mode="compat")
    assert [compat.enforce(f"r{at}", "data") for at in (9_990, 9_991)] == [False, True]


def test_a_user_in_10000_roles_and_a_circle_of_roles_are_answered_for() -> None:
    rows = "".join(f"p, r{at}, o{at % 100}\ng, alice, r{at}\n" for at in range(10_000))
    program = compile_casbin(RBAC, rows)
    assert program.enforce("alice", "o99")
    assert timed(lambda: [program.enforce("alice", "other") for _ in range(5)]) < SECONDS
    circle = compile_casbin(RBAC, "p, a, data\ng, a, b\ng, b, c\ng, c, a\n")
    assert [circle.enforce(name, "data") for name in "abcd"] == [True, True, True, False]


def test_names_asked_about_are_not_remembered() -> None:
    text = model(
        "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj)", request="sub, obj", policy="sub, obj", roles={"g": "_, _"}
    )
    program = compile_casbin(text, "p, /team/:id, /x/:id\ng, /u/:id, /team/1\n", matching={"g": "keyMatch2"})
    filler = "x" * 2_000

    def ask(first: int) -> None:
        for at in range(first, first + 1_500):
            program.enforce(f"/u/{at}{filler}", f"/x/{at}{filler}")

    ask(0)
    tracemalloc.start()
    try:
        ask(10_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000


# ---------------------------------------------------------------- programs that change


Record = tuple[str, ...]


@dataclass(frozen=True)
class Changing:
    """A model, and records and requests for it."""

    text: str
    row: Callable[[random.Random], Record]
    link: Callable[[random.Random], Record]
    ask: Callable[[random.Random], tuple[str, ...]]
    matching: bool = False


NAMES = ("a", "b", "c", "d", "e")
PLACES = ("x", "/z/:id", "/z/1")
TIMES = ("_", "2020-01-01 00:00:00", "2030-01-01 00:00:00")
VOTES = ("allow", "deny")


def timed_link(draw: random.Random) -> Record:
    """Links alike have one condition: strict takes no second one."""
    member, role = draw.choice(NAMES), draw.choice(NAMES)
    at = NAMES.index(member) + 2 * NAMES.index(role)
    return "g", member, role, TIMES[at % 3], TIMES[at // 3 % 3]


CHANGING = {
    "roles": Changing(
        RBAC,
        lambda draw: ("p", draw.choice(NAMES), draw.choice("xy")),
        lambda draw: ("g", draw.choice(NAMES), draw.choice(NAMES)),
        lambda draw: (draw.choice(NAMES), draw.choice("xy")),
    ),
    "patterns of names": Changing(
        RBAC,
        lambda draw: ("p", draw.choice(NAMES), draw.choice("xy")),
        lambda draw: ("g", draw.choice((*NAMES, "*")), draw.choice((*NAMES, "c*"))),
        lambda draw: (draw.choice(NAMES), draw.choice("xy")),
        matching=True,
    ),
    "conditions": Changing(
        model(
            "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj)",
            request="sub, obj",
            policy="sub, obj, eft",
            effect=ALLOW_AND_DENY,
            roles={"g": "_, _, (_, _)"},
        ),
        lambda draw: ("p", draw.choice(NAMES), draw.choice(PLACES), draw.choice(VOTES)),
        timed_link,
        lambda draw: (draw.choice(NAMES), draw.choice(("x", "/z/1", "/z/2"))),
    ),
    "priorities": Changing(
        model(
            "g(r.sub, p.sub) && (r.obj == p.obj || r.obj == 'x')",
            request="sub, obj",
            policy="priority, sub, obj, eft",
            effect=PRIORITY,
            roles={"g": "_, _"},
        ),
        lambda draw: ("p", str(draw.randrange(4)), draw.choice(NAMES), draw.choice("xy"), draw.choice(VOTES)),
        lambda draw: ("g", draw.choice(NAMES), draw.choice(NAMES)),
        lambda draw: (draw.choice(NAMES), draw.choice("xyz")),
    ),
}


def compiled(kind: Changing, records: Sequence[Record]) -> CasbinProgram:
    policy = "\n".join(", ".join(record) for record in records)
    return compile_casbin(
        kind.text, policy, matching={"g": "keyMatch"} if kind.matching else {}, zone="UTC", clock=noon
    )


@pytest.mark.parametrize("kind", CHANGING.values(), ids=CHANGING.keys())
def test_hundreds_of_changes_one_after_another_come_to_what_a_fresh_compile_says(kind: Changing) -> None:
    draw = random.Random("changes")
    records = [kind.row(draw) for _ in range(12)] + [kind.link(draw) for _ in range(4)]
    program = compiled(kind, records)
    answers: set[bool] = set()
    for _ in range(200):
        gone = [draw.choice(records)] if records and draw.random() < 0.55 else []
        more = [draw.choice((kind.row, kind.link))(draw) for _ in range(draw.randrange(3))]
        records = [each for each in records if each not in gone] + more
        program = program.updated(add=more, remove=gone)
        fresh = compiled(kind, records)
        for _ in range(6):
            request = kind.ask(draw)
            assert program.enforce_ex(*request) == fresh.enforce_ex(*request), (records, request)
            answers.add(program.enforce(*request))
    assert answers == {True, False}


def test_threads_that_ask_while_programs_are_changed_get_the_answers_of_their_program() -> None:
    base = compile_casbin(
        RBAC, "p, admin, data\n" + "".join(f"g, u{at}, r{at % 7}\ng, r{at % 7}, admin\n" for at in range(40))
    )
    wrong: list[str] = []

    def work(number: int) -> None:
        program = base
        for at in range(60):
            name = f"new {number} {at}"
            changed = program.updated(add=[("g", name, f"r{at % 7}")])
            if not changed.enforce(name, "data") or program.enforce(name, "data") or base.enforce(name, "data"):
                wrong.append(name)
            if not base.enforce(f"u{at % 40}", "data") or changed.enforce("nobody", "data"):
                wrong.append(f"u{at % 40}")
            program = changed

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---------------------------------------------------------------- matchers

LEAVES = (
    *("r.sub == p.sub", "r.obj == p.obj", "g(r.sub, p.sub)", "r.sub in ('a', 'b')", "r.sub not in ['c']", "eval(p.x)"),
    *(
        "keyMatch(r.obj, p.obj)",
        "!r.sub == p.sub",
        "r.sub < p.obj < 'c'",
        "r.sub == p.sub == true",
        "r.sub + 'b' == 'ab'",
    ),
    *("r.sub == 'p.sub'", "r.sub != 'a || b'", "'it\\'s' == r.sub", "not r.sub == p.sub", "r.sub == ('a')"),
)
OWN_TEXTS = ("true", "r.sub == 'a'", "r.obj == 'b' || r.sub == 'c'", "!(r.sub == 'a')", "p.sub == 'a'", "g(r.sub, 'b')")


def drawn_matcher(draw: random.Random, depth: int) -> str:
    if depth == 0:
        return draw.choice(LEAVES)
    one, other = drawn_matcher(draw, depth - 1), drawn_matcher(draw, depth - 1)
    return draw.choice(
        (
            f"{one} && {other}",
            f"{one} || {other}",
            f"{one} and {other}",
            f"{one} or {other}",
            f"!({one})",
            f"({one}) && !{other}",
        )
    )


@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_no_matcher_that_is_taken_allows_what_casbin_refuses(mode: Mode) -> None:
    draw = random.Random("matchers")
    allowed = refused = 0
    while allowed + refused < 1_500:
        text = model(
            drawn_matcher(draw, draw.choice((1, 2))),
            request="sub, obj",
            policy="sub, obj, x, eft",
            effect=draw.choice((ALLOW_OVERRIDE, ALLOW_AND_DENY, PRIORITY)),
            roles={"g": "_, _"},
        )
        rows = tuple(
            f"p, {draw.choice('abc')}, {draw.choice('abc')}, {draw.choice(OWN_TEXTS)}, {draw.choice(VOTES)}"
            for _ in range(draw.choice((1, 3)))
        )
        trial = Trial(text, (*rows, "g, a, b", "g, c, a"), lambda _: ())
        try:
            program = compile_casbin(trial.model, trial.policy, mode=mode)
            oracle = Oracle.of(trial, Settings())
        except (CompileError, LoadError):
            continue
        for request in ((sub, obj) for sub in "abcq" for obj in "abc"):
            theirs = oracle.answer(request)
            if program.enforce(*request):
                assert theirs != "no", (trial, request)
                allowed += 1
            else:
                refused += 1
    assert min(allowed, refused) > 300


class Posing:
    """An object that says of itself that it is a string, and that it starts and ends with anything."""

    @property  # type: ignore[misc]
    def __class__(self) -> type[str]:  # type: ignore[override]
        return str

    def startswith(self, *_: object) -> bool:
        return True

    endswith = startswith


def test_what_only_says_that_it_is_a_string_is_none() -> None:
    under = model("r.sub == p.sub && keyMatch(r.obj, '/public/*')", request="sub, obj", policy="sub")
    program = compile_casbin(under, "p, alice\n")
    assert program.enforce("alice", "/public/a")
    assert not program.enforce("alice", Posing())
    reversed_roles = model("g(p.sub, r.sub)", request="sub", policy="sub", roles={"g": "_, _"})
    assert not compile_casbin(reversed_roles, "p, alice\n").enforce(Posing())


def test_what_a_caller_does_to_its_own_options_changes_no_program() -> None:
    text = model("g(r.sub, p.sub)", request="sub", policy="sub", roles={"g": "_, _"})
    matching: dict[str, FunctionName] = {}
    program = compile_casbin(text, "p, admin\ng, a, admin\n", matching=matching)
    matching["g"] = "keyMatch"
    assert not program.updated(add=[("g", "*", "admin")]).using().enforce("anybody")


# ---------------------------------------------------------------- versions of a program

TENANTS = model(
    "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj",
    request="sub, dom, obj",
    policy="sub, dom, obj",
    roles={"g": "_, _, _"},
)


def test_a_role_that_a_sister_version_was_asked_about_is_not_had_after_it_lost_its_own() -> None:
    base = compile_casbin(RBAC, "p, admin, secret\np, staff, desk\ng, team, admin\ng, root, admin\n")
    assert base.updated(add=[("g", "x", "team")]).enforce("x", "secret")
    later = base.updated(remove=[("g", "team", "admin")]).updated(add=[("g", "y", "team")])
    assert not later.enforce("y", "secret")
    assert base.updated(add=[("g", "y", "team")]).enforce("y", "secret")


def test_a_role_that_lost_its_members_and_its_roles_comes_back_without_them() -> None:
    links = ("team, admin, d1", "root, admin, d1", "x, team, d1", "z, team, d2")
    program = compile_casbin(TENANTS, "p, admin, d1, secret\n" + "".join(f"g, {link}\n" for link in links))
    assert program.enforce("x", "d1", "secret")
    for gone in (("x", "team", "d1"), ("z", "team", "d2"), ("team", "admin", "d1")):
        program = program.updated(remove=[("g", *gone)])
    assert not program.updated(add=[("g", "y", "team", "d1")]).enforce("y", "d1", "secret")


@pytest.mark.parametrize("kind", CHANGING.values(), ids=CHANGING.keys())
def test_versions_beside_one_another_come_to_what_a_fresh_compile_says(kind: Changing) -> None:
    draw = random.Random("versions")
    records = [kind.row(draw) for _ in range(12)] + [kind.link(draw) for _ in range(4)]
    versions = [(compiled(kind, records), compiled(kind, records), records)]
    answers: set[bool] = set()
    for _ in range(60):
        program, _, records = draw.choice(versions[-5:])
        gone = [draw.choice(records)] if records and draw.random() < 0.55 else []
        more = [draw.choice((kind.row, kind.link, kind.link))(draw) for _ in range(draw.randrange(3))]
        records = [each for each in records if each not in gone] + more
        versions.append((program.updated(add=more, remove=gone), compiled(kind, records), records))
        for version, fresh, written in draw.sample(versions[-5:], len(versions[-5:])):
            request = kind.ask(draw)
            assert version.enforce_ex(*request) == fresh.enforce_ex(*request), (written, request)
            answers.add(version.enforce(*request))
    assert answers == {True, False}


# ---------------------------------------------------------------- what a request may cost and what may be kept of it


class SameAs:
    """An object that is equal to one text."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str) -> None:
        self._text = text

    def __eq__(self, other: object) -> bool:
        return other == self._text


class OfNoHash(type):
    def __eq__(cls, other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


class Unhashed(metaclass=OfNoHash):
    pass


class Endless(list[object]):
    def __len__(self) -> int:
        return 5_000_000

    def __iter__(self) -> Iterator[object]:
        while True:
            yield "y"


def agreed(program: CasbinProgram, *request: object) -> bool:
    """The answer, which is that of the definition."""
    said = TableMeaning.of(program.table).said(request, now_ms=NOON)
    assert program.enforce(*request) == (said.vote == "allow"), request
    return said.vote == "allow"


@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_a_domain_that_compares_itself_has_the_answer_of_the_definition(mode: Mode) -> None:
    text = model(
        "g(r.sub, p.sub, p.dom) && r.dom == p.dom && r.obj == p.obj",
        request="sub, dom, obj",
        policy="sub, dom, obj",
        roles={"g": "_, _, _"},
    )
    rows = "p, admin, d1, secret\ng, team, admin, d1\n" + "".join(f"p, s{at}, d1, o{at}\n" for at in range(10))
    program = compile_casbin(text, rows, mode=mode)
    assert agreed(program, "team", SameAs("d1"), "secret") is (mode == "compat")
    assert not agreed(program, "team", SameAs("d2"), "secret")
    assert agreed(program, "team", "d1", "secret")


FOLDED = {
    "a letter": "(?i)^/admin$",
    "a range": "(?i)^/adm[a-z]n$",
    "a range from a sign": "(?i)^/adm[!-~]n$",
    "an escape": "(?i)^/adm\\x69n$",
    "a part": "^/(?i:admin)$",
    "beyond ascii": "(?i)^/\u00e4$",
    "a range beyond ascii": "(?i)^/[k-\u212a]$",
    "a range from a control": "(?i)^/adm[\\t-~]n$",
    "a range to a letter from a control": "(?i)^/adm[\\f-h]n$",
    "a range to what is in it": "(?i)^/adm[^\\v-J]n$",
    "a flag that is letters of a class": "(?i)^/adm[(?i)]n$",
    "a group that is letters of a class": "(?i)^/adm[(?i:x)]n$",
    "a name that is letters of a class": "(?i)^/adm[(?P<i>x)]n$",
}


@pytest.mark.parametrize("pattern", FOLDED.values(), ids=FOLDED.keys())
def test_no_letter_that_engines_fold_otherwise_passes_a_row_that_denies(pattern: str) -> None:
    text = model("regexMatch(r.obj, p.obj)", request="obj", policy="obj, eft", effect=ALLOW_AND_DENY)
    rows = f"p, .*, allow\np, {pattern}, deny\n"
    with pytest.raises(CompileError):
        compile_casbin(text, rows)
    assert not compile_casbin(text, rows, mode="compat").enforce("/adm\u0131n")


FOLDED_ALIKE = {
    "letters": "(?i)^/users$",
    "a range": "(?i)^/[j-z]sers$",
    "no flag": "^/admin$",
    "off": "^/(?-i:admin)$",
    "the name of a group": "(?i)^/(?P<id>users)$",
    "a flag that is letters of a class": "^/(?:admin|[(?i)])$",
    "a sign between letters": "(?i)^/users-?[a-h]?$",
    "a range of controls": "(?i)^/[\\t-\\r]?users$",
}


@pytest.mark.parametrize("pattern", FOLDED_ALIKE.values(), ids=FOLDED_ALIKE.keys())
def test_expressions_that_engines_fold_alike_are_read(pattern: str) -> None:
    text = model("regexMatch(r.obj, p.obj)", request="obj", policy="obj")
    program = compile_casbin(text, f"p, {pattern}\n")
    assert program.enforce("/admin" if "admin" in pattern else "/users")


BEYOND_ASCII: dict[str, tuple[tuple[str, ...], str, str]] = {
    "a digit": ((".*, allow", r"^/user/\d+$, deny"), "/user/\u0663", "/user/me"),
    "a letter": ((".*, allow", r"^/\w+$, deny"), "/é", "/-"),
    "a vertical tab": ((".*, allow", r"^/a\s*$, deny"), "/a\x0b", "/b"),
    "no sign of a word": ((r"^/\W$, allow",), "/é", "/-"),
    "the end of a word": ((r"^/a\b, allow",), "/aé", "/a-"),
    "no end of a word": ((r"^\B$, allow", "^/b$, allow"), "", "/b"),
}


@pytest.mark.parametrize("case", BEYOND_ASCII)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_no_character_that_is_of_a_class_in_some_engines_opens_anything(case: str, mode: Mode) -> None:
    rows, name, other = BEYOND_ASCII[case]
    text = model("regexMatch(r.obj, p.obj)", request="obj", policy="obj, eft", effect=ALLOW_AND_DENY)
    lines = tuple(f"p, {row}" for row in rows)
    oracle = Oracle.of(Trial(text, lines, lambda _: (name,)), Settings())
    assert oracle.answer((name,)) == "no" or (name == "" and sys.version_info >= (3, 14))
    if mode == "strict" and r"\B" in lines[0]:
        with pytest.raises(CompileError):
            compile_casbin(text, "\n".join(lines))
        return
    program = compile_casbin(text, "\n".join(lines), mode=mode)
    assert not agreed(program, name)
    assert agreed(program, other)
    assert oracle.answer((other,)) == "yes"


@pytest.mark.parametrize("function", ["keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5"])
def test_nor_does_it_where_the_expression_is_of_a_path(function: str) -> None:
    text = model(f"!{function}(r.obj, p.obj)", request="obj", policy="obj, eft", effect=ALLOW_AND_DENY)
    rows = ("p, /a/\\d, allow",)
    oracle = Oracle.of(Trial(text, rows, lambda _: ("/a/\u0663",)), Settings())
    program = compile_casbin(text, rows[0], mode="compat")
    for name, want in (("/a/\u0663", "no"), ("/a/3", "no"), ("/a/b", "yes"), ("/a/é", "yes")):
        assert oracle.answer((name,)) == want
        assert agreed(program, name) is (want == "yes")


def test_times_of_any_length_are_not_remembered() -> None:
    text = model("r.sub == p.sub && timeMatch(r.start, r.end)", request="sub, start, end", policy="sub")
    program = compile_casbin(text, "p, alice\n", zone="UTC", clock=noon)
    assert program.enforce("alice", "2020-01-01 00:00:00", "_")
    tracemalloc.start()
    try:
        for at in range(200):
            blanks = " " * (10_000 + at)
            assert not program.enforce("alice", f"2020-01-01{blanks}00:00:00", "_")
            assert not program.enforce("alice", f"{at}{'x' * 10_000}", "_")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000


ROLES = {
    "strings": lambda names: names,
    "with one that is missing": lambda names: [*names, None],
    "with other values": lambda names: [*names, 1, True, 2.5, [names[0]]],
    "a set": frozenset,
}


@pytest.mark.parametrize("effect", [ALLOW_OVERRIDE, ALLOW_AND_DENY])
@pytest.mark.parametrize("made", ROLES.values(), ids=ROLES.keys())
def test_a_claim_of_thousands_of_strings_is_read_once(made: Callable[[list[str]], object], effect: str) -> None:
    text = model("p.role in r.roles && r.obj == p.obj", request="roles, obj", policy="role, obj, eft", effect=effect)
    votes = ("allow", "allow") if effect == ALLOW_OVERRIDE else ("allow", "deny")
    rows = "".join(f"p, role{at}, o{at % 3}, {votes[at % 2]}\n" for at in range(5_000))
    program = compile_casbin(text, rows)
    claim = made([f"group{at}" for at in range(5_000)])
    assert timed(lambda: [program.enforce(claim, "o1") for _ in range(20)]) < SECONDS
    first = "p, a, x, allow\np, b, y, deny\np, c, z, allow\n"
    few = compile_casbin(text, first + "".join(rows.splitlines(keepends=True)[:500]))
    for names in (["a"], ["a", "b"], ["q"], ["c", "a"]):
        for obj in ("x", "y", "z"):
            agreed(few, made(names), obj)


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize("effect", [ALLOW_OVERRIDE, ALLOW_AND_DENY])
def test_a_claim_that_rows_must_not_stand_in_is_read_once(effect: str, mode: Mode) -> None:
    matcher = "p.any == r.any && !(p.role in r.roles)"
    text = model(matcher, request="roles, any", policy="role, any, eft", effect=effect)
    rows = "".join(f"p, role{at}, *, {('allow', 'deny')[at % 2]}\n" for at in range(2_000))
    program = compile_casbin(text, rows, mode=mode)
    claim = [f"role{at}" for at in reversed(range(50_000))]
    assert timed(lambda: program.enforce(claim, "*")) < SECONDS
    few = compile_casbin(text, "p, a, *, allow\np, b, *, deny\np, c, *, allow\n", mode=mode)
    odd = (None, 1, True, 2.5, float("nan"), b"b", ["b"], SameAs("b"), SameAs("c"), OfOddKind(), Unhashed())
    for names in ([], ["b"], ["a", "c"], ["a", "b", "c"], ("b", "c")):
        for claimed in (names, *([*names, each] for each in odd), frozenset(names), " ".join(names), names or None):
            agreed(few, claimed, "*")


@pytest.mark.parametrize("mode", ["strict", "compat"])
@pytest.mark.parametrize(
    "matcher", ["r.a == p.x", "p.x in r.a", "!(p.x in r.a)", "g(r.a, p.x, r.b)", "g(r.b, p.x, r.a)"]
)
def test_an_object_whose_class_cannot_be_hashed_is_answered_for(matcher: str, mode: Mode) -> None:
    text = model(matcher, request="a, b", policy="x, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _, _"})
    rows = "p, admin, allow\np, blocked, deny\ng, team, admin, d1\n" + "".join(f"p, u{at}, allow\n" for at in range(9))
    program = compile_casbin(text, rows, mode=mode)
    assert [agreed(program, value, "d1") for value in (Unhashed(), [Unhashed()])] == [False, False]


ENDLESS = {"a list that lies": Endless(), "a range": range(5_000_000), "many": ["y"] * 200_000}


@pytest.mark.parametrize("among", ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.parametrize("matcher", ["r.obj in r.names", "p.obj in r.names"])
def test_what_has_no_end_is_not_listed(matcher: str, among: object) -> None:
    text = model(f"r.obj == p.obj && {matcher}", request="names, obj", policy="obj")
    program = compile_casbin(text, "p, y\n")
    assert program.enforce(["y"], "y")
    assert timed(lambda: program.enforce(among, "y")) < SECONDS
    assert not agreed(program, among, "y")


def test_answers_for_names_are_kept_by_how_much_they_hold() -> None:
    text = model("r.sub == p.sub && keyMatch2(r.obj, p.obj)", request="sub, obj", policy="sub, obj")
    program = compile_casbin(text, "".join(f"p, u{at % 7}, /:a{at}/*\n" for at in range(300)))
    for at in range(1_000):
        program.enforce("u1", f"/q/{at}")
    (index,) = program._plan.stock.patterns
    assert 0 < sum(map(len, index._kept.entries.values())) <= 262_144


def test_names_with_patterns_are_kept_by_how_long_they_are() -> None:
    text = model("g(r.sub, p.sub)", request="sub", policy="sub", roles={"g": "_, _"})
    program = compile_casbin(text, "p, admin\ng, u*, admin\n", matching={"g": "keyMatch"})
    for at in range(5_000):
        assert program.enforce(f"u{at}" + "\U0001f600" * 500)
    (roles,) = program._plan.stock.roles
    kept = [len(text) for key in roles.fitted.entries if isinstance(key, tuple) for text in key if type(text) is str]
    assert 0 < sum(kept) <= 65_536 * 32


def test_a_name_longer_than_any_path_has_no_value() -> None:
    text = model("regexMatch(r.obj, p.obj)", request="obj", policy="obj, eft", effect=ALLOW_AND_DENY)
    program = compile_casbin(text, "p, ^/a.*$, allow\n")
    assert agreed(program, "/a" + "b" * 65_534)
    assert not agreed(program, "/a" + "b" * 65_535)
    assert not compile_casbin(text, "p, .*, allow\np, ^/z$, deny\n").enforce("/" * 70_000)


LONG_NAMES: dict[str, tuple[FunctionName, str]] = {
    "an expression": ("regexMatch", "^.*a[ab]{20}c$"),
    "a beginning": ("keyMatch", "a*"),
    "no pattern": ("keyMatch", "nobody"),
}


@pytest.mark.parametrize(("function", "member"), LONG_NAMES.values(), ids=LONG_NAMES.keys())
def test_a_name_longer_than_any_path_has_no_role_by_a_pattern_and_does_not_lack_it_for_sure(
    function: FunctionName, member: str
) -> None:
    by = {"g": function}
    names = partial(model, request="sub, dom", roles={"g": "_, _, _"})
    text = names("g(r.sub, p.sub, r.dom)", policy="sub, eft", effect=ALLOW_AND_DENY)
    rows = "p, admin, allow\np, blocked, deny\n"
    links = f"g, {member}, admin, d1\ng, literal, admin, d1\ng, {'a' * 65_537}, admin, d1\n"
    drawn = random.Random(7)
    long = "".join(drawn.choice("ab") for _ in range(2**20))
    program = compile_casbin(text, rows + links, mode="compat", matching=by, domain_matching=by)
    assert agreed(program, "literal", "d1")
    for sub, dom in ((long, "d1"), ("literal", long), ("a" * 65_537, "d1"), ("literal", "d1"), ("a" * 65_536, "d1")):
        agreed(program, sub, dom)
    assert not program.enforce(long, "d1")
    inverse = compile_casbin(
        names("!g(r.sub, p.sub, r.dom)", policy="sub"),
        "p, blocked\n" + links.replace("admin", "blocked"),
        mode="compat",
        matching=by,
        domain_matching=by,
    )
    assert agreed(inverse, "somebody", "d1")
    assert not agreed(inverse, long, "d1")
    assert not agreed(inverse, "somebody", long)


def test_what_an_update_leaves_behind_goes_with_the_next() -> None:
    text = model("eval(p.rule) && keyMatch(r.obj, p.obj)", request="sub, obj", policy="rule, obj")
    program = compile_casbin(text, "p, true, /a*b\n")
    compiled_with = len(program.diagnostics)
    for at in range(50):
        record = ("p", f"r.sub == 'u{at}'", f"/x/*/{at}")
        program = program.updated(add=[record])
        assert program.enforce(f"u{at}", "/x/y")
        program = program.updated(remove=[record])
        assert not program.enforce(f"u{at}", "/x/y")
    assert len(program.table.expressions) == 1
    assert len(program._plan.stock.written) == 1
    assert len(program.diagnostics) == compiled_with


class Trimmed(str):
    """A string that is another one when it is trimmed."""

    __slots__ = ()

    def strip(self, *_: object) -> str:
        return "admin"


def test_a_record_is_the_text_that_its_strings_hold() -> None:
    program = compile_casbin(RBAC, "p, admin, secret\n").updated(add=[("g", Trimmed(" bob "), Word.ADMIN)])
    assert program.enforce("bob", "secret")
    assert not program.enforce("Trimmed", "secret")
    assert not program.updated(remove=[("g", Trimmed("bob"), "admin")]).enforce("bob", "secret")
    assert {type(text) for link in program.table.graphs[0].links for text in (link.member, link.role)} == {str}


NO_RECORDS = {
    "a string": "pab",
    "a number in it": ("p", "a", 1),
    "nothing in it": ("p", "a", None),
    "a number": 5,
    "nothing": None,
    "what poses as a string": ("p", "a", Posing()),
    "a set": {"p", "a", "b"},
}


@pytest.mark.parametrize("record", NO_RECORDS.values(), ids=NO_RECORDS.keys())
def test_what_is_no_record_is_refused_by_its_number(record: object) -> None:
    program = compile_casbin(RBAC, "p, admin, secret\n")
    good = ("p", "a", "b")
    with pytest.raises(ValueError, match="record 2 is no list or tuple of strings"):
        program.updated(add=[good, record])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="record 1 is no list or tuple of strings"):
        program.updated(remove=[record])  # type: ignore[list-item]

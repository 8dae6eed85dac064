"""Slips that the grammar takes: names, types, literals, patterns and segments as other languages write them.

What is told is one line of help; that what it advises holds is tested beside it.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.compile import Compiled, compile_policy
from policy_lang.declared.foreign_patterns import anchor, capture_meant, like_hint
from policy_lang.diagnostics import CompileError, Diagnostic
from policy_lang.meaning.reference import decide
from policy_lang.syntax.parser import parse
from policy_lang.syntax.scan import RESERVED
from policy_lang.syntax.slip_rows import SEEN, row, snake_case, told
from policy_lang.trials.runner import run_tests
from policy_lang.verdict import Json
from tests.lang.programs import ask

POLICY = """module m
enum level = low < high
token user {{
  issuer "https://id.example"
  claim sub: string
  claim email: string optional
  claim age: int
  claim level: level
  claim since: time
  claim left: duration
  claim flag: bool
  claim groups: set of string
  claim roles: set of string
}}
roles for user from token.roles {{ role admin role editor }}
network office = 10.0.0.0/8
relation shared (user: string)
service api {{
  audience "api"
  host "api.example"
  header dev: string optional
  endpoint read GET /users/{{id}} query limit: int optional
}}
allow a for any user on api when {condition} because "b"
"""


def compiled(text: str) -> Compiled:
    return compile_policy({"m.pol": text.encode()})


def found(text: str) -> list[Diagnostic]:
    try:
        return list(compiled(text).warnings)
    except CompileError as refused:
        return list(refused.diagnostics)


def told_of(condition: str) -> dict[str, tuple[str, ...]]:
    """The helps of each mistake, by its code."""
    return {d.code: d.helps for d in found(POLICY.format(condition=condition)) if d.severity == "error"}


# ---------------------------------------------------------------- names

NO_FUNCTIONS = "there are no functions"
CLOCK = "there is no time of day, no day of the week and no zone: compare instants, or ask a signal"
WHO = "who calls is asked by what the token says, `token.sub`, or by its kind, `token is KIND`"
NAMES = {
    "token has email and token.email != null": ("E200", "there is no `null`: write `token has email`"),
    "token has email and token.email == null": ("E200", "there is no `null`: write `not token has email`"),
    "token has email and null != token.email": ("E200", "there is no `null`: write `token has email`"),
    "token.email is null": ("E203", "there is no `null`: write `not token has email`"),
    "exists(token.email)": ("E200", "write `token has email`"),
    'startswith(token.sub, "a")': ("E200", f'{NO_FUNCTIONS}: write `token.sub like "a*"`'),
    'ends_with(token.sub, "a")': ("E200", f'{NO_FUNCTIONS}: write `token.sub like "*a"`'),
    'contains(token.groups, "a")': (
        "E200",
        f'{NO_FUNCTIONS}: write `"a" in token.groups`, of a string `token.groups like "*a*"`',
    ),
    "now() > 2026-01-01": ("E200", f"{NO_FUNCTIONS}: the instant of the call is `now`"),
    'concat(token.sub, "x") == "y"': ("E200", NO_FUNCTIONS),
    'user.sub == "a"': ("E203", "write `token.sub`"),
    'principal.sub == "a"': ("E203", "write `token.sub`"),
    'input.jwt.sub == "a"': ("E203", "write `token.sub`"),
    'input.sub == "a"': ("E203", "write `token.sub`"),
    'token.claims.sub == "a"': ("E203", "write `token.sub`"),
    'request.auth.claims.sub == "a"': ("E203", "write `token.sub`"),
    'jwt.tenant == "a"': ("E203", "write `token.tenant`, and declare it: `claim tenant: TYPE`"),
    'token.address.city == "a"': (
        "E203",
        'write `token.city`, and declare it: `claim city: TYPE from "address" "city"`',
    ),
    'token.tenant == "a"': ("E203", "declare it: `claim tenant: TYPE`, where the token says so"),
    'user.role == "admin"': ("E203", "a role is asked by `role NAME`"),
    'request.headers.dev == "a"': ("E203", "write `header.dev`"),
    'headers.agent == "a"': (
        "E203",
        'write `header.agent`, and declare it: `header agent: TYPE optional from "agent"`',
    ),
    'header.agent == "a"': ("E203", "declare it at the endpoint or its service: `header agent: TYPE optional`"),
    "request.query.limit == 5": ("E203", "write `query.limit`"),
    'request.params.id == "a"': ("E203", "write `path.id`"),
    'path_params.id == "a"': ("E203", "write `path.id`"),
    "context.ip == 10.0.0.1": ("E203", "write `request.ip`"),
    'request.url == "/a"': ("E203", "write `request.path`"),
    "context.risk > 5": (
        "E203",
        "what comes with a call besides token, path, query and headers is declared as a `signal`",
    ),
    'principal == "a"': ("E200", WHO),
    'request.user == "a"': ("E203", WHO),
    "now.hour > 8": ("E203", CLOCK),
    "hour > 8": ("E200", CLOCK),
    'remote_addr == "a"': ("E200", "write `request.ip`"),
    'action == "read"': (
        "E200",
        'which calls are meant is said by `on`; a method is asked by `request.method == "GET"`',
    ),
    "token.flag and role admin or editor": (
        "E304",
        "ask `role editor`, or pass it where a relation or a condition takes a role",
    ),
}


@pytest.mark.parametrize("written", NAMES)
def test_a_name_of_another_language(written: str) -> None:
    code, help_ = NAMES[written]
    assert told_of(written)[code][-1] == help_


def test_an_unknown_function_is_told_once_not_again_as_a_value() -> None:
    assert list(told_of('lower(token.sub) == "a"')) == ["E200"]


def test_a_condition_that_is_compared_is_told_although_its_name_is_known() -> None:
    assert "E302" in told_of('shared(token.sub) == "a"')


def test_a_relation_without_arguments_is_not_taken_for_a_slip_of_its_own_name() -> None:
    assert told_of("token.sub in shared") == {"E200": ()}


def test_what_is_declared_by_a_foreign_name_is_that() -> None:
    text = POLICY.format(condition="lower(token.age) and principal < 3").replace(
        "network office", "condition lower (age: int) = age < 3\nsetting principal: int = 2\nnetwork office"
    )
    assert [d.code for d in found(text) if d.severity == "error"] == []


# ---------------------------------------------------------------- types and literals

TYPES = {
    "number": "write `int`",
    "float": "there are no fractions: write `int`, and count in a smaller unit",
    "date": "write `time`",
    "boolean": "write `bool`",
    "str": "write `string`",
    "list": "write `set of string`",
    "object": 'declare what is read of it, each on its own: `claim city: string from "address" "city"`',
}


@pytest.mark.parametrize("written", TYPES)
def test_a_type_of_another_language(written: str) -> None:
    (mistake,) = found(f'module m token user {{ issuer "https://id.example" claim a: {written} }}')
    assert (mistake.code, mistake.helps[-1]) == ("E204", TYPES[written])


MEMBERS = "a set stands in `[ ]`, also of one member: "
LITERALS = {
    'now > "2026-01-01"': "write it without quotes: `2026-01-01`",
    '"2026-01-01T00:00:00Z" < now': "write it without quotes: `2026-01-01T00:00:00Z`",
    'token.level >= "low"': "write it without quotes: `low`",
    'token.age == "5"': "write it without quotes: `5`",
    'token.flag == "true"': "write it without quotes: `true`",
    'request.ip == "10.0.0.1"': "write it without quotes: `10.0.0.1`",
    'request.ip in "10.0.0.0/8"': "write it without quotes: `10.0.0.0/8`",
    'request.ip in "office"': "a network stands without quotes, by its name or as a range such as `10.0.0.0/8`",
    'request.ip in ["10.0.0.0/8"]': "a range of addresses stands alone right of `in`: `in 10.0.0.0/8`",
    'token.level in ["low"]': "write it without quotes: `low`",
    'now - token.since < "5m"': "write it without quotes: `5m`",
    "now - token.since < 300": "a duration says its unit: `300s`, which is `5m`",
    "token.left > 90": "a duration says its unit: `90s`",
    "token.since + 300 > now": "a duration says its unit: `300s`, which is `5m`",
    "now > 1700000000": "an instant is written `2023-11-14T22:13:20Z`",
    "token.since > 300": "a time is an instant such as `2026-01-31T12:00:00Z`, or `now` and a duration: `now - 5m`",
    "token.sub == 5": 'a text stands in quotes: `"5"`',
    "token.sub == true": 'a text stands in quotes: `"true"`',
    'token.sub in "a"': f'{MEMBERS}`["a"]`',
    "token.age in 5": f"{MEMBERS}`[5]`",
    'token.groups == "a"': 'a member is asked for by `in`: `"a" in …`',
    'token.groups in ["a"]': (
        "of two sets ask `overlaps`, for one member in common, or `covers`, for all of the right one"
    ),
}


@pytest.mark.parametrize("written", LITERALS)
def test_a_literal_of_another_language(written: str) -> None:
    assert told_of(written)["E301"][-1] == LITERALS[written]


NO_HINT = {
    "a text that is no date": 'now > "soon"',
    "a text that is no value of the enum": 'token.level == "middle"',
    "two types that no literal joins": "token.age == token.sub",
    "a number that is no instant and no duration": "token.flag == 5",
}


@pytest.mark.parametrize("written", NO_HINT.values(), ids=NO_HINT.keys())
def test_nothing_is_advised_where_nobody_can_tell(written: str) -> None:
    assert len(told_of(written)["E301"]) == 1


GIVEN = {
    'aud: "api"': f'{MEMBERS}`["api"]`',
    'roles: "admin"': f'{MEMBERS}`["admin"]`',
    "roles: admin": 'a test gives what the token holds: `["admin"]`',
    "roles: [admin]": 'a test gives what the token holds, in quotes: `"admin"`',
    'level: "low"': "write it without quotes: `low`",
    'since: "2026-01-01"': "write it without quotes: `2026-01-01`",
    "since: 1700000000": "an instant is written `2023-11-14T22:13:20Z`",
    "sub: 5": 'a text stands in quotes: `"5"`',
    "email: null": ("there is no `null`: leave the claim out, or take it away on one call, `with token.email = unset`"),
}


@pytest.mark.parametrize("written", GIVEN)
def test_a_claim_in_a_test_as_another_language_writes_it(written: str) -> None:
    test = f'test "t" {{ given token user {{ {written} }} call api GET /users/1 expect allow }}'
    mistakes = [d for d in found(POLICY.format(condition="token.flag") + test) if d.severity == "error"]
    assert [d.helps[-1] for d in mistakes] == [GIVEN[written]]


# ---------------------------------------------------------------- endpoints

TARGETS = {
    "read": ("E201", "did you mean `api.read`?"),
    "everything": ("E201", "`on any endpoint` reaches all"),
    "api GET /users/:id/x": ("E404", "`:id` is this very text: write `{id}` for any segment"),
    "api GET /users/:userId": ("E405", "`:userId` is this very text: write `{user_id}` for any segment"),
    "api GET /users/{id}:approve": (
        "E212",
        'capture the whole segment, `{id}`, and ask for the rest in a rule: `path.id like "*:approve"`',
    ),
    "api GET /users/{a}-{b}": ("E212", "capture the whole segment, `{a}`, and compare it as a whole"),
}


@pytest.mark.parametrize("written", TARGETS)
def test_an_endpoint_as_another_language_names_it(written: str) -> None:
    text = POLICY.format(condition="token.flag").replace("on api when", f"on {written} when")
    code, help_ = TARGETS[written]
    assert [(d.code, d.helps[-1]) for d in found(text) if d.severity == "error"] == [(code, help_)]


SEGMENTS = {
    ":id": "id",
    "$orderId": "order_id",
    ":ID": "id",
    "id": "",
    "a:b": "",
    ":": "",
    "$": "",
    ":a:b": "",
    "$metadata": "",
    "$batch": "",
    "": "",
}


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_segment_that_looks_like_a_capture(segment: str) -> None:
    assert capture_meant(segment) == SEGMENTS[segment]


def test_segments_are_warned_of_each_at_its_place() -> None:
    text = POLICY.format(condition="token.flag").replace("GET /users/{id}", "GET /:tenant/users/$id")
    warned = [d for d in found(text) if d.code == "W822"]
    assert [text[d.span.start : d.span.end] for d in warned] == [":tenant", "$id"]


# ---------------------------------------------------------------- patterns

PATTERNS = {
    "svc": 'for the whole text write `== "svc"`, for what begins with it `like "svc*"`',
    "svc_a": 'for the whole text write `== "svc_a"`, for what begins with it `like "svc_a*"`; `_` stands for itself',
    "svc-%": '`%` and `_` of SQL stand for themselves here: write `like "svc-*"`',
    "%svc%": '`%` and `_` of SQL stand for themselves here: write `like "*svc*"`',
    "^svc": 'this is no regular expression; `*` stands for any text: write `like "svc*"`',
    "svc$": 'this is no regular expression; `*` stands for any text: write `like "*svc"`',
    "^svc$": 'this is no regular expression; `*` stands for any text: write `== "svc"`',
    "^svc.*$": 'this is no regular expression; `*` stands for any text: write `like "svc*"`',
    ".*svc": 'this is no regular expression; `*` stands for any text: write `like "*svc*"`',
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_that_is_no_pattern(pattern: str) -> None:
    helps = told_of(f'token.sub like "{pattern}"')["E308"]
    assert helps[-1] == PATTERNS[pattern]


@given(st.text("ab%_^$.*?+[](){}|\\", max_size=8))
def test_what_is_advised_for_a_pattern_can_be_written(pattern: str) -> None:
    """For every text p, each `like "q"` that like_hint(p) writes has `*` at its ends only, and there one at least."""
    for advised in like_hint(pattern).split('like "')[1:]:
        core = advised.partition('"')[0]
        if '"' not in pattern:
            assert core.strip("*")
            assert "*" in core


ANCHORS = {"^a*": "^", "*a$": "$", "a*": "", "*^a*": "", "^": "", "": "", "a$b*": ""}


@pytest.mark.parametrize("pattern", ANCHORS)
def test_anchors(pattern: str) -> None:
    assert anchor(pattern) == ANCHORS[pattern]


ANCHORED = {
    "in a rule": POLICY.format(condition='token.sub like "^a*"'),
    "in a condition": POLICY.format(condition="c") + 'condition c = token.flag or token.sub like "*a$"',
    "in a need": POLICY.format(condition="token.flag")
    + 'require r for any user on api needs token.sub like "^a*" else challenge "x"',
}


@pytest.mark.parametrize("text", ANCHORED.values(), ids=ANCHORED.keys())
def test_an_anchored_pattern_is_warned_of(text: str) -> None:
    assert [d.code for d in found(text)].count("W823") == 1


# ---------------------------------------------------------------- names that others chose


def test_the_advised_claim_is_read_where_the_token_has_it() -> None:
    """The slip was obeyed once by a claim of another name, and the deny never fired."""
    written = 'module m token user { issuer "i" claim isSuspended: bool optional }'
    (slip,) = parse("m.pol", written.encode()).diagnostics
    assert '`claim is_suspended: TYPE from "isSuspended"`' in slip.label_text
    program = compiled(
        'module m token user { issuer "https://i.example" claim is_suspended: bool from "isSuspended" optional }\n'
        'service s { audience "s" host "s.example" endpoint read GET /x }\n'
        'allow a for any user on s because "b"\n'
        'deny d for any user on s when token has is_suspended and token.is_suspended because "b"\n'
    ).program
    calls: dict[str, dict[str, Json]] = {
        "suspended": {"isSuspended": True},
        "not": {"isSuspended": False},
        "unsaid": {},
    }
    decided = {who: decide(program, ask("/x", {"aud": "s", **claims})).by for who, claims in calls.items()}
    assert decided == {"suspended": ("m.d",), "not": ("m.a",), "unsaid": ("m.a",)}


SNAKES = {
    "isSuspended": "is_suspended",
    "AdminsRead": "admins_read",
    "userID": "user_id",
    "HTTPServer": "http_server",
    "page-size": "page_size",
    "x--y": "x_y",
    "_id": "id",
    "2fa": "a_2fa",
    "oauth2Client": "oauth2_client",
    "a": "a",
    "": "a",
}


@pytest.mark.parametrize("written", SNAKES)
def test_a_name_of_the_language_for_one_that_is_none(written: str) -> None:
    assert snake_case(written) == SNAKES[written]


@given(st.text(max_size=30))
def test_what_is_advised_for_a_name_is_one(written: str) -> None:
    """`claim snake_case(s): bool` is read by the grammar, for every text s."""
    text = f'module m token user {{ issuer "i" claim {snake_case(written)}: bool }}'
    assert parse("m.pol", text.encode()).diagnostics == ()


def test_a_reserved_word_is_never_advised_as_a_name() -> None:
    for word in sorted(RESERVED):
        found_there = parse("m.pol", f"module m\nlabel {word.capitalize()}".encode()).diagnostics
        assert all(f"write `{word}`" not in slip.label_text for slip in found_there if slip.code == "E101"), word


# ---------------------------------------------------------------- how rows are read


def test_a_row_sees_both_sides_without_comments_and_strings_stay() -> None:
    rows = [row(r'\ba\s+"#"', "b", "what {x}", "remedy")]
    text = 'a # c\n "#" # d\n b'
    found_there = told(rows, text, text.index("b"), frozenset())
    assert found_there is not None
    assert (found_there.what, found_there.remedy) == ("what {x}", "remedy")


def test_a_row_that_does_not_fit_there_says_nothing() -> None:
    assert told([row("a", "b", "-", "-", "NAME")], "a b", 2, frozenset(("ATTR",))) is None


def test_a_row_sees_no_further_than_it_may() -> None:
    rows = [row("x", "b", "-", "-")]
    assert told(rows, "x" + " " * (SEEN - 1) + "b", SEEN, frozenset()) is not None
    assert told(rows, "x" + " " * SEEN + "b", SEEN + 1, frozenset()) is None


def test_what_is_quoted_is_cut_short() -> None:
    (slip,) = parse("m.pol", f"module m\nallow {'Xy' * 3000} on s".encode()).diagnostics
    assert len(slip.message) + len(slip.label_text) < 200


# ---------------------------------------------------------------- a factor as fresh as a setting says

FRESH = """module m
setting fresh: duration = 5m
token user {{
  issuer "https://id.example"
  claim at: time
  factor mfa at token.at
}}
service s {{ audience "s" host "s.example" endpoint read GET /x }}
allow a for any user on s because "b"
require r for any user on s needs factor mfa within {within}
deny d for any user on s when not factor mfa within {within} because "b"
test "t" {{
  given token user {{ at: now - 4m, aud: ["s"] }}
  call s GET /x expect {expected}
}}
"""


@pytest.mark.parametrize(("environment", "expected"), [(None, "allow"), ("strict", "deny by d"), ("lax", "allow")])
def test_a_factor_is_as_fresh_as_the_environment_says(environment: str | None, expected: str) -> None:
    files = {
        "m.pol": FRESH.format(within="fresh", expected=expected).encode(),
        "settings/strict.toml": b'fresh = "3m"',
        "settings/lax.toml": b'fresh = "1h"',
    }
    made = compile_policy(files, environment)
    assert [result.passed for result in run_tests(made.program, made.tests)] == [True]
    assert made.warnings == ()


MISUSED = {
    "a setting of another type": ("n", "setting n: int = 5", "E301"),
    "a name of nothing": ("nothing", "", "E200"),
    "a condition": ("c", "condition c = true", "E200"),
    "an input": ("now", "", "E200"),
}


@pytest.mark.parametrize(("within", "declared", "code"), MISUSED.values(), ids=MISUSED.keys())
def test_what_is_no_duration_behind_within(within: str, declared: str, code: str) -> None:
    text = FRESH.format(within=within, expected="allow") + declared
    assert {d.code for d in found(text) if d.severity == "error"} == {code}


def test_a_factor_stays_as_fresh_as_it_says_within_a_condition() -> None:
    text = FRESH.format(within="fresh", expected="deny by d").replace("not factor mfa within fresh", "stale")
    made = compile_policy(
        {"m.pol": f"{text}condition stale = not factor mfa within fresh".encode(), "settings/p.toml": b'fresh = "1m"'},
        "p",
    )
    assert [result.passed for result in run_tests(made.program, made.tests)] == [True]

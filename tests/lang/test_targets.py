"""What a rule covers: no call that its pattern names is left out, and none that it does not name is taken in.

The tables of targets and mistakes are tests/lang/test_names.py and tests/golden/check/rules.chunks.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError, Diagnostic
from policy_lang.ir import Endpoint, Http, Program
from policy_lang.meaning.routing import Router
from policy_lang.verdict import HttpCall
from tests.lang.bundles import KIND, SERVICE, bundle
from tests.lang.programs import path

METHODS = ("GET", "HEAD", "POST", "DELETE", "TRACE")
TARGETS = (
    "/",
    *("/" + "/".join(parts) + end for n in (1, 2, 3) for parts in product("a1", repeat=n) for end in ("", "/")),
)
OPAQUE = ("/a%2F1", "/a/a%2F1", "/1%2Fa/1")
GRPC = {"content-type": ("application/grpc+proto",)}
CALLS = tuple(
    HttpCall(method, path(target), "", headers)
    for method in METHODS
    for target in (*TARGETS, *OPAQUE)
    for headers in ({}, GRPC)
)

SEGMENTS = st.sampled_from(["a", "a", "1", "{x}", "{x: int}", "{x: opaque}", "*"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(SEGMENTS, max_size=3))
    parts = [part.replace("x", f"x{n}") for n, part in enumerate(parts)]
    end = draw(st.sampled_from(["", "", "", "/", "/**"]))
    return "/" + "/".join(parts) + ("**" if end == "/**" and not parts else end if parts else "")


def endpoints() -> st.SearchStrategy[tuple[str, str]]:
    """HTTP mostly, and gRPC methods whose paths HTTP endpoints may hold too."""
    grpc = st.tuples(st.just("grpc"), st.sampled_from(["a/a", "a/b"]))
    http = st.tuples(WORDS, patterns())
    return st.one_of(http, http, http, grpc)


WORDS = st.sampled_from(["GET", "GET", "HEAD", "POST", "GET|POST", "GET|HEAD", "HEAD|POST", "POST|DELETE", "ANY"])


def policy(endpoints: list[tuple[str, str]], rule: tuple[str, str] | None) -> dict[str, bytes]:
    declared = "\n".join(f"endpoint e{n} {methods} {pattern}" for n, (methods, pattern) in enumerate(endpoints))
    deny = "" if rule is None else f'deny d on s {rule[0]} {rule[1]} because "-"'
    return {"m.pol": f'module m service s {{ audience "s" host "s.example" {declared} }}\n{deny}'.encode()}


def fits(pattern: str, call: HttpCall) -> bool:
    """Whether a path lies within a rule's pattern, part by part."""
    target = call.path
    parts = [part for part in pattern.split("/") if part]
    open_end = parts[-1:] == ["**"]
    parts = parts[:-1] if open_end else parts
    if len(target.segments) < len(parts) or (len(target.segments) > len(parts) and not open_end):
        return False
    if not open_end and target.trailing_slash != (pattern.endswith("/") and bool(parts)):
        return False
    return all(
        part in {segment, "*"} or (part.startswith("{") and (segment == "1" or "int" not in part))
        for part, segment in zip(parts, target.segments, strict=False)
    )


def names(rule: tuple[str, str], call: HttpCall, endpoint: Endpoint) -> bool:
    """Whether a rule names a call that goes to an endpoint."""
    words = rule[0].split("|")
    declared = endpoint.route.methods if isinstance(endpoint.route, Http) else ("POST",)
    follows = call.method == "HEAD" and "GET" in words and not {"HEAD", "ANY"} & set(declared)
    return (call.method in words or "ANY" in words or follows) and fits(rule[1], call)


def mistakes(files: dict[str, bytes]) -> tuple[Program | None, tuple[Diagnostic, ...]]:
    try:
        return compile_policy(files).program, ()
    except CompileError as refused:
        return None, refused.diagnostics


@given(st.lists(endpoints(), min_size=1, max_size=4), st.tuples(WORDS, patterns()))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_pattern_covers_exactly_the_calls_it_names(declared: list[tuple[str, str]], rule: tuple[str, str]) -> None:
    """checked(rule) => for every call: covered(endpoint of the call) = named(call); E404 => no call is named."""
    plain, _ = mistakes(policy(declared, None))
    assume(plain is not None)
    assert plain is not None
    program, found = mistakes(policy(declared, rule))
    codes = {each.code for each in found}
    event(" ".join(sorted(codes)) or "covers")
    assert codes <= {"E404", "E405"}
    if "E405" in codes:
        return
    covered = set() if program is None else {cell.endpoint for cell in program.cells if cell.deny}
    router = Router.of(plain)
    for call in CALLS:
        routed = router.route("s", call)
        if isinstance(routed, tuple):
            endpoint = plain.endpoints[routed[0]]
            assert names(rule, call, endpoint) == (routed[0] in covered), (call.method, call.path.text, endpoint.id)


BESIDE = {
    "one that takes only GET leaves the rest to the wider": ("look GET /a", "ANY /a", ["E405"]),
    "one that takes all takes all": ("look ANY /a", "ANY /a", []),
    "one that takes only GET takes all of GET": ("look GET /a", "GET /a", []),
    "one that takes GET takes its HEAD": ("look GET /a", "GET|HEAD /a", []),
    "HEAD alone is part of what takes GET": ("look GET /a", "HEAD /a", ["E405"]),
    "HEAD alone where it is declared": ("look GET|HEAD /a", "GET|HEAD /a", []),
    "a method that the narrower does not take": ("look GET /a", "POST /a", ["E405"]),
    "several methods, one of which the narrower takes": ("look GET /a", "GET|POST /a", ["E405"]),
    "several that together are not all": ("look GET|POST|PUT|PATCH|DELETE|OPTIONS /a", "ANY /a", ["E405"]),
}


@pytest.mark.parametrize("case", BESIDE)
def test_beside_an_endpoint_that_takes_any(case: str) -> None:
    declared, on, codes = BESIDE[case]
    text = f"""module m service s {{ audience "s" host "s.example" endpoint {declared} endpoint rest ANY /{{name}} }}
        deny d on s {on} because "-" """
    _, found = mistakes({"m.pol": text.encode()})
    assert [each.code for each in found] == codes


def test_the_remedy_for_a_rule_on_head_alone_is_said() -> None:
    _, found = mistakes(policy([("GET", "/a")], ("HEAD", "/a")))
    assert [each.helps[1] for each in found] == [
        "HEAD follows GET here: name GET too, or declare an endpoint for HEAD",
    ]


MIXED = """module m label l service s { audience "s" host "s.example"
    endpoint one GET /one tagged l endpoint call grpc shop.S/Call tagged l
    endpoint act action "read" on "document" tagged l endpoint wide ANY /{a}/{b} }
"""

FORMS = {
    "any endpoint": {"s.one", "s.call", "s.act", "s.wide"},
    "any endpoint tagged l": {"s.one", "s.call", "s.act"},
    "s": {"s.one", "s.call", "s.act", "s.wide"},
    "s.act": {"s.act"},
    "s ANY /**": {"s.one", "s.call", "s.wide"},
    "s POST /shop.S/Call": {"s.call"},
    "s ANY /shop.S/Call": {"s.call"},
    "s GET /one, s.act": {"s.one", "s.act"},
}


@pytest.mark.parametrize("on", FORMS)
def test_targets_of_every_form(on: str) -> None:
    taken = bundle({"m.pol": f'{MIXED} deny d on {on} because "-"'})
    assert taken.messages == []
    (indices,) = taken.names["m"].targets.values()
    assert {taken.inventory.endpoints[index].endpoint.id for index in indices} == FORMS[on]
    assert list(indices) == sorted(indices)


NOT_COVERED = {
    "the path of a gRPC method under another method": (
        "s GET /shop.S/Call",
        "E404: the pattern covers no endpoint of `s`",
    ),
    "an action": ("s GET /document", "E404: the pattern covers no endpoint of `s`"),
    "a wide endpoint by POST alone": ("s POST /**", "E405: the pattern cuts through the endpoint `s.wide`"),
    "a label as a service": ("l", "E201: unknown service `l`"),
    "a service as a label": ("s tagged s", "E210: unknown label `s`"),
}


@pytest.mark.parametrize("case", NOT_COVERED)
def test_targets_that_are_none(case: str) -> None:
    on, wanted = NOT_COVERED[case]
    assert bundle({"m.pol": f'{MIXED} deny d on {on} because "-"'}).messages == [wanted]


def test_a_pattern_that_cuts_through_many_endpoints_is_one_mistake() -> None:
    endpoints = " ".join(f"endpoint e{n} ANY /a{n}" for n in range(50))
    text = f'module m service s {{ audience "s" host "h" {endpoints} }} deny d on s GET /** because "-"'
    assert bundle({"m.pol": text}).messages == ["E405: the pattern cuts through the endpoint `s.e0`"]


OWNED = f"module a label l {SERVICE.replace('host', 'grants by a, c host')}"

GRANTS = {
    "the module that declares it": ("a", "allow g for anyone on s", True),
    "a module that it names": ("c", "allow g for anyone on s", True),
    "another": ("b", "allow g for anyone on s", False),
    "another, by one endpoint": ("b", "allow g for anyone on s.one", False),
    "another, by a pattern": ("b", "allow g for anyone on s GET /**", False),
    "another, by any endpoint": ("b", "allow g for anyone on any endpoint", False),
    "a module that it names, by any endpoint": ("c", "allow g for anyone on any endpoint", True),
    "another, by a shadow": ("b", "shadow allow g for anyone on s", False),
    "another, by a label that nothing carries": ("b", "allow g for anyone on s tagged l", True),
    "a deny of another": ("b", "deny g on s", True),
    "a require of another": ("b", "require g on s", True),
}


@pytest.mark.parametrize("case", GRANTS)
def test_who_may_grant(case: str) -> None:
    where, rule, legal = GRANTS[case]
    modules = {"a": OWNED, "b": "module b import a (s, l)", "c": "module c import a (s, l)"}
    modules[where] += f' {rule} because "-"'
    taken = bundle({f"{name}.pol": text for name, text in modules.items()})
    assert taken.codes == ([] if legal else ["b.pol:E506"])


def test_a_service_may_be_granted_on_by_others_alone() -> None:
    files = {
        "a.pol": f'module a {SERVICE.replace("host", "grants by b host")} allow own for anyone on s because "-"',
        "b.pol": 'module b import a (s) allow other for anyone on s because "-"',
    }
    assert bundle(files).codes == ["a.pol:E506"]


def test_any_endpoint_must_be_granted_by_every_service() -> None:
    files = {
        "a.pol": f"module a {SERVICE.replace('host', 'grants by a, b host')}",
        "b.pol": f'module b {SERVICE.replace("service s", "service t")} allow g for anyone on any endpoint because "-"',
        "c.pol": f"module c {SERVICE.replace('service s', 'service u')}",
    }
    assert bundle(files).messages == ["E506: module `b` may not grant on service `u`"]


def test_a_grant_that_is_not_given_names_who_gives_it() -> None:
    files = {
        "a.pol": 'module a\nservice s {\n  audience "s"\n  grants by a, c\n  endpoint one GET /one\n}',
        "b.pol": f'module b import a (s) {KIND}\nallow g\n  for any user\n  on s.one\n  because "-"',
        "c.pol": "module c",
    }
    wanted = """\
error[E506]: module `b` may not grant on service `s`
  --> b.pol:5:6
  |
5 |   on s.one
  |      ^^^^^ `s` is granted on by `a`, `c`
  ::: a.pol:4:13
  |
4 |   grants by a, c
  |             ---- `grants by` names these
   = help: ask its owner to write `grants by a, c, b`, or use deny or require, which are open to all"""
    assert bundle(files).rendered == wanted


@pytest.mark.parametrize(
    ("endpoints", "target"),
    [
        ("endpoint narrow GET /f/{name}/edit endpoint wide GET /f/{p: opaque}/{q}", "s GET /f/*/edit"),
        ("endpoint narrow GET /f/{name}/edit endpoint wide GET /f/{p: opaque}/{q}", "s GET /f/{x}/edit"),
        ("endpoint narrow GET /{c} endpoint wide ANY /{c: opaque}", "s GET /{r: opaque}"),
        ("endpoint narrow ANY /a/{c} endpoint wide GET /{a: opaque}/{b: opaque}", "s ANY /a/{r}"),
    ],
)
def test_a_deny_never_passes_over_what_only_an_opaque_segment_takes(endpoints: str, target: str) -> None:
    """`/f/a%2Fb/edit` goes to the wider endpoint: a rule that holds it may not cover the narrower one alone."""
    taken = bundle({"m.pol": f'module m service s {{ audience "a" host "h.example" {endpoints} }} deny d on {target}'})
    assert any(message.startswith("E405") for message in taken.messages)

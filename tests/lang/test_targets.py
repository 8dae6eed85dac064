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
from policy_lang.ir import Program
from policy_lang.request import Path
from policy_lang.routing import Routed, Router
from tests.lang.programs import path

METHODS = ("GET", "HEAD", "POST", "DELETE", "TRACE")
TARGETS = (
    "/",
    *("/" + "/".join(parts) + end for n in (1, 2, 3) for parts in product("a1", repeat=n) for end in ("", "/")),
)
CALLS: tuple[tuple[str, Path], ...] = tuple((method, path(target)) for method in METHODS for target in TARGETS)

SEGMENTS = st.sampled_from(["a", "a", "1", "{x}", "{x: int}", "*"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(SEGMENTS, max_size=3))
    parts = [part.replace("x", f"x{n}") for n, part in enumerate(parts)]
    end = draw(st.sampled_from(["", "", "", "/", "/**"]))
    return "/" + "/".join(parts) + ("**" if end == "/**" and not parts else end if parts else "")


WORDS = st.sampled_from(["GET", "GET", "HEAD", "POST", "GET|POST", "GET|HEAD", "HEAD|POST", "POST|DELETE", "ANY"])


def policy(endpoints: list[tuple[str, str]], rule: tuple[str, str] | None) -> dict[str, bytes]:
    declared = "\n".join(f"endpoint e{n} {methods} {pattern}" for n, (methods, pattern) in enumerate(endpoints))
    deny = "" if rule is None else f'deny d on s {rule[0]} {rule[1]} because "-"'
    return {"m.pol": f'module m service s {{ audience "s" host "s.example" {declared} }}\n{deny}'.encode()}


def fits(pattern: str, target: Path) -> bool:
    """Whether a path lies within a rule's pattern, part by part."""
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


def names(rule: tuple[str, str], method: str, target: Path, declared: tuple[str, ...]) -> bool:
    """Whether a rule names a call that goes to an endpoint which declares these methods."""
    words = rule[0].split("|")
    follows = method == "HEAD" and "GET" in words and not {"HEAD", "ANY"} & set(declared)
    return (method in words or "ANY" in words or follows) and fits(rule[1], target)


def mistakes(files: dict[str, bytes]) -> tuple[Program | None, tuple[Diagnostic, ...]]:
    try:
        return compile_policy(files).program, ()
    except CompileError as refused:
        return None, refused.diagnostics


@given(st.lists(st.tuples(WORDS, patterns()), min_size=1, max_size=4), st.tuples(WORDS, patterns()))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_pattern_covers_exactly_the_calls_it_names(endpoints: list[tuple[str, str]], rule: tuple[str, str]) -> None:
    """checked(rule) => for every call: covered(endpoint of the call) = named(call); E404 => no call is named."""
    plain, _ = mistakes(policy(endpoints, None))
    assume(plain is not None)
    assert plain is not None
    program, found = mistakes(policy(endpoints, rule))
    codes = {each.code for each in found}
    event(" ".join(sorted(codes)) or "covers")
    assert codes <= {"E404", "E405"}
    if "E405" in codes:
        return
    covered = set() if program is None else {cell.endpoint for cell in program.cells if cell.deny}
    router = Router.of(plain)
    for method, target in CALLS:
        routed = router.route("s", method, target)
        if isinstance(routed, Routed):
            declared = plain.endpoints[routed.endpoint].methods
            named = names(rule, method, target, declared)
            assert named == (routed.endpoint in covered), (method, target.text, plain.endpoints[routed.endpoint].id)


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

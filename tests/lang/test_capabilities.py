"""What gateways can do, and what is said where a policy asks more of one.

`tests/golden/gateways/NAME.chunks` are run as those of `tests/golden/check` are, each held to the gateway of its name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policy_lang.capabilities import KNOWN, Gateway, check_gateway, served
from policy_lang.compile import Compiled, compile_policy
from policy_lang.diagnostics import render
from policy_lang.verdict import CAPABILITIES

FOLDER = Path(__file__).parents[1] / "golden" / "gateways"
EXPECTED = re.compile(r'### "((?:[^"\\]|\\.)*)"')
BOTH = """module shop
token user { issuer "https://id.example" claim sub: string }
subject employee { type "employee" }
service s { audience "s" host "s.example" endpoint one GET /one endpoint rpc grpc pkg.S/M }
service t { audience "t" host "t.example" endpoint two GET /two }
service docs { audience none accepts employee endpoint read action "read" on "doc" }
allow a for any user on s, t because "-"
allow b for any employee on docs because "-"
require mask
  on any endpoint
  must redact "/email"
"""


def compiled(text: str) -> Compiled:
    return compile_policy({"shop.pol": text.encode()})


def chunks() -> list[Any]:
    found = []
    for file in sorted(FOLDER.glob("*.chunks")):
        line = 1
        for text in re.split(r"(?m)^---\n", file.read_text("utf-8")):
            found.append(pytest.param(KNOWN[file.stem], text, id=f"{file.name}:{line}"))
            line += text.count("\n") + 1
    return found


@pytest.mark.parametrize(("gateway", "text"), chunks())
def test_reports_exactly_what_the_lines_say(gateway: Gateway, text: str) -> None:
    policy = compiled(text)
    source = policy.sources["shop.pol"]
    found = (*policy.warnings, *check_gateway(policy.program, gateway, policy.sources))
    reported = [(source.position(each.span.start).line, f"{each.code}: {each.message}") for each in found]
    missing = []
    for number, line in enumerate(text.split("\n"), start=1):
        for pattern in EXPECTED.findall(line):
            met = next((each for each in reported if each[0] == number and re.search(pattern, each[1])), None)
            if met is None:
                missing.append((number, pattern))
            else:
                reported.remove(met)
    assert (missing, reported) == ([], [])


def test_every_known_gateway_but_one_has_its_chunks() -> None:
    assert {file.stem for file in FOLDER.glob("*.chunks")} == KNOWN.keys() - {"forward-auth"}
    assert (KNOWN["forward-auth"].can, KNOWN["forward-auth"].asks) == (KNOWN["envoy"].can, KNOWN["envoy"].asks)


def test_the_whole_shape() -> None:
    policy = compiled(BOTH)
    assert render(check_gateway(policy.program, KNOWN["envoy"], policy.sources), policy.sources) == (
        "error[E518]: the gateway `envoy` cannot redact answers, as `shop.mask` must on `s.one`, `s.rpc`, `t.two`\n"
        "  --> shop.pol:9:9\n"
        "  |\n"
        "9 | require mask\n"
        "  |         ^^^^ must redact\n"
        "   = help: every allow there is refused by `capability`: serve this by a gateway that can, or write `should`"
    )


def test_a_gateway_of_one_service_is_not_asked_for_what_others_need() -> None:
    policy = compiled(BOTH)
    gateway = Gateway("edge", frozenset(), frozenset({"path"}), frozenset({"t"}))
    (mistake,) = check_gateway(policy.program, gateway, policy.sources)
    assert mistake.message.endswith("on `t.two`")
    assert served(policy.program, gateway) == 1


def test_a_gateway_that_can_everything_lacks_nothing() -> None:
    policy = compiled(BOTH)
    gateway = Gateway("x", CAPABILITIES, frozenset({"path", "action"}))
    assert check_gateway(policy.program, gateway, policy.sources) == ()
    assert served(policy.program, gateway) == 4


def test_no_known_gateway_redacts() -> None:
    assert not [name for name, gateway in KNOWN.items() if "redact" in gateway.can]


def test_a_policy_without_endpoints_asks_nothing_of_anybody() -> None:
    policy = compile_policy({"m.pol": b"module m"})
    assert [check_gateway(policy.program, each, policy.sources) for each in KNOWN.values()] == [()] * len(KNOWN)


def test_without_sources_the_file_is_named() -> None:
    (mistake,) = check_gateway(compiled(BOTH).program, KNOWN["authzen"], {})
    assert (mistake.span.source, mistake.span.start, mistake.span.end) == ("shop.pol", 0, 0)

"""Step-ups that cannot succeed: a factor that a kind of caller never has, where some allow lets that kind in."""

from __future__ import annotations

import pytest

from policy_lang.checking.out_of_reach import out_of_reach
from policy_lang.checking.policy import check
from policy_lang.compile import compile_policy
from policy_lang.declared.inventory import take_inventory
from policy_lang.declared.names import bind_names
from policy_lang.declared.settings import NO_SETTINGS
from policy_lang.diagnostics import Diagnostic
from policy_lang.syntax.parser import parse

HEAD = """module m
label money
token user { issuer "https://id.example" claim sub: string claim at: time factor mfa at token.at }
token employee { issuer "https://e.example" claim sub: string }
token bot { issuer "https://b.example" claim sub: string }
subject desk { type "desk" }
service s { audience "s" host "s.example"
  endpoint close POST /close query n: int tagged money
  endpoint open POST /open tagged money
  endpoint read GET /read query n: int
}
service docs { audience none accepts desk endpoint pay action "pay" on "doc" tagged money }
"""
MFA = "require mfa on any endpoint tagged money needs factor mfa within 5m\n"
FOR_ALL = 'allow all for any user on s because "-"\n'


def warned(rules: str) -> list[str]:
    compiled = compile_policy({"m.pol": (HEAD + FOR_ALL + rules).encode()})
    return [each.message for each in compiled.warnings if each.code == "W811"]


def said(kind: str, where: str, rule: str = "close", asking: str = "mfa") -> str:
    return f"no `{kind}` can have the factor `mfa`, which `{asking}` asks for on {where}, where `{rule}` lets them in"


CLOSE = 'allow close for any employee on s.close because "-"\n'
CASES: dict[str, tuple[str, list[str]]] = {
    "an allow for another kind than those that have it": (MFA + CLOSE, [said("employee", "`s.close`")]),
    "who has the factor": (MFA, []),
    "an allow elsewhere": (MFA + CLOSE.replace("s.close", "s.read"), []),
    "two endpoints": (MFA + CLOSE.replace("on s.close", "on s"), [said("employee", "`s.close` and 1 more")]),
    "two kinds": (
        MFA + CLOSE.replace("any employee", "any employee, any bot"),
        [said("bot", "`s.close`"), said("employee", "`s.close`")],
    ),
    "two allows for one kind": (
        MFA + CLOSE + CLOSE.replace("close for", "again for"),
        [said("employee", "`s.close`", "again")],
    ),
    "a subject": (MFA + CLOSE.replace("any employee on s.close", "any desk on docs"), [said("desk", "`docs.pay`")]),
    "an allow for anyone": (
        MFA + CLOSE.replace("any employee", "anyone"),
        [said("bot", "`s.close`"), said("employee", "`s.close`")],
    ),
    "nobody, who may come back with a token": (MFA + CLOSE.replace("any employee", "any user"), []),
    "a require for those that have it": (MFA.replace("mfa on", "mfa for any user on") + CLOSE, []),
    "a shadow require": (f"shadow {MFA}{CLOSE}", []),
    "a shadow allow": (f"{MFA}shadow {CLOSE}", []),
    "the second need": (
        MFA.replace("needs", 'needs query.n > 1 else challenge "few" needs').replace(
            "any endpoint tagged money", "s.close"
        )
        + CLOSE,
        [said("employee", "`s.close`")],
    ),
    "a challenge, which another kind of token may meet": (
        'require c on s.close needs token is user else challenge "sign-in"\n' + CLOSE,
        [],
    ),
    "conditions that exclude each other": (
        MFA.replace("any endpoint tagged money", "s.close when query.n > 5")
        + CLOSE.replace("because", "when query.n <= 5 because"),
        [],
    ),
    "a condition and its negation": (
        MFA.replace("any endpoint tagged money", "s.close unless query.n == 5")
        + CLOSE.replace("because", "when query.n == 5 because"),
        [],
    ),
    "conditions that may both hold": (
        MFA.replace("any endpoint tagged money", "s.close when query.n > 5")
        + CLOSE.replace("because", "when query.n <= 6 because"),
        [said("employee", "`s.close`")],
    ),
    "a require that is for nobody who has it, and no allow": (
        "require bots for any bot on s.close needs factor mfa\n",
        ["no caller of this rule can have the factor `mfa`"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_factor_and(case: str) -> None:
    rules, want = CASES[case]
    assert warned(rules) == want


def test_no_more_pairs_are_tried_than_are_allowed() -> None:
    """With one pair left, the first allow for the kind is held against the require and the second is not."""
    away = CLOSE.replace("close for", "away for").replace("s.close", "s.read")
    asking = MFA.replace("any endpoint tagged money", "s.close")
    module = parse("m.pol", (HEAD + away + asking + CLOSE).encode()).module
    assert module is not None
    found: list[Diagnostic] = []
    inventory = take_inventory((module,), NO_SETTINGS, found)
    rules = check(inventory, bind_names(inventory, found), found).rules
    assert [each.code for each in out_of_reach(inventory, rules, most_tried=2)] == ["W811"]
    assert list(out_of_reach(inventory, rules, most_tried=1)) == []

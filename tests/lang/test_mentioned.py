"""Which settings a clause mentions: its own, those of conditions it uses, with the values of the environment."""

from __future__ import annotations

import pytest

from policy_lang.compile import settings_mentioned

OTHER = """module other
setting far: int = 7
setting unit: string = "x"
condition distant (n: int) = n > far
"""
POLICY = """module m
import other (distant)
setting big: int = 1000
setting recent: duration = 10m
setting name: string = "a\\"b"
setting office: network = 10.0.0.0/8
token user { issuer "https://id.example" claim sub: string claim at: time factor mfa at token.at }
service s { audience "s" host "s.example" endpoint one GET /one query amount: int }
condition is_big = query.amount >= big
condition is_huge (limit: int) = query.amount >= limit
condition both = is_big and distant(query.amount)
"""

CLAUSES: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "a setting": ("when query.amount >= big", "when 1", (("big", "1000"),)),
    "a text": ("when token.sub == name", "when 1", (("name", '"a\\"b"'),)),
    "a duration": ("when now - token.at < recent", "when 1", (("recent", "10m"),)),
    "two, in the order of reading": (
        "when now - token.at < recent and query.amount >= big",
        "when 1",
        (("recent", "10m"), ("big", "1000")),
    ),
    "one twice": ("when query.amount >= big or query.amount == big", "when 1", (("big", "1000"),)),
    "one in a set": ("when query.amount in [1, big]", "when 1", (("big", "1000"),)),
    "the second clause": ('when token.sub == "u" unless query.amount >= big', "unless 2", (("big", "1000"),)),
    "a condition": ("when is_big", "when 1", (("big", "1000"),)),
    "a condition of a condition, of another module": ("when both", "when 1", (("big", "1000"), ("far", "7"))),
    "an argument": ("when is_huge(big)", "when 1", (("big", "1000"),)),
    "a claim of that name": ('when token.sub == "big"', "when 1", ()),
    "a network": ("when request.ip in office", "when 1", ()),
    "a factor": ("when factor mfa within recent", "when 1", (("recent", "10m"),)),
}


@pytest.mark.parametrize("case", CLAUSES)
def test_a_clause_with(case: str) -> None:
    clauses, label, want = CLAUSES[case]
    files = {"m.pol": f'{POLICY}deny r for any user on s {clauses} because "-"\n'.encode(), "o.pol": OTHER.encode()}
    assert settings_mentioned(files) == ({("m.r", label): want} if want else {})


def test_needs_have_labels_of_their_own() -> None:
    rules = 'needs factor mfa within recent needs query.amount < big else challenge "small" needs factor mfa'
    files = {"m.pol": f"{POLICY}require r for any user on s {rules}\n".encode(), "o.pol": OTHER.encode()}
    assert settings_mentioned(files) == {
        ("m.r", "needs 1"): (("recent", "10m"),),
        ("m.r", "needs 2"): (("big", "1000"),),
    }


def test_the_values_are_those_of_the_environment() -> None:
    files = {"m.pol": f'{POLICY}deny r for any user on s when is_big because "-"\n'.encode(), "o.pol": OTHER.encode()}
    files["settings/prod.toml"] = b"big = 5\n"
    assert settings_mentioned(files, "prod") == {("m.r", "when 1"): (("big", "5"),)}


def test_of_what_does_not_compile_nothing_is_said() -> None:
    assert settings_mentioned({}) == {}
    assert settings_mentioned({"m.pol": b"module"}) == {}
    assert settings_mentioned({"m.pol": POLICY.encode()}, "nowhere") == {}

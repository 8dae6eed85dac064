"""What ends, what grows old, what is open to anyone; the rest of the table is tests/golden/check/whole_rules.chunks."""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import render

HEAD = """module m
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host "s.example" endpoint one GET /one }
allow all for any user on s because "-"
"""
DAY_MS = 86_400_000
TODAY_MS = 1_773_878_400_000  # 2026-03-19


def warned(rules: str, today_ms: int | None = TODAY_MS, written_ms: dict[str, int] | None = None) -> list[str]:
    compiled = compile_policy({"m.pol": (HEAD + rules).encode()}, None, today_ms, written_ms)
    return [f"{each.code}: {each.message}" for each in compiled.warnings]


def until(day: str) -> str:
    return f'deny r on s when request.ip == ::1 until {day} because "-"'


ENDS = {
    "long ago": ("2025-01-01", ["W807: `r` has ended"]),
    "this midnight": ("2026-03-19", ["W807: `r` has ended"]),
    "tomorrow": ("2026-03-20", ["W807: `r` ends on 2026-03-20"]),
    "in fourteen days": ("2026-04-02", ["W807: `r` ends on 2026-04-02"]),
    "in fifteen days": ("2026-04-03", []),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_rule_that_ends(name: str) -> None:
    day, wanted = ENDS[name]
    assert warned(until(day)) == wanted


def test_nothing_ends_where_the_day_is_not_known() -> None:
    assert warned(until("2025-01-01"), None) == []
    assert warned('shadow deny r on s because "-"', None, {"m.r": 0}) == []


SHADOW = 'shadow deny r on s because "-"'
OLD = {
    "thirty days old": (SHADOW, 30, []),
    "thirty-one days old": (SHADOW, 31, ["W814: `r` has been a shadow for 31 days"]),
    "no shadow": ('deny r on s when request.ip == ::1 because "-"', 400, []),
}


@pytest.mark.parametrize("name", OLD)
def test_a_shadow_rule_that_is(name: str) -> None:
    rules, days, wanted = OLD[name]
    assert warned(rules, TODAY_MS, {"m.r": TODAY_MS - days * DAY_MS}) == wanted


def test_a_shadow_rule_of_unknown_age_is_not_old() -> None:
    assert warned(SHADOW, TODAY_MS, {"m.other": 0}) == []


OBSERVED = """module m
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host "s.example" observe until 2026-03-20 endpoint one GET /one }
allow all for any user on s because "-"
"""


def test_observation_is_warned_of_until_it_is_over() -> None:
    for today_ms, wanted in ((None, 1), (TODAY_MS, 1), (TODAY_MS + DAY_MS, 0)):
        assert len(compile_policy({"m.pol": OBSERVED.encode()}, None, today_ms).warnings) == wanted


def test_what_a_person_reads() -> None:
    text = HEAD + until("2026-03-20")
    compiled = compile_policy({"m.pol": text.encode()}, None, TODAY_MS)
    assert render(compiled.warnings, compiled.sources).splitlines() == [
        "warning[W807]: `r` ends on 2026-03-20",
        "  --> m.pol:5:36",
        "  |",
        '5 | deny r on s when request.ip == ::1 until 2026-03-20 because "-"',
        "  |                                    ^^^^^^^^^^^^^^^^",
        "   = help: say a later date, or delete the rule",
    ]


MESH = """module m
workload batch = "spiffe://x/batch"
workload edge = "spiffe://x/edge"
token user { issuer "https://id.example" claim sub: string }
service mesh { audience none host "mesh.example" endpoint one GET /one endpoint two GET /two }
service other { audience none host "other.example" endpoint one GET /one }
allow others for workload edge on other because "-"
"""
NO_TOKENS = ["W809: service `mesh` takes no tokens"]
OPENED = {
    "to nobody": ("", NO_TOKENS),
    "to anyone": ('allow a for anyone on mesh because "-"', NO_TOKENS),
    "to a workload, at one endpoint": ('allow a for workload batch on mesh.one because "-"', []),
    "to a workload among others": ('allow a for any user, workload batch on mesh because "-"', []),
    "to anyone by way of a workload": ('allow a for anyone via edge on mesh because "-"', []),
    "to token kinds by way of a workload, whom the audience refuses": (
        'allow a for any user via edge on mesh because "-"',
        NO_TOKENS,
    ),
    "to a workload, by a shadow": ('shadow allow a for workload batch on mesh because "-"', NO_TOKENS),
    "to a workload, but denied": ('deny a for workload batch on mesh because "-"', NO_TOKENS),
    "to a workload, elsewhere": ('allow a for workload batch on other because "-"', NO_TOKENS),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_service_without_audience_that_is_opened(name: str) -> None:
    rules, wanted = OPENED[name]
    found = compile_policy({"m.pol": (MESH + rules).encode()}).warnings
    assert [f"{each.code}: {each.message}" for each in found if each.code == "W809"] == wanted

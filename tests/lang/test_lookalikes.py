"""Segments that some back end takes for a declared literal, and those that none does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.meaning.lookalikes import folded, spellings

ALIKE = {
    "itself": "admin",
    "capitals": "ADMIN",
    "a dot": "admin.",
    "dots": "admin...",
    "a format": "admin.json",
    "a long format": "admin.aaaaaaaaaaaa",
    "a format with a sign": "admin.a-b",
    "two formats": "admin.tar.gz",
    "a blank": "admin ",
    "a plus": "admin+",
    "a stream": "admin::$DATA",
    "another stream": "admin:$I30:$INDEX_ALLOCATION",
    "wide letters": "\uff41\uff44\uff4d\uff49\uff4e",
    "an i without a dot": "adm\u0131n",
    "an I with a dot": "ADM\u0130N",
    "a hyphen that does not show": "ad\u00admin",
    "a joiner": "ad\u200dmin",
    "a mark of direction": "admin\u200e",
    "an invisible sign": "adm\u2061in",
    "a variation": "admin\ufe0f",
    "a grapheme joiner": "ad\u034fmin",
}


@pytest.mark.parametrize("segment", ALIKE.values(), ids=ALIKE.keys())
def test_it_may_be_looked_up_as_admin(segment: str) -> None:
    assert "admin" in spellings(segment)


OTHERS = {
    "a longer word": "administrator",
    "a word before": "sub-admin",
    "another letter": "\u0430dmin",
    "a suffix without a dot": "admin-json",
    "a dot before": ".admin",
    "a colon": "admin:run",
    "nothing": "",
}


@pytest.mark.parametrize("segment", OTHERS.values(), ids=OTHERS.keys())
def test_it_is_another_name(segment: str) -> None:
    assert "admin" not in spellings(segment)


def test_a_name_with_a_dot_has_a_format_behind_it() -> None:
    assert {"v1.0", "v1", "v1.0.json"} == set(spellings("v1.0.json"))


@given(st.text(max_size=12))
def test_case_says_nothing(segment: str) -> None:
    """folded is idempotent, and folded(x) is among spellings(y) for x that differ from y in case alone."""
    assert folded(folded(segment)) == folded(segment)
    assert set(spellings(segment.upper())) & set(spellings(segment)) or not segment

"""Replies that are kept are those that are written: for every decision and inquiry, also the second time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.model import EXT_AUTHZ, Decision, Inquiry, Minted
from pdp.transports.ext_authz import write
from pdp.transports.replies import MOST_KEPT, Replies
from policy_lang.verdict import Duties, Header, Observed

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
MARKS = st.sampled_from(["m.rule", "@" * 32, "7777777777777", "é", ""])

decisions = st.builds(
    Decision,
    outcome=st.sampled_from(["allow", "allow", "allow", "deny", "step_up"]),
    by=st.lists(MARKS | st.just("m.r2"), min_size=1, max_size=2).map(tuple),
    reason=st.sampled_from(["rule", "observed", "@" * 32]),
    id=IDS | st.none() | st.just("0" * 31),
    policy=st.sampled_from(["", "a" * 64, "@" * 32]),
    authenticated=st.booleans(),
    duties=st.sampled_from([Duties(), Duties(removed=("x-old",)), Duties(headers=(Header("x-user", "u"),))]),
    advice=st.sampled_from([Duties(), Duties(headers=(Header("x-hint", "h"),)), Duties(removed=("x-a",))]),
    minted=st.none() | st.just(Minted("t", "j", "k", "orders", 1, "0" * 32)),
    status=st.none() | st.just(404),
    observed=st.none() | st.just(Observed("deny", ("default",), "default.no_rule", "")),
    valid_until_ms=st.none() | st.sampled_from([0, 1_800_000_000_000, 7_777_777_777_777, 99_999_999_999_999]),
    identity_headers=st.frozensets(st.sampled_from(["x-user", "x-role", "x-old"])),
)
inquiries = st.none() | st.builds(
    Inquiry,
    service=st.none(),
    method=st.just("GET"),
    path=st.just("/"),
    host=st.just("a.example"),
    headers=st.lists(
        st.sampled_from([("x-portcullis-a", "1"), ("x-portcullis-b", "2"), ("accept", "*/*"), ("x-portcullis-é", "")]),
        max_size=3,
    ).map(tuple),
    gateway=st.just("edge"),
    capabilities=st.sampled_from([EXT_AUTHZ, frozenset(), frozenset({"set_header"}), frozenset({"remove_header"})]),
)
kept_throughout = Replies({})


@settings(max_examples=400, deadline=None)
@given(decisions, inquiries, IDS, st.sampled_from([1_800_000_000_000, 1_900_000_000_001]))
def test_a_reply_is_the_same_whether_it_was_kept_or_not(
    decision: Decision, inquiry: Inquiry | None, other_id: str, other_ms: int
) -> None:
    """For all d, i: reply(d, i) = write(d, i), also of d with another id and another end, whatever was kept before."""
    later = replace(
        decision,
        id=None if decision.id is None else other_id,
        valid_until_ms=None if decision.valid_until_ms is None else other_ms,
    )
    for each in (decision, later, decision):
        assert kept_throughout.write(each, inquiry) == write(each, inquiry, {})


def test_an_id_that_holds_the_digits_of_the_mark_stands_as_it_is() -> None:
    writer = Replies({})
    inquiry = Inquiry(None, "GET", "/", "a.example", (), "edge", capabilities=EXT_AUTHZ)
    for id_ in ("7" * 32, "0" * 32):
        decision = Decision("allow", ("m.r",), "rule", id=id_, valid_until_ms=1_800_000_000_000)
        assert writer.write(decision, inquiry) == write(decision, inquiry, {})


def test_usual_allows_are_kept_and_no_more_than_a_bound() -> None:
    writer = Replies({})
    inquiry = Inquiry(None, "GET", "/", "a.example", (), "edge", capabilities=EXT_AUTHZ)
    for number in range(MOST_KEPT + 10):
        decision = Decision("allow", (f"m.r{number}",), "rule", id=f"{number:032x}", policy="b" * 64)
        assert writer.write(decision, inquiry) == write(decision, inquiry, {})
    assert 0 < len(writer._kept) <= MOST_KEPT


def test_words_of_a_client_are_kept_nowhere() -> None:
    writer = Replies({})
    decision = Decision("allow", ("m.r",), "rule", id="0" * 32, policy="b" * 64)
    for number in range(10):
        sent = ((f"x-portcullis-{number}", "1"), ("accept", "*/*"))
        inquiry = Inquiry(None, "GET", "/", "a.example", sent, "edge", capabilities=EXT_AUTHZ)
        assert writer.write(decision, inquiry) == write(decision, inquiry, {})
    assert writer._kept == {}

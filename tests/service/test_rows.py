"""What a listing has of a record: corrections, records of other forms, filters and groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.aggregate import AGGREGATE, aggregate_fields, numbers_field
from pdp.audit.rows import Answer, Row, corrected, correcting, corrections_in, full, rows_of
from pdp.audit.selection import UNSAID, Groups, Selection, grouped_value
from pdp.model import Json
from tests.support.logs import BOOT, IDS, T0_US, record

ORDERS = {"d": "allow", "by": ["shop.own"], "rc": "rule", "sv": "orders", "ep": "orders.list", "gw": "edge", "m": "GET"}
"""The clear fields of an allow."""


def decision(seq: int, **clear: Json) -> bytes:
    return record(seq, **{**ORDERS, **clear})


def changed(seq: int, of: int, writer: int = 0, by: str = "deadline") -> bytes:
    """The record that says another answer than that of record `of` of writer 0 left."""
    named = IDS.make(BOOT, 0, of)
    return record(seq, writer=writer, kind="answer.changed", of=named, d="deny", by=[by], rc=f"{by}.mint")


def aggregate(seq: int, count: int, first_us: int, last_us: int, **clear: Json) -> bytes:
    shared = {**ORDERS, "d": "deny", "by": ["default"], "rc": "default", **clear}
    fields = aggregate_fields(shared, count, first_us, last_us, last_us) | numbers_field(1, count)
    return record(seq, kind=AGGREGATE, **fields)


def rows(*leaves: bytes, origin: str = "a/log") -> list[Row]:
    noted: list[str] = []
    found = rows_of(list(enumerate(leaves)), origin, noted.append)
    assert noted == []
    return found


def test_a_decision_as_it_was_recorded() -> None:
    (row,) = rows(decision(5))
    assert (row.id, row.kind, row.index, row.origin) == (IDS.make(BOOT, 0, 5), "decision", 0, "a/log")
    assert row.answer == Answer("allow", ("shop.own",), "rule")
    assert (row.service, row.endpoint, row.gateway, row.method) == ("orders", "orders.list", "edge", "GET")
    assert (row.at_us, row.first_us, row.last_us, row.count) == (T0_US + 5, T0_US + 5, T0_US + 5, 1)
    assert row.recorded is None


def test_a_correction_changes_the_decision_it_names_and_no_other() -> None:
    leaves = [decision(1), decision(2), changed(3, of=1)]
    corrections = corrections_in(enumerate(leaves))
    first, second, third = (corrected(row, corrections) for row in rows(*leaves))
    assert first.answer == Answer("deny", ("deadline",), "deadline.mint")
    assert first.recorded == Answer("allow", ("shop.own",), "rule")
    assert first.corrected_by == third.id
    assert (second.answer, second.recorded) == (Answer("allow", ("shop.own",), "rule"), None)
    assert third.recorded is None


def test_of_several_corrections_the_last_one_tells_what_left() -> None:
    leaves = [decision(1), changed(2, of=1), changed(3, of=1, by="audit")]
    first = corrected(rows(*leaves)[0], corrections_in(enumerate(leaves)))
    assert first.answer is not None
    assert first.answer.by == ("audit",)


def test_another_writer_corrects_nothing() -> None:
    assert corrections_in(enumerate([decision(1), changed(3, of=1, writer=7)])) == {}


def test_a_record_that_only_mentions_a_correction_is_none() -> None:
    mentioning = record(1, note='"k":"answer.changed"', of=IDS.make(BOOT, 0, 1), sj="answer.changed")
    assert corrections_in([(0, mentioning)]) == {}


def test_a_late_correction_says_what_it_corrects() -> None:
    first, second = rows(decision(1), changed(2, of=1))
    late = correcting(second, first)
    assert (late.service, late.endpoint, late.gateway) == ("orders", "orders.list", "edge")
    assert late.answer == Answer("deny", ("deadline",), "deadline.mint")
    assert late.recorded == first.answer


def test_a_record_without_an_instant_has_its_neighbours() -> None:
    without = changed(2, of=1).replace(b',"t":%d' % (T0_US + 2), b"")
    assert b'"t":' not in without
    assert [row.at_us for row in rows(decision(1), without, decision(9))] == [T0_US + 1, T0_US + 1, T0_US + 9]
    assert [row.at_us for row in rows(without, decision(9))] == [T0_US + 9, T0_US + 9]
    assert [row.at_us for row in rows(without)] == [0]


def test_what_stands_there_in_another_form_counts_as_not_said() -> None:
    (row,) = rows(record(1, d=["allow"], by="nobody", sv=7, ep="orders.list", t="noon"))
    assert (row.answer, row.service, row.endpoint, row.at_us) == (Answer("", (), ""), "", "orders.list", 0)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[]", b'{"id":"x","k":"decision","v":1}', b'{"k":"decision"'])
def test_what_is_no_record_is_named_and_not_shown(data: bytes) -> None:
    noted: list[str] = []
    assert [row.index for row in rows_of([(6, decision(1)), (7, data)], "", noted.append)] == [6]
    assert [text.partition(" cannot")[0] for text in noted] == ["record 7"]


def test_a_record_of_another_spelling_is_not_shown() -> None:
    noted: list[str] = []
    (row,) = rows_of([(3, decision(1).replace(b'"m":"GET"', b'"m": "GET"'))], "", noted.append)
    assert full(row, noted.append) is None
    assert noted
    assert noted[0].startswith("record 3 is not shown: ")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(data: bytes) -> None:
    rows_of([(None, data)], "", lambda _: None)
    corrections_in([(None, data + b'"answer.changed"')])


# ---------------------------------------------------------------- filters

TAKEN = {
    "everything": (Selection(), [1, 2, 3, 4, 5]),
    "one service": (Selection(services=frozenset({"orders"})), [1, 2]),
    "two services": (Selection(services=frozenset({"orders", "ledger"})), [1, 2, 3]),
    "an endpoint": (Selection(endpoints=frozenset({"ledger.read"})), [3]),
    "a shape": (Selection(endpoints=frozenset({"/a/{int}"})), [2]),
    "an endpoint that nobody names": (Selection(endpoints=frozenset({""})), []),
    "a rule": (Selection(rules=frozenset({"shop.own"})), [1]),
    "a rule that is not the primary one": (Selection(rules=frozenset({"shop.second"})), [3]),
    "a word": (Selection(rules=frozenset({"default"})), [2]),
    "allows": (Selection(decisions=frozenset({"allow"})), [1]),
    "a gateway": (Selection(gateways=frozenset({"inner"})), [3]),
    "a reason": (Selection(reasons=("path.encoded_slash",)), [2]),
    "the reasons under a word": (Selection(reasons=("path",)), [2]),
    "a word that only begins so": (Selection(reasons=("pat",)), []),
    "a kind": (Selection(kinds=("decision",)), [1, 2, 3]),
    "the kinds under a word": (Selection(kinds=("log",)), [4]),
    "a filter and a kind that has none of it": (Selection(services=frozenset({"orders"}), kinds=("log",)), []),
    "since": (Selection(since_us=T0_US + 3), [3, 4, 5]),
    "until, which is not in it": (Selection(until_us=T0_US + 3), [1, 2]),
    "one instant": (Selection(since_us=T0_US + 3, until_us=T0_US + 4), [3]),
}


@pytest.mark.parametrize("case", TAKEN)
def test_takes(case: str) -> None:
    selection, expected = TAKEN[case]
    found = rows(
        decision(1),
        decision(2, d="deny", by=["default"], rc="path.encoded_slash", ep=None, rt="/a/{int}"),
        decision(3, d="step_up", by=["bank.first", "shop.second"], sv="ledger", ep="ledger.read", gw="inner"),
        record(4, kind="log.stop"),
        record(5, kind="context"),
    )
    assert [row.at_us - T0_US for row in found if selection.takes(row)] == expected


def test_the_answer_that_left_is_what_filters_look_at() -> None:
    leaves = [decision(1), changed(2, of=1)]
    found = [corrected(row, corrections_in(enumerate(leaves))) for row in rows(*leaves)]
    denied = Selection(decisions=frozenset({"deny"}))
    assert [row.kind for row in found if denied.takes(row)] == ["decision"]
    assert not any(Selection(decisions=frozenset({"allow"})).takes(row) for row in found)


def test_an_aggregate_is_of_all_the_time_it_covers() -> None:
    (row,) = rows(aggregate(9, 4, T0_US + 100, T0_US + 200))
    assert (row.count, row.first_us, row.last_us) == (4, T0_US + 100, T0_US + 200)
    assert Selection(since_us=T0_US + 200).takes(row)
    assert not Selection(since_us=T0_US + 201).takes(row)
    assert Selection(until_us=T0_US + 101).takes(row)
    assert not Selection(until_us=T0_US + 100).takes(row)


# ---------------------------------------------------------------- groups


def test_groups_count_what_stands_in_an_aggregate() -> None:
    groups = Groups("decision")
    for row in rows(decision(1), decision(2), aggregate(9, 40, T0_US - 5, T0_US + 5), record(4, kind="log.stop")):
        groups.add(row)
    assert [(g.value, g.count, g.first_us - T0_US, g.last_us - T0_US) for g in groups.sorted()] == [
        ("deny", 40, -5, 5),
        ("allow", 2, 1, 2),
    ]


def test_a_correction_is_not_counted_beside_its_decision() -> None:
    leaves = [decision(1), decision(2), changed(3, of=1)]
    groups = Groups("decision")
    for row in rows(*leaves):
        groups.add(corrected(row, corrections_in(enumerate(leaves))))
    assert {g.value: g.count for g in groups.sorted()} == {"allow": 1, "deny": 1}


def test_groups_of_several_logs_name_them() -> None:
    groups = Groups("service")
    for origin in ("a/log", "b/log"):
        for row in rows(decision(1), origin=origin):
            groups.add(row)
    (group,) = groups.sorted()
    assert (group.count, group.origins) == (2, {"a/log", "b/log"})


def test_beyond_the_most_groups_is_counted_together() -> None:
    groups = Groups("endpoint", most=2)
    for seq, name in enumerate(["a", "b", "c", "a", "d"], 1):
        for row in rows(decision(seq, ep=name)):
            groups.add(row)
    assert ({g.value: g.count for g in groups.sorted()}, groups.others) == ({"a": 2, "b": 1}, 2)


WORDS = {
    "rule": "shop.own",
    "endpoint": "orders.list",
    "service": "orders",
    "gateway": "edge",
    "decision": "allow",
    "reason": "rule",
}


@pytest.mark.parametrize("by", WORDS)
def test_what_a_group_is_of(by: str) -> None:
    said, unsaid = rows(decision(1), record(2))
    assert grouped_value(said, by) == WORDS[by]  # type: ignore[arg-type]
    assert grouped_value(unsaid, by) == UNSAID  # type: ignore[arg-type]


def test_an_undeclared_path_stands_by_its_shape() -> None:
    (row,) = rows(decision(1, ep=None, rt="/a/{word}"))
    assert grouped_value(row, "endpoint") == "/a/{word}"

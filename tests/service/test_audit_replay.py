"""Past decisions made again: which records come out, once each; what agrees, differs, is damaged, cannot be decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from pdp.audit import ids
from pdp.audit.aggregate import AGGREGATE
from pdp.audit.disk import Folder
from pdp.audit.frame import GENESIS, encode_frame, scan
from pdp.audit.keys import load_keys
from pdp.audit.leaf import Leaf, Sealed, encode, parse
from pdp.audit.record import Entry, decision_entry
from pdp.audit.replay_engines import MOST_ENGINES, Engines, stored_engines
from pdp.audit.replay_groups import MOST_EXAMPLES, MOST_GROUPS, OTHERS, Groups
from pdp.audit.replay_log import AGAIN, ELSEWHERE, TIMELESS, LogPlace, Span, decisions
from pdp.audit.replay_log import Past as Decided
from pdp.audit.replaying import MOST_DIFFERING, Verified, verify_decisions
from pdp.audit.sequencer import Sequencer
from pdp.audit.tiles import TileError
from pdp.config_identity import IssuerConfig
from pdp.errors import PolicyError
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.model import Json
from pdp.runtime.bundle import read_folder
from pdp.runtime.engine import Engine
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question, Verdict
from tests.support.cases import NOW, cases, inquiry, issuers
from tests.support.cases import POLICY as CASES
from tests.support.cases import engine as cases_engine
from tests.support.logs import add_wal, ignore, newer_frames, record, records
from tests.support.replays import NOW_US, POLICY, Past, asks, bundle, engine, past_in, recorded
from tests.support.signed_logs import signed_files

EVERYWHERE = Span()


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return past_in(tmp_path / "state")


def _verified(past: Past, every: int = 1, engines: Engines | None = None, span: Span = EVERYWHERE) -> Verified:
    keys = load_keys(past.state.keys)
    made = stored_engines(past.state.bundles) if engines is None else engines
    return verify_decisions(decisions(past.place, span, ignore), keys, made, every)


def _integrate(past: Past) -> None:
    keys = load_keys(past.state.keys)
    sequencer = Sequencer(Folder(past.state.log), Folder(past.state.wal), keys.origin, keys.sign_key, lambda: 0.0)
    sequencer.start()
    while sequencer.integrate():
        pass
    sequencer.publish()


# ---------------------------------------------------------------- which records come out


def _ids(past: Past, span: Span = EVERYWHERE) -> list[str]:
    return [each.leaf.id for each in decisions(past.place, span, ignore)]


def test_of_an_empty_log_nothing_comes_out(past: Past) -> None:
    assert _ids(past) == []
    assert _verified(past) == Verified(0, 0, 0, 0, (), (), ())


def test_records_of_the_tree_and_of_write_ahead_logs_come_out_once_each(past: Past) -> None:
    entry = recorded(asks(), engine())
    in_tree = past.write([entry] * 3)
    _integrate(past)
    waiting = past.write([entry] * 2)
    assert _ids(past) == in_tree + waiting


@pytest.mark.parametrize("held", [0, 1, 99, 100, 150])
def test_of_a_write_ahead_log_that_the_tree_holds_in_part_the_rest_comes_out(held: int, tmp_path: Path) -> None:
    """Wherever in its frames the tree ends."""
    leaves = [record(0, kind="context"), *records(250)[1:]]
    Folder(tmp_path / "log").replace(signed_files(leaves[:held]))
    add_wal(tmp_path, leaves)
    found = decisions(LogPlace(tmp_path / "log", tmp_path / "wal"), EVERYWHERE, ignore)
    assert [(each.leaf.id, each.fault) for each in found] == [(parse(leaf).id, "") for leaf in leaves[1:]]


def test_a_write_ahead_log_that_the_tree_takes_over_while_it_is_read_is_not_missed(past: Past) -> None:
    entry = recorded(asks(), engine())
    first = past.write([entry] * 2)
    _integrate(past)
    second = past.write([entry] * 2)
    going = decisions(past.place, EVERYWHERE, ignore)
    found = [next(going).leaf.id]
    _integrate(past)
    for wal in past.state.wal.glob("*.wal"):
        wal.unlink()
    assert found + [each.leaf.id for each in going] == first + second


def test_a_damaged_write_ahead_log_is_named(past: Past) -> None:
    past.write([recorded(asks(), engine())])
    past.write([recorded(asks(), engine())])
    for wal in past.state.wal.glob("*.wal"):
        data = bytearray(wal.read_bytes())
        data[200] ^= 1
        wal.write_bytes(data)
    with pytest.raises(TileError, match=r"\.wal is damaged after 0 bytes"):
        _ids(past)


SPANS: dict[str, tuple[Span, list[int]]] = {
    "the first instant is in": (Span(since_us=NOW_US + 1), [1, 2]),
    "the last is not": (Span(until_us=NOW_US + 1), [0]),
    "both": (Span(since_us=NOW_US + 1, until_us=NOW_US + 2), [1]),
    "another service": (Span(service="archive"), []),
    "this service": (Span(service="orders"), [0, 1, 2]),
}


@pytest.mark.parametrize(("span", "wanted"), SPANS.values(), ids=SPANS.keys())
def test_a_span_holds(span: Span, wanted: list[int], past: Past) -> None:
    written = past.write([recorded(asks(), engine(), NOW_US + number) for number in range(3)])
    assert _ids(past, span) == [written[number] for number in wanted]


def test_an_aggregate_is_of_a_span_where_any_of_its_calls_may_be(past: Past) -> None:
    stated: dict[str, Json] = {"d": "deny", "by": ["token"], "rc": "token.expired", "ct": 7}
    (wanted,) = past.write([Entry(AGGREGATE, {**stated, "t0": NOW_US - 9, "t1": NOW_US - 5, "t": NOW_US}, None)])
    spans = [
        Span(until_us=NOW_US - 9),
        Span(until_us=NOW_US - 8),
        Span(since_us=NOW_US - 5, until_us=NOW_US),
        Span(since_us=NOW_US - 4),
    ]
    assert [_ids(past, span) for span in spans] == [[], [wanted], [wanted], []]


def test_a_run_that_began_before_the_span_is_opened(past: Past) -> None:
    past.write([recorded(asks(), engine(), NOW_US + number) for number in range(3)])
    verified = _verified(past, span=Span(since_us=NOW_US + 2))
    assert (verified.decisions, verified.agreed, verified.is_sound) == (1, 1, True)


def test_a_write_ahead_log_of_a_newer_version_is_named(past: Past) -> None:
    past.write([recorded(asks(), engine())])
    (wal,) = past.state.wal.glob("*.wal")
    wal.write_bytes(newer_frames(1))
    with pytest.raises(TileError, match=r"\.wal goes on after 0 bytes in format 2, which this version cannot read"):
        _ids(past)


# ---------------------------------------------------------------- records at a wrong place


def _again(leaves: list[bytes]) -> list[bytes]:
    return [*leaves, *leaves[1:3]]


def _too_late(leaves: list[bytes]) -> list[bytes]:
    return [leaves[0], leaves[2], leaves[1], *leaves[3:]]


def _behind_a_number_as_far_as_it_goes(leaves: list[bytes]) -> list[bytes]:
    """Somebody put a record there whose number no other reaches."""
    start = parse(leaves[0])
    place = ids.parse(start.id)
    far = ids.IdKey(bytes(32)).make(place.boot, place.writer, 2**40 - 1)
    return [leaves[0], encode("context", far, {"t": NOW_US}, None), *leaves[1:]]


WRONG_PLACES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, int]] = {
    "a number that comes again": (_again, 4, 2),
    "a number that comes too late": (_too_late, 3, 1),
    "all behind a number as far as it goes": (_behind_a_number_as_far_as_it_goes, 0, 4),
}


@pytest.mark.parametrize(("change", "agreed", "wrong"), WRONG_PLACES.values(), ids=WRONG_PLACES.keys())
def test_a_record_whose_number_is_out_of_order_is_counted_and_not_sound(
    change: Callable[[list[bytes]], list[bytes]], agreed: int, wrong: int, past: Past
) -> None:
    past.write([recorded(asks(), engine())] * 4)
    past.arrange(change)
    verified = _verified(past)
    assert (verified.decisions, verified.agreed, verified.is_sound) == (agreed + wrong, agreed, False)
    assert [(each.words, each.count) for each in verified.broken] == [((AGAIN,), wrong)]


def test_a_record_that_keeps_nothing_and_is_out_of_order_is_not_sound(past: Past) -> None:
    past.write([replace(recorded(asks("/orders/9"), engine()), inputs=None)] * 2)
    past.arrange(_too_late)
    verified = _verified(past)
    assert [each.words for each in verified.broken] == [(AGAIN,)]
    assert sum(each.count for each in verified.undecidable) == 1


def test_a_write_ahead_log_under_another_name_is_counted_and_not_sound(past: Past) -> None:
    past.write([recorded(asks(), engine())] * 2)
    (wal,) = past.state.wal.glob("*.wal")
    wal.with_name(f"05{wal.name[2:]}").write_bytes(wal.read_bytes())
    verified = _verified(past)
    assert (verified.decisions, verified.agreed, verified.is_sound) == (4, 2, False)
    assert [(each.words, each.count) for each in verified.broken] == [((ELSEWHERE,), 2)]


@pytest.mark.parametrize("stated", [{}, {"t": True}, {"t": "2027-01-15"}], ids=["no", "true", "a text"])
def test_of_a_record_without_an_instant_it_is_said_that_nobody_can_tell(stated: dict[str, Json], past: Past) -> None:
    past.write([recorded(asks(), engine())])
    past.rewrite(lambda leaf: replace(leaf, clear={**{n: v for n, v in leaf.clear.items() if n != "t"}, **stated}))
    for span in (Span(since_us=NOW_US), Span(until_us=NOW_US)):
        verified = _verified(past, span=span)
        assert [(each.words, each.count) for each in verified.broken] == [((TIMELESS,), 1)]
    assert _verified(past, span=Span(service="archive")).decisions == 0
    assert TIMELESS not in [each.words[0] for each in _verified(past).broken]


# ---------------------------------------------------------------- what agrees


def test_every_decision_case_comes_out_the_same(past: Past, tmp_path: Path) -> None:
    configured = [
        IssuerConfig(url=each.url, keys=each.write_keys(tmp_path / f"{number}.json"), algorithms=("ES256",))
        for number, each in enumerate(issuers())
    ]
    evaluator = Evaluator(
        cases_engine, Identity(Verifier(read_issuers(configured))), service_from_host=True, compare_every=0
    )
    entries: list[Entry] = []
    for case in cases():
        made = evaluator.evaluate(inquiry(case, NOW), NOW_US)
        entries.append(decision_entry(made.decision, made.evidence, made.engine, NOW_US, "edge", None))
    past.write(entries)
    past.keep(read_folder(CASES))
    verified = _verified(past)
    assert (verified.decisions, verified.differed, verified.broken) == (len(entries), 0, ())
    assert verified.agreed == verified.defined > len(entries) * 0.6
    assert verified.agreed + sum(each.count for each in verified.undecidable) == len(entries)
    assert verified.is_sound


def test_each_record_is_decided_by_its_own_policy(past: Past) -> None:
    stricter = POLICY.replace('token.team == "ops"', 'token.team == "root"')
    past.keep(bundle(stricter))
    past.write([recorded(asks("/orders/9", team="ops"), each) for each in (engine(), engine(stricter), engine())])
    verified = _verified(past)
    assert (verified.agreed, verified.differed, verified.is_sound) == (3, 0, True)


def test_of_many_some_are_made_by_the_definition_too(past: Past) -> None:
    past.write([recorded(asks(), engine())] * 25)
    assert _verified(past, every=10).defined == 3


# ---------------------------------------------------------------- what differs


class _Lenient(Plans):
    """Plans that are wrong: everything passes."""

    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow")


def _lenient(policy: str = POLICY) -> Engine:
    made = engine(policy)
    return replace(made, plans=_Lenient.of(made.program))


def test_an_answer_that_the_policy_never_gave_differs_and_is_named(past: Past) -> None:
    right, wrong = past.write([recorded(asks(), engine()), recorded(asks("/orders/9"), _lenient())])
    verified = _verified(past, every=50)
    assert (verified.agreed, verified.differed, verified.is_sound) == (1, 1, False)
    (differing,) = verified.differing
    assert (differing.id, differing.policy, differing.at_us) == (wrong, bundle().digest, NOW_US)
    assert differing.recorded == "allow by default (default.no_rule)"
    assert differing.now == "deny by default (default.no_rule)"
    assert right != wrong


CHANGES: dict[str, dict[str, Json]] = {
    "another outcome": {"d": "deny"},
    "another rule": {"by": ["shop.teams"]},
    "an obligation that was not": {"ob": ["remove_header x-debug"]},
    "an alert that was not": {"al": ["soc"]},
    "another endpoint": {"ep": "orders.write"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_record_that_was_changed_differs(changes: dict[str, Json], past: Past) -> None:
    (wanted,) = past.write([recorded(asks(), engine())])
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, **changes}))
    verified = _verified(past)
    assert [each.id for each in verified.differing] == [wanted]


def test_plans_that_differ_from_their_definition_are_told_even_where_the_record_agrees_with_them(past: Past) -> None:
    past.write([recorded(asks("/orders/9"), _lenient())])
    verified = _verified(past, engines=Engines(lambda _: _lenient()))
    (differing,) = verified.differing
    assert differing.now.endswith("by the definition, allow by default (default.no_rule) by its compiled form")


def test_no_more_than_a_bounded_number_that_differ_is_kept(past: Past) -> None:
    wrong = recorded(asks("/orders/9"), _lenient())
    found = decisions(past.place, EVERYWHERE, ignore)
    past.write([wrong])
    (one,) = found
    many = verify_decisions(
        [one] * (MOST_DIFFERING + 5), load_keys(past.state.keys), stored_engines(past.state.bundles)
    )
    assert (many.differed, len(many.differing)) == (MOST_DIFFERING + 5, MOST_DIFFERING)


# ---------------------------------------------------------------- what is damaged, and what cannot be decided


def _moved(past: Past) -> None:
    boxes: list[Sealed | None] = []

    def change(leaf: Leaf) -> Leaf:
        boxes.append(leaf.sealed)
        return replace(leaf, sealed=boxes[0])

    past.rewrite(change)


def _emptied(past: Past) -> None:
    (stored,) = past.state.bundles.glob("*.zip")
    stored.unlink()


def _cut_short(past: Past) -> None:
    (stored,) = past.state.bundles.glob("*.zip")
    stored.write_bytes(stored.read_bytes()[:-1])


def _named_otherwise(past: Past) -> None:
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, "pb": "../../etc/passwd"}))


def _beheaded(past: Past) -> None:
    """The record that states the salt is another."""
    for wal in past.state.wal.glob("*.wal"):
        data, previous = b"", GENESIS
        for frame in scan(wal.read_bytes()).frames:
            leaves = [each.replace(b'"log.start"', b'"log.begin"') for each in frame.leaves]
            data += encode_frame(frame.writer, frame.first_seq, leaves, previous)
            previous = scan(data).frames[-1].digest
        wal.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Past], None], int, str]] = {
    "a box of another record": (_moved, 1, "the box of the record was sealed for another record"),
    "a bundle that is gone": (_emptied, 2, "cannot be loaded (P106)"),
    "a bundle that was cut": (_cut_short, 2, "cannot be loaded (P105)"),
    "a policy whose name leads out": (_named_otherwise, 2, "cannot be loaded (P106)"),
    "a run without its start": (_beheaded, 2, "the log.start record of its writer is not in the log"),
}


@pytest.mark.parametrize(("damage", "count", "said"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_evidence_is_not_sound(damage: Callable[[Past], None], count: int, said: str, past: Past) -> None:
    written = past.write([recorded(asks(), engine())] * 2)
    damage(past)
    verified = _verified(past)
    assert [(each.count, each.examples) for each in verified.broken] == [(count, tuple(written[2 - count :]))]
    assert said in verified.broken[0].words[0]
    assert (verified.agreed, verified.is_sound) == (2 - count, False)


def test_boxes_of_another_key_are_damaged(past: Past) -> None:
    past.write([recorded(asks(), engine())])
    keys = dataclasses.replace(load_keys(past.state.keys), box_key=bytes(32))
    found = verify_decisions(decisions(past.place, EVERYWHERE, ignore), keys, stored_engines(past.state.bundles))
    assert [each.words for each in found.broken] == [
        ("the box of the record was sealed with another key than keys/box.key",)
    ]


def test_inputs_that_are_not_what_a_record_holds_are_damaged(past: Past) -> None:
    entry = recorded(asks(), engine())
    past.write([replace(entry, inputs=b'{"at": 1}'), replace(entry, inputs=b"no JSON")])
    verified = _verified(past)
    assert sum(each.count for each in verified.broken) == 2
    assert verified.agreed == 0


MINIMAL = POLICY + 'require quiet for any user on orders must log minimal because "much asked"\n'


def test_what_keeps_no_inputs_cannot_be_decided_again_and_is_no_fault(past: Past) -> None:
    past.keep(bundle(MINIMAL))
    entry = recorded(asks(), engine(MINIMAL))
    aggregate: dict[str, Json] = {"d": "deny", "by": ["token"], "rc": "token.expired", "ct": 7, "t": NOW_US}
    lost = replace(recorded(asks("/orders/9"), engine()), inputs=None)
    past.write([entry, lost, Entry(AGGREGATE, aggregate, None)])
    verified = _verified(past)
    assert {(each.words[0], each.count) for each in verified.undecidable} == {
        ("inputs not kept (log minimal)", 1),
        ("inputs not in the record, which could not hold them", 1),
        ("refusals that one record stands for, without inputs", 7),
    }
    assert (verified.decisions, verified.is_sound) == (9, True)


FAULTS: dict[str, dict[str, Json]] = {
    "a refusal by token": {"by": ["token"], "rc": "token.expired"},
    "a fault": {"by": ["internal"], "rc": "internal.error"},
    "no policy": {"by": ["internal"], "rc": "internal.no_policy", "pb": ""},
    "evaluators that differed": {"by": ["internal"], "rc": "internal.disagreement"},
}


@pytest.mark.parametrize("changes", FAULTS.values(), ids=FAULTS.keys())
def test_what_no_record_decides_is_undecidable(changes: dict[str, Json], past: Past) -> None:
    past.write([recorded(asks(), engine())])
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, "d": "deny", **changes}))
    verified = _verified(past)
    assert [each.count for each in verified.undecidable] == [1]
    assert verified.is_sound


# ---------------------------------------------------------------- what is kept in memory


def test_a_few_engines_are_kept_and_one_that_fails_is_asked_for_once() -> None:
    loaded: list[str] = []

    def load(digest: str) -> Engine:
        loaded.append(digest)
        if digest == "bad":
            raise PolicyError("P106", "no such bundle")
        return made

    made = engine()
    engines = Engines(load)
    for number in (*range(MOST_ENGINES + 1), MOST_ENGINES, 0):
        engines.of(str(number))
    assert loaded == [*map(str, range(MOST_ENGINES + 1)), "0"]
    for _ in range(2):
        with pytest.raises(PolicyError):
            engines.of("bad")
    assert loaded.count("bad") == 1


def _decided(number: int) -> Decided:
    return Decided(Leaf("decision", f"{number:032x}", {"t": number}, None), None)


def test_groups_are_bounded_and_what_is_too_many_is_counted() -> None:
    groups = Groups()
    for number in range(MOST_GROUPS + 5):
        groups.add(_decided(number), f"word {number}", "x")
    assert groups.count == MOST_GROUPS + 5
    (largest, *_) = groups.largest_first()
    assert (largest.words, largest.count, len(largest.examples)) == ((OTHERS, OTHERS), 5, MOST_EXAMPLES)
    assert (largest.first_us, largest.last_us) == (MOST_GROUPS, MOST_GROUPS + 4)

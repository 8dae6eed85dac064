"""`pdp audit show`: what it says of a record, of a box that does not belong, and of an answer that was changed."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from pdp.audit.disk import Folder
from pdp.audit.files import open_log_file
from pdp.audit.frame import GENESIS, encode_frame, scan
from pdp.audit.ids import IdKey
from pdp.audit.keys import create_keys, load_keys
from pdp.audit.leaf import Sealed, encode, parse
from pdp.audit.reader import find
from pdp.audit.record import decision_entry
from pdp.audit.sequencer import Sequencer
from pdp.audit.writer import LogWriter, Receipt
from pdp.cli import main
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import EXT_AUTHZ, Asserted, Body, Inquiry, Json, Principal
from pdp.runtime.bundle import read_folder
from pdp.runtime.engine import Engine
from pdp.runtime.store import BundleStore
from pdp.state import State, prepare_state
from policy_lang.meaning.admission import Call, Refused
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Question, Verdict
from tests.support.cases import NOW, POLICY, engine
from tests.support.command import run_pdp
from tests.support.logs import KEY, ORIGIN

Claims = Mapping[str, Json]
CLAIMS: Claims = {"sub": "canary-1", "accounts": ["canary-2"], "aud": "ledger"}
Show = Callable[..., tuple[int, str]]


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = prepare_state(tmp_path / "state")
    create_keys(state.keys, "test.example/log", os.urandom)
    BundleStore(state.bundles).keep(read_folder(POLICY))
    return state


@pytest.fixture
def show(capfd: pytest.CaptureFixture[str], state: State) -> Show:
    def run(record_id: str, *options: str) -> tuple[int, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["audit", "show", record_id, "--state", str(state.root), *options])
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out + err

    return run


def _record(
    state: State,
    paths: Sequence[str],
    *,
    changed: bool = False,
    service: str = "ledger",
    claims: Claims = CLAIMS,
    decided_by: Callable[[], Engine] = engine,
    asked: Inquiry | None = None,
) -> list[str]:
    """Decide a call to each path (or `asked`) and put its record into the log; the ids."""
    settled = threading.Semaphore(0)

    def on_settled(receipts: Sequence[Receipt]) -> None:
        for _ in receipts:
            settled.release()

    writer = LogWriter(
        state.wal,
        0,
        load_keys(state.keys),
        open_file=open_log_file,
        entropy=os.urandom,
        clock_us=lambda: NOW * 1_000_000,
        on_settled=on_settled,
        software="test",
    )
    writer.start()
    ids = []
    for path in paths:
        inquiry = Inquiry(
            service=service,
            method="GET",
            path=path,
            host=f"{service}.example",
            headers=(),
            gateway="edge",
            capabilities=EXT_AUTHZ,
            principal=Principal("token", "user", claims),
        )
        evaluator = Evaluator(decided_by, Identity(Verifier([])), service_from_host=False, compare_every=1)
        made = evaluator.evaluate(asked or inquiry, NOW * 1_000_000)
        entry = decision_entry(made.decision, made.evidence, made.engine, NOW * 1_000_000, "edge", None)
        ids.append(writer.append(entry.kind, entry.clear, entry.inputs, strict=False).id)
        settled.acquire(timeout=10)
    if changed:
        writer.append("answer.changed", {"d": "deny", "by": ["deadline"]}, None, strict=True, same_id=ids[0])
        settled.acquire(timeout=10)
    writer.close(10)
    return ids


def test_why_decides_again_and_shows_no_value(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"])
    code, text = show(record, "--why")
    assert code == 0
    assert "decided again by the policy of that record: the same" in text
    assert "Allowed by `cases.owner_uses_own_account`" in text
    assert "canary" not in text


def test_what_was_asked_of_the_gateway_is_shown_and_made_again(state: State, show: Show) -> None:
    (record,) = _record(state, ["/notes/canary-2"], service="desk", claims={"sub": "canary-1", "aud": "desk"})
    code, text = show(record, "--why")
    assert code == 0
    assert "obligations   set_header x-desk-user, remove_header x-debug" in text
    assert "decided again by the policy of that record: the same" in text
    assert "canary" not in text


READ = Inquiry(
    service="archive",
    method=None,
    path=None,
    host=None,
    headers=(),
    gateway="caller",
    body=Body(700, truncated=True),
    action="read",
    resource={"type": "document", "id": "canary-3", "properties": {"department": "legal"}},
)


def test_an_asserted_subject_is_shown_by_its_kind_and_decided_again(state: State, show: Show) -> None:
    asked = replace(READ, asserted=Asserted("employee", "canary-4", {"department": "legal"}))
    (record,) = _record(state, ["/"], asked=asked)
    code, text = show(record, "--why")
    assert code == 0
    assert "principal     employee" in text
    assert "body bytes    700\nbody cut      1" in text
    assert "decided again by the policy of that record: the same" in text
    assert "canary" not in text


def test_a_subject_of_no_kind_is_refused_again(state: State, show: Show) -> None:
    (record,) = _record(state, ["/"], asked=replace(READ, asserted=Asserted("canary-5", "canary-4")))
    code, text = show(record, "--why")
    assert code == 0
    assert "schema.subject" in text
    assert "decided again by the policy of that record: the same" in text
    assert "canary" not in text


def test_the_refusal_that_an_observed_call_passed_in_spite_of_is_shown(state: State, show: Show) -> None:
    (record,) = _record(state, ["/try/canary-2"], service="trial", claims={"sub": "canary-1", "aud": "trial"})
    code, text = show(record, "--why")
    assert code == 0
    assert "observed      would be deny by default" in text
    assert "Allowed while the service is observed." in text


def test_values_are_shown_only_after_that_is_itself_on_record(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"])
    code, text = show(record, "--why", "--values")
    assert code == 0
    assert 'token.accounts = ["canary-2"]' in text
    logged = b"".join(path.read_bytes() for path in (state.log / "tile" / "entries").rglob("*") if path.is_file())
    assert b'"k":"audit.reidentify"' in logged
    assert f'"of":"{record}"'.encode() in logged


def test_without_the_key_the_clauses_are_shown_and_the_values_are_said_to_be_sealed(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/another"])
    (state.keys / "box.key").unlink()
    code, text = show(record, "--why")
    assert code == 0
    assert "the key is not at hand" in text
    assert "    fails    when 1  shared_with(path.account, token.sub)" in text
    code, text = show(record, "--why", "--json")
    assert json.loads(text)["agrees"] is None


def test_without_the_key_the_clauses_of_a_rule_that_held_are_those_of_its_policy(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"])
    (state.keys / "box.key").unlink()
    code, text = show(record, "--why")
    assert code == 0
    assert "* allow cases.owner_uses_own_account" in text
    assert "    passes   when 1: owns(path.account)" in text
    assert text.count("    passes") == 2
    assert "fails" not in text
    assert "the key is not at hand" in text
    held = json.loads(show(record, "--why", "--json")[1])["held"]
    assert held[0].startswith("* allow cases.owner_uses_own_account")
    assert len(held) == 3
    (stored,) = state.bundles.glob("*.zip")
    stored.unlink()
    code, text = show(record, "--why")
    assert code == 0
    assert "every clause of cases.owner_uses_own_account was true; which these are is not known here" in text
    assert "the key is not at hand" in text


def test_a_rule_that_the_policy_of_a_record_has_not_is_not_shown_as_one_that_held(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"])
    found = find(state.log, state.wal, record)
    assert found is not None
    leaf = parse(found.leaf)
    (wal,) = state.wal.glob("*.wal")
    _rewrite(state, wal, record, encode(leaf.kind, leaf.id, {**leaf.clear, "by": ["cases.\x1b[2J"]}, None))
    code, text = show(record, "--why")
    assert code == 0
    assert "every clause of cases.\\x1b[2J was true, it says; its policy has no such rule there" in text


def test_a_box_of_another_record_is_not_the_same(state: State, show: Show) -> None:
    first, second = _record(state, ["/accounts/canary-2", "/accounts/another"])
    (wal,) = state.wal.glob("*.wal")
    moved = _with_box_of(state, first, second)
    assert moved is not None
    _rewrite(state, wal, first, moved)
    code, text = show(first, "--why")
    assert code == 1, text
    assert "do not belong to this record" in text
    code, text = show(first, "--why", "--json")
    assert (code, json.loads(text)["agrees"]) == (1, False)


def _with_box_of(state: State, into: str, source: str) -> bytes:
    target, other = (find(state.log, state.wal, each) for each in (into, source))
    assert target is not None
    assert other is not None
    leaf, sealed = parse(target.leaf), parse(other.leaf).sealed
    assert isinstance(sealed, Sealed)
    return encode(leaf.kind, leaf.id, leaf.clear, sealed)


def _rewrite(state: State, wal: Path, record: str, leaf: bytes) -> None:
    """Put `leaf` in place of a record, in a write-ahead log made anew with every checksum right."""
    data, previous = b"", GENESIS
    for frame in scan(wal.read_bytes()).frames:
        leaves = [leaf if parse(each).id == record else each for each in frame.leaves]
        data += encode_frame(frame.writer, frame.first_seq, leaves, previous)
        previous = scan(data).frames[-1].digest
    wal.write_bytes(data)


def test_an_answer_that_was_changed_is_said_to_be(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"], changed=True)
    code, text = show(record, "--why")
    assert code == 0
    assert "the answer that left was another: a refusal by deadline (" in text
    assert json.loads(show(record, "--json")[1])["corrected_by"]


def test_what_a_forged_record_holds_does_not_reach_the_terminal_raw(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"])
    found = find(state.log, state.wal, record)
    assert found is not None
    leaf = parse(found.leaf)
    forged: dict[str, Json] = {
        **leaf.clear,
        "gw": "edge\x1b]0;owned\x07\nresult sound\u202e",
        "t": 10**18,
        "by": ["\x1b[2J"],
    }
    (wal,) = state.wal.glob("*.wal")
    _rewrite(state, wal, record, encode(leaf.kind, leaf.id, forged, leaf.sealed))
    code, text = show(record, "--why")
    assert code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\nresult sound" not in text


class _Lenient(Plans):
    def judge(self, question: Question, call: Call | Refused) -> Verdict:
        return replace(super().judge(question, call), outcome="allow")


def test_a_call_on_which_the_evaluators_differed_is_shown_as_its_definition_has_it(state: State, show: Show) -> None:
    wrong = replace(engine(), plans=_Lenient.of(engine().program))
    (record,) = _record(state, ["/accounts/another"], decided_by=lambda: wrong)
    code, text = show(record, "--why")
    assert code == 0
    assert "reason        internal.disagreement" in text
    assert "refused since the evaluators differed; this is what the definition says" in text
    assert "No rule allowed this" in text
    assert json.loads(show(record, "--why", "--json")[1])["agrees"] is None


def test_of_a_record_that_could_not_hold_all_inputs_it_is_said_which_it_lacks(state: State, show: Show) -> None:
    accounts: list[Json] = [f"canary-{number:08}" for number in range(6_000)]
    (record,) = _record(state, ["/accounts/another"], claims={**CLAIMS, "accounts": accounts})
    code, text = show(record, "--why")
    assert code == 0
    assert "cut           claims" in text
    assert "not decided again: claims of the call: in the record in another form or not at all" in text
    assert "log minimal" not in text


NOT_KEPT: dict[str, tuple[Mapping[str, Json], str]] = {
    "a policy that keeps none": ({"ll": "minimal"}, "its inputs were not kept (log minimal)"),
    "a record that could not hold them": ({}, "its inputs are not in the record, which could not hold them"),
}


@pytest.mark.parametrize(("fields", "said"), NOT_KEPT.values(), ids=NOT_KEPT.keys())
def test_why_a_record_has_no_inputs_is_told_apart(
    fields: Mapping[str, Json], said: str, state: State, show: Show
) -> None:
    (record,) = _record(state, ["/accounts/another"])
    found = find(state.log, state.wal, record)
    assert found is not None
    leaf = parse(found.leaf)
    (wal,) = state.wal.glob("*.wal")
    _rewrite(state, wal, record, encode(leaf.kind, leaf.id, {**leaf.clear, **fields}, None))
    code, text = show(record, "--why")
    assert code == 0
    assert f"{said}: it cannot be decided again" in text


def test_a_refusal_that_shares_its_record_is_shown_with_it_and_a_forged_id_is_not(state: State, show: Show) -> None:
    keys = load_keys(state.keys)
    made = IdKey(keys.id_key)
    start = encode("log.start", made.make(7, 0, 0), {"t": NOW, "mono": 0}, None)
    shared: dict[str, Json] = {
        "t": NOW,
        "d": "deny",
        "by": ["default"],
        "rc": "default",
        "gw": "edge",
        "t0": NOW,
        "t1": NOW,
    }
    aggregate = encode("decision.aggregate", made.make(7, 0, 4), {**shared, "ct": 3, "sq": [1, 3]}, None)
    (state.wal / "00-00000007.wal").write_bytes(encode_frame(0, 0, [start, aggregate], GENESIS))
    code, said = show(made.make(7, 0, 2))
    assert code == 0
    assert f"{made.make(7, 0, 2)} is one of the 3 refusals that share this record" in said
    assert show(made.make(7, 0, 2)[:-1] + "x")[0] == 2
    forged = made.make(7, 0, 2)[:20] + "0" * 12
    assert show(forged) == (1, f"no record {forged} in {state.root}\n")


# ---------------------------------------------------------------- records that are no decisions, and logs elsewhere


def _stated(state: State, *records: tuple[str, dict[str, Json]]) -> list[str]:
    """Records of one run, of these kinds with these fields; their ids."""
    made = IdKey(load_keys(state.keys).id_key)
    leaves = [encode("log.start", made.make(7, 0, 0), {"t": NOW, "mono": 0}, None)]
    leaves += [encode(kind, made.make(7, 0, at), clear, None) for at, (kind, clear) in enumerate(records, 1)]
    (state.wal / "00-00000007.wal").write_bytes(encode_frame(0, 0, leaves, GENESIS))
    return [parse(leaf).id for leaf in leaves[1:]]


def test_every_field_of_a_record_is_shown_by_what_it_says_in_its_kind(state: State, show: Show) -> None:
    instant = NOW * 1_000_000
    beat: dict[str, Json] = {
        "t": instant,
        "answered": 7,
        "recorded": 5,
        "aggregated": 2,
        "unrecorded": 0,
        "run": [5, 2],
    }
    asked: dict[str, Json] = {"t": instant, "user": 1000, "mode": "policy", "since": instant, "sv": "ledger"}
    shared: dict[str, Json] = {"t": instant, "d": "deny", "ct": 3, "t0": instant, "sq": [14, 16]}
    opened, replayed, beaten, joined, gap = _stated(
        state,
        ("audit.reidentify", {"t": instant, "of": "ab" * 16, "user": 1000}),
        ("audit.replay", asked),
        ("log.heartbeat", beat),
        ("decision.aggregate", shared),
        ("log.gap", {"t": instant, "refused": 4, "failed": 0, "from": instant, "to": instant}),
    )
    at = "2027-01-15T08:00:00.000Z"
    wanted = {
        opened: [f"opened        {'ab' * 16}", "user          1000"],
        replayed: ["mode          policy", f"since         {at}", "service       ledger", "user          1000"],
        beaten: ["answered      7", "recorded      5", "aggregated    2", "unrecorded    0", "run           5, 2"],
        joined: ["refusals      3", f"first         {at}", "numbers       14, 16"],
        gap: ["refused       4", f"from          {at}", f"to            {at}"],
    }
    for record, lines in wanted.items():
        code, text = show(record)
        assert code == 0
        assert not set(lines) - set(text.splitlines()), text
        assert "corrects" not in text
        assert "cut " not in text


def test_of_a_log_elsewhere_the_clear_part_is_shown(
    state: State, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (record,) = _record(state, ["/accounts/another"], changed=True)
    sequencer = Sequencer(Folder(state.log), Folder(state.wal), ORIGIN, KEY, lambda: 0.0)
    sequencer.start()
    while sequencer.integrate():
        pass
    sequencer.publish()
    mirror = shutil.copytree(state.log, tmp_path / "mirror")
    done = run_pdp(capfd, "audit", "show", record, "--log", mirror, "--why")
    assert done.code == 0, done
    assert f"record        {record}\nkind          decision\n" in done.out
    assert "    fails    when 1  shared_with(path.account, token.sub)" in done.out
    assert "neither key nor policy stands beside a log elsewhere" in done.out
    assert "the answer that left was another: a refusal by deadline" in done.out
    done = run_pdp(capfd, "audit", "show", "0" * 32, "--log", mirror)
    assert (done.code, f"no record {'0' * 32} in {mirror}" in done.err) == (1, True)
    assert "name the folder with a `checkpoint`" in run_pdp(capfd, "audit", "show", record, "--log", tmp_path).err
    for wrong in (("--state", state.root), ("--why", "--values")):
        assert run_pdp(capfd, "audit", "show", record, "--log", mirror, *wrong).code == 2


def test_what_does_not_come_out_the_same_says_what_to_run(state: State, show: Show) -> None:
    (record,) = _record(state, ["/accounts/canary-2"])
    found = find(state.log, state.wal, record)
    assert found is not None
    leaf = parse(found.leaf)
    (wal,) = state.wal.glob("*.wal")
    _rewrite(state, wal, record, encode(leaf.kind, leaf.id, {**leaf.clear, "d": "deny"}, leaf.sealed))
    code, text = show(record, "--why")
    assert (code, "decided again: NOT the same; run `pdp audit verify`" in text) == (1, True)

"""`pdp audit replay`: what it prints, how it ends, and what it puts on record before it opens anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from msgspec import Struct
from msgspec.structs import replace

from pdp.audit.leaf import Leaf
from pdp.cli.audit_replay import replay
from pdp.errors import PdpError
from pdp.model import Json
from pdp.runtime.built import write_built
from pdp.runtime.bundle import bundle_of
from policy_lang.compile import compile_policy
from tests.support.records import all_records
from tests.support.replays import NOW_US, POLICY, Past, asks, bundle, engine, past_in, recorded, write_folder

CANARY = "canary-1"
STRICTER = POLICY.replace("allow own", "shadow allow own")


class Done(Struct, frozen=True):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return past_in(tmp_path / "state")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], past: Past) -> Run:
    def called(*arguments: str | Path) -> Done:
        capfd.readouterr()
        said = [str(each) for each in arguments]
        try:
            code = replay.main(["--state", str(past.state.root), *said], standalone_mode=False)
        except click.ClickException as error:
            error.show()
            code = 2
        except PdpError as error:
            click.echo(f"error: {error.detail} ({error.code})", err=True)
            code = error.exit_code
        out, err = capfd.readouterr()
        return Done(int(code or 0), out, err)

    return called


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "candidate", STRICTER)


def _stated(past: Past) -> list[Leaf]:
    return [leaf for leaf in all_records(past.state.root).values() if leaf.kind == "audit.replay"]


# ---------------------------------------------------------------- --verify


def test_verify_says_how_many_come_out_the_same(past: Past, run: Run) -> None:
    past.write([recorded(asks(tenant=CANARY), engine()), recorded(asks("/orders/9"), engine())])
    done = run("--verify")
    assert done.code == 0, done
    assert "decisions    2\nagreed       2, 1 asked of the definition too\nundecidable  0\ndiffered     0\n" in done.out
    assert "every past decision that its record decides comes out the same" in done.out
    assert run("--verify", "--json").json == {
        "result": "same",
        "decisions": 2,
        "agreed": 2,
        "defined": 1,
        "differed": 0,
        "differing": [],
        "undecidable": [],
        "broken": [],
    }
    assert run("--verify", "--thorough", "--json").json["defined"] == 2


def test_verify_names_what_differs_and_ends_1(past: Past, run: Run) -> None:
    right, wrong = past.write([recorded(asks(), engine())] * 2)
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, "d": "deny"}) if leaf.id == wrong else leaf)
    done = run("--verify")
    assert done.code == 1
    assert f"  {wrong}  2027-01-15T08:00:00.000Z  policy {bundle().digest[:12]}  recorded deny by shop.own" in done.out
    assert "NOT every past decision" in done.out
    assert right not in done.out
    done = run("--verify", "--json")
    assert (done.code, done.json["result"], [each["id"] for each in done.json["differing"]]) == (
        1,
        "not the same",
        [wrong],
    )


def test_verify_groups_what_cannot_be_decided_and_what_is_damaged(past: Past, run: Run) -> None:
    lost = replace(recorded(asks("/orders/9"), engine()), inputs=None)
    past.write([lost, lost, replace(recorded(asks(), engine()), inputs=b"no JSON")])
    done = run("--verify")
    assert done.code == 1
    assert "undecidable  2\n          2  inputs not in the record, which could not hold them  (" in done.out
    assert "damaged      1\n          1  the inputs are not JSON" in done.out


def test_what_stands_at_a_wrong_place_is_counted_named_and_ends_1(past: Past, run: Run, tmp_path: Path) -> None:
    ids = past.write([recorded(asks(), engine())] * 3)
    past.arrange(lambda leaves: [leaves[0], leaves[3], *leaves[1:3], *leaves[4:]])
    why = "the number of the record comes again, or too late: run `pdp audit verify`"
    for asked in (("--verify",), ("--policy", write_folder(tmp_path / "same", POLICY))):
        done = run(*asked)
        assert done.code == 1
        assert "decisions    3\n" in done.out
        assert f"damaged      2\n          2  {why}  ({ids[0]}, {ids[1]})\n" in done.out
        stated = run(*asked, "--json")
        (broken,) = stated.json["broken"]
        assert (stated.code, broken["why"], broken["count"], broken["examples"]) == (1, why, 2, ids[:2])


def test_verify_of_an_empty_log_says_that_it_is(run: Run) -> None:
    done = run("--verify")
    assert (done.code, "no decision lies in this span" in done.out) == (0, True)


def test_what_a_forged_record_holds_does_not_reach_the_terminal_raw(past: Past, run: Run) -> None:
    past.write([recorded(asks(), engine())])
    hostile: dict[str, Json] = {"by": ["\x1b[2J\nresult same\u202e"], "rc": "=cmd|' /C calc'!A0", "ep": "\x1b]0;x\x07"}
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, **hostile}))
    done = run("--verify")
    assert done.code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(done.out + done.err)
    assert "\nresult same" not in done.out


# ---------------------------------------------------------------- --policy


def test_what_flips_is_a_table_by_flip_rule_and_endpoint(past: Past, run: Run, folder: Path) -> None:
    ids = past.write([recorded(asks(), engine(), NOW_US + number * 1_000_000) for number in range(5)])
    past.write([recorded(asks("/orders/9", team="ops"), engine())])
    done = run("--policy", folder)
    assert done.code == 1, done
    head, row = done.out.splitlines()[-2:]
    assert head.split() == ["COUNT", "FLIP", "DECIDED", "NOW", "BY", "ENDPOINT", "FIRST", "LAST", "EXAMPLES"]
    shown = "5  allow to deny  default         orders.read  2027-01-15T08:00:00.000Z  2027-01-15T08:00:04.000Z"
    assert row.strip() == f"{shown}  {' '.join(ids[:3])}"
    assert "same         1\nflipped      5\nundecidable  0\n" in done.out
    (flip,) = run("--policy", folder, "--json").json["flips"]
    assert (flip["flip"], flip["by"], flip["endpoint"], flip["count"]) == ("allow to deny", "default", "orders.read", 5)
    assert flip["examples"] == ids[:3]


def test_where_nothing_flips_it_ends_0(past: Past, run: Run, tmp_path: Path) -> None:
    past.write([recorded(asks(), engine()), recorded(asks("/orders/9"), engine())])
    done = run("--policy", write_folder(tmp_path / "same", POLICY))
    assert (done.code, done.out.endswith("nothing flips\n")) == (0, True)


def test_another_obligation_is_a_flip(past: Past, run: Run, tmp_path: Path) -> None:
    past.write([recorded(asks(), engine())])
    tracing = POLICY + 'require trace for any user on orders must remove header "x-debug" because "traced"\n'
    done = run("--policy", write_folder(tmp_path / "tracing", tracing), "--json")
    assert done.code == 1
    assert [(each["flip"], each["by"]) for each in done.json["flips"]] == [("obligations", "shop.own")]
    assert done.json["assumed"] == 1


def test_what_a_candidate_lacks_is_named_and_no_flip(past: Past, run: Run, tmp_path: Path) -> None:
    (record,) = past.write([recorded(asks(tenant=CANARY), engine())])
    tenants = POLICY.replace("when owns(token.sub, path.id)", 'when token has tenant and token.tenant == "t"')
    place = write_folder(tmp_path / "tenants", tenants)
    done = run("--policy", place)
    assert done.code == 1
    wanted = f"1  inputs that the record does not hold: token.tenant at orders.read  ({record})"
    assert f"undecidable  1\n          {wanted}\n" in done.out
    (lacking,) = run("--policy", place, "--json").json["undecidable"]
    assert (lacking["inputs"], lacking["endpoint"], lacking["examples"]) == (["token.tenant"], "orders.read", [record])


def test_facts_are_those_of_the_record_or_those_of_now(past: Past, run: Run, tmp_path: Path) -> None:
    past.write([recorded(asks("/orders/2", sub="bob"), engine())])
    place = write_folder(tmp_path / "lending", POLICY.replace("when owns(", "when lends("))
    lacking = run("--policy", place, "--json")
    assert (lacking.code, [each["inputs"] for each in lacking.json["undecidable"]]) == (1, [["facts lends"]])
    now = run("--policy", place, "--facts", "current", "--json")
    assert (now.code, [each["flip"] for each in now.json["flips"]]) == (1, ["deny to allow"])


def test_a_span_and_a_service_narrow_it(past: Past, run: Run, folder: Path) -> None:
    past.write([recorded(asks(), engine(), NOW_US + number * 1_000_000) for number in range(3)])
    spans = ("--since", "2027-01-15T08:00:01Z", "--until", "2027-01-15T08:00:02Z")
    assert run("--policy", folder, *spans, "--json").json["decisions"] == 1
    assert run("--policy", folder, "--service", "archive", "--json").json["decisions"] == 0


def test_damaged_evidence_is_no_silence(past: Past, run: Run, tmp_path: Path) -> None:
    past.write([recorded(asks(), engine())])
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, "pb": "0" * 64}))
    done = run("--policy", write_folder(tmp_path / "same", POLICY))
    assert (done.code, "damaged      1\n" in done.out) == (1, True)


def test_a_built_policy_is_taken_by_its_digest(
    past: Past, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.write([recorded(asks(), engine())])
    files = bundle(STRICTER).files
    built = tmp_path / "shop.pdp"
    digest = write_built(built, bundle_of(files), compile_policy(files).program, None)
    monkeypatch.chdir(tmp_path)
    assert (run("--policy", built).code, run("--policy", built).err.count("P135")) == (2, 1)
    config = tmp_path / "pdp.toml"
    config.write_text(f'bundle_digest = "{digest}"\npolicies = "{built}"\n')
    done = run("--policy", built, "--config", config, "--json")
    assert (done.code, [each["flip"] for each in done.json["flips"]]) == (1, ["allow to deny"])


# ---------------------------------------------------------------- what is on record, and what is not shown


def test_that_it_was_asked_is_on_record_with_span_and_candidate(past: Past, run: Run, folder: Path) -> None:
    past.write([recorded(asks(tenant=CANARY), engine())])
    run("--policy", folder, "--since", "2027-01-01", "--service", "orders")
    run("--verify")
    policy, verify = sorted(_stated(past), key=lambda leaf: str(leaf.clear["mode"]))
    assert (policy.clear["pb"], policy.clear["sv"], policy.clear["facts"]) == (
        bundle(STRICTER).digest,
        "orders",
        "recorded",
    )
    assert (policy.clear["since"], "until" in policy.clear, "user" in policy.clear) == (
        1_798_761_600_000_000,
        False,
        True,
    )
    assert (verify.clear["mode"], "pb" in verify.clear) == ("verify", False)


def test_no_value_of_a_record_is_shown(past: Past, run: Run, folder: Path) -> None:
    past.write([recorded(asks(f"/orders/{CANARY}", sub=CANARY, team=CANARY), engine()), recorded(asks(), engine())])
    for arguments in (("--verify",), ("--policy", folder)):
        for form in ((), ("--json",)):
            done = run(*arguments, *form)
            assert CANARY not in done.out + done.err


def test_a_candidate_that_does_not_compile_opens_nothing(past: Past, run: Run, tmp_path: Path) -> None:
    past.write([recorded(asks(), engine())])
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "shop.pol").write_text("language 1\nmodule shop\nallow\n")
    done = run("--policy", broken)
    assert (done.code, "does not compile" in done.err) == (2, True)
    assert _stated(past) == []


# ---------------------------------------------------------------- bad input

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "neither": ((), "give either --verify or --policy"),
    "both": (("--verify", "--policy", "."), "give either --verify or --policy"),
    "thorough without verify": (("--policy", ".", "--thorough"), "--thorough goes with --verify"),
    "facts without policy": (("--verify", "--facts", "current"), "--settings and --facts go with --policy"),
    "a time that is none": (("--verify", "--since", "yesterday"), "names no instant"),
    "a span that ends before it begins": (
        ("--verify", "--since", "2027-01-02", "--until", "2027-01-01"),
        "must lie after",
    ),
    "facts from nowhere": (("--policy", ".", "--facts", "guessed"), "'guessed' is not one of"),
    "a policy that is not there": (("--policy", "nowhere"), "no policy folder at nowhere"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG.keys())
def test_bad_input_is_named(
    arguments: tuple[str, ...], said: str, run: Run, past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert (done.code, said in done.err) == (2, True), done
    assert _stated(past) == []


def test_without_the_keys_nothing_is_opened(past: Past, run: Run) -> None:
    past.write([recorded(asks(), engine())])
    (past.state.keys / "box.key").unlink()
    done = run("--verify")
    assert (done.code, "S132" in done.err) == (2, True)


def test_without_a_log_it_says_where_to_look(past: Past, run: Run) -> None:
    past.state.log.rmdir()
    done = run("--verify")
    assert (done.code, "name the state folder with --state" in done.err) == (2, True)


# ---------------------------------------------------------------- what cannot be told, and what is not there


def test_a_call_that_became_no_question_ends_1_unless_that_is_passed_over(past: Past, run: Run, tmp_path: Path) -> None:
    thing: dict[str, Json] = {"type": "thing", "id": "1"}
    stray = replace(asks(), service=None, method=None, path=None, host=None, action="nosuch", resource=thing)
    (first, _) = past.write([recorded(stray, engine()), recorded(asks(), engine())])
    place = write_folder(tmp_path / "same", POLICY)
    why = "refused before it became a question: its record does not hold what the candidate asks"
    done = run("--policy", place)
    assert (done.code, f"1  {why}  ({first})\n" in done.out) == (1, True), done
    assert run("--policy", place, "--undecidable-ok").code == 0


def test_undecidable_ok_passes_over_what_cannot_be_told_and_nothing_else(
    past: Past, run: Run, tmp_path: Path, folder: Path
) -> None:
    past.write([recorded(asks(tenant=CANARY), engine())])
    tenants = POLICY.replace("when owns(token.sub, path.id)", 'when token has tenant and token.tenant == "t"')
    place = write_folder(tmp_path / "tenants", tenants)
    done = run("--policy", place)
    assert (done.code, "with --undecidable-ok that ends 0" in done.out) == (1, True)
    done = run("--policy", place, "--undecidable-ok")
    assert (done.code, "undecidable  1" in done.out, "--undecidable-ok" in done.out) == (0, True, False)
    flips = run("--policy", folder, "--undecidable-ok")
    assert (flips.code, "flipped      1" in flips.out) == (1, True)
    assert run("--verify", "--undecidable-ok").code == 2


def test_what_is_damaged_ends_1_with_undecidable_ok_too(past: Past, run: Run, tmp_path: Path) -> None:
    past.write([recorded(asks(), engine())])
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, "pb": "0" * 64}))
    done = run("--policy", write_folder(tmp_path / "same", POLICY), "--undecidable-ok")
    assert (done.code, "damaged      1" in done.out) == (1, True)


def test_a_span_without_decisions_says_what_was_looked_at(past: Past, run: Run) -> None:
    past.write([recorded(asks(), engine())])
    done = run("--verify", "--service", "ordes")
    assert done.code == 0
    assert re.match(r"note: [0-9]+ records were looked at, none is what was asked for; ", done.err), done
    assert "--service `ordes` is in no record: did you mean `orders`?" in done.err
    assert run("--verify").err == ""


def test_verify_that_differs_says_what_to_run(past: Past, run: Run) -> None:
    past.write([recorded(asks(), engine())])
    past.rewrite(lambda leaf: replace(leaf, clear={**leaf.clear, "d": "deny"}))
    assert "comes out as it was recorded: run `pdp audit verify`" in run("--verify").out


def test_a_built_policy_without_its_digest_says_what_works(
    past: Past, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.write([recorded(asks(), engine())])
    files = bundle(STRICTER).files
    write_built(tmp_path / "shop.pdp", bundle_of(files), compile_policy(files).program, None)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "other.toml"
    config.write_text(f'bundle_digest = "{"0" * 64}"\n')
    for arguments in ((), ("--config", config)):
        done = run("--policy", "shop.pdp", *arguments)
        assert done.code == 2
        assert "name the folder it was built from, or with --config a pdp.toml whose `bundle_digest`" in done.err
    done = run("--policy", "nowhere")
    assert (done.code, "name one with --policy (" in done.err, "--policies" in done.err) == (2, True, False)

"""`pdp audit log`: what a person and a program read, how they ask, and what is damaged, hostile or not there."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pdp.audit.leaf import Sealed, encode
from pdp.cli.audit_log import log
from pdp.cli.instants import instant_text, instant_us
from pdp.cli.record_bar import SHOW_AFTER_S, RecordBar
from pdp.model import Json
from tests.support.logs import BOOT, IDS, T0_US, add_wal, build_log, record, records
from tests.support.process import eventually

COMMAND = [sys.executable, "-c", "from pdp.cli.audit_log import log; log()"]


def decision(seq: int, **clear: Json) -> bytes:
    said = {
        "d": "allow",
        "by": ["shop.own"],
        "rc": "rule",
        "sv": "orders",
        "ep": "orders.list",
        "gw": "edge",
        "m": "GET",
    }
    return record(seq, t=T0_US + seq * 1_000_000, **{**said, **clear})


def leaves() -> list[bytes]:
    """Ten records: two kinds of decisions, an aggregate, a correction, and what a log says of itself."""
    undeclared = {"d": "deny", "by": ["route"], "rc": "route.unknown", "ep": None, "rt": "/a/{int}"}
    refused = {"d": "deny", "by": ["default"], "rc": "default", "ct": 40, "sq": [8, 47]}
    instants = {"t0": T0_US + 8_000_000, "t1": T0_US + 8_500_000, "t": T0_US + 8_600_000}
    of = IDS.make(BOOT, 0, 2)
    return [
        record(0, software="portcullis 9"),
        record(1, kind="policy.activated", pb="ab" * 32),
        decision(2),
        decision(3),
        decision(4, **undeclared),
        decision(5, d="step_up", by=["bank.strong"], sv="bank", ep="bank.pay", gw="inner", m="POST"),
        record(6, kind="answer.changed", of=of, d="deny", by=["deadline"], rc="deadline.mint", t=T0_US + 6_000_000),
        record(7, kind="context", pk="user", t=T0_US + 7_000_000),
        record(48, kind="decision.aggregate", sv="orders", ep="orders.list", gw="edge", **refused, **instants),
        record(49, kind="log.stop", t=T0_US + 9_000_000),
    ]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    build_log(tmp_path / "state", leaves())
    return tmp_path / "state"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(log, [str(argument) for argument in arguments], catch_exceptions=True)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def objects(result: Result) -> list[dict[str, Json]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


# ---------------------------------------------------------------- what is read


def test_a_table_for_a_person(state: Path) -> None:
    result = run("--state", state)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["time", "decision", "by", "endpoint", "gateway", "id"]
    assert len(lines) == 11
    assert "\x1b" not in result.stdout
    of = IDS.make(BOOT, 0, 2)
    assert lines[3].split("  ")[0] == "2023-11-14T22:13:22.000Z"
    assert "deny*" in lines[3]
    assert "deadline (deadline.mint) (recorded: allow by shop.own)" in lines[3]
    assert lines[3].endswith(of)
    assert lines[4].split()[1:5] == ["allow", "shop.own", "orders.list", "edge"]
    assert "route (route.unknown)" in lines[5]
    assert "orders GET /a/{int}" in lines[5]
    assert f"deadline (deadline.mint) corrects {of}" in lines[7]
    assert "deny x40" in lines[9]
    assert "policy.activated abababababababababababab" in lines[2]
    assert "log.start portcullis 9" in lines[1]


def test_json_lines_for_programs(state: Path) -> None:
    found = objects(run("--state", state, "--json"))
    assert [each["kind"] for each in found[:3]] == ["log.start", "policy.activated", "decision"]
    third = found[3]
    assert (third["d"], third["by"], third["sv"], third["ep"]) == ("allow", ["shop.own"], "orders", "orders.list")
    assert (third["index"], third["origin"], third["t"]) == (3, "test.example/log", T0_US + 3_000_000)
    assert third["at"] == "2023-11-14T22:13:23.000Z"
    assert "recorded" not in third
    second = found[2]
    assert (second["d"], second["by"], second["rc"]) == ("deny", ["deadline"], "deadline.mint")
    assert second["recorded"] == {"d": "allow", "by": ["shop.own"], "rc": "rule"}
    assert second["corrected_by"] == IDS.make(BOOT, 0, 6)
    assert (found[8]["ct"], found[8]["t0"]) == (40, T0_US + 8_000_000)


def test_what_is_still_in_a_write_ahead_log_has_no_index(tmp_path: Path) -> None:
    build_log(tmp_path, records(100))
    add_wal(tmp_path, [*records(100), decision(100)])
    last = objects(run("--state", tmp_path, "--json"))[-1]
    assert (last["index"], last["kind"]) == (None, "decision")


def test_the_sealed_box_is_not_listed(tmp_path: Path) -> None:
    sealed = encode("decision", IDS.make(BOOT, 0, 1), {"t": T0_US, "d": "allow"}, Sealed("AAAA", "0" * 64))
    build_log(tmp_path / "sealed", [record(0), sealed])
    last = objects(run("--state", tmp_path / "sealed", "--json"))[-1]
    assert last["kind"] == "decision"
    assert not {"in", "ic"} & last.keys()


FILTERS = {
    ("--service", "orders"): [2, 3, 4, 48],
    ("--service", "bank", "--service", "orders"): [2, 3, 4, 5, 48],
    ("--endpoint", "orders.list"): [2, 3, 48],
    ("--rule", "shop.own"): [3],
    ("--rule", "deadline"): [2],
    ("--decision", "deny"): [2, 4, 48],
    ("--decision", "step_up"): [5],
    ("--gateway", "inner"): [5],
    ("--reason", "route"): [4],
    ("--kind", "log"): [0, 49],
    ("--kind", "answer.changed"): [6],
    ("--limit", "2"): [48, 49],
    ("--decision", "deny", "--limit", "1"): [48],
    ("--limit", "0"): [],
    ("--since", "2023-11-14T22:13:28Z"): [48, 49],
    ("--until", "2023-11-14T23:13:22+01:00"): [0, 1],
    ("--since", "2023-11-14T22:13:23Z", "--until", "2023-11-14T22:13:23.000001Z"): [3],
    ("--since", "10m"): [],
    ("--service", "nobody"): [],
}


@pytest.mark.parametrize("arguments", FILTERS, ids=" ".join)
def test_filters(state: Path, arguments: tuple[str, ...]) -> None:
    found = objects(run("--state", state, "--json", *arguments))
    assert [int(str(each["id"])[10:20], 16) for each in found] == FILTERS[arguments]


NOTHING = {
    ("--service", "order"): "--service `order` is in no record: did you mean `orders`?",
    ("--kind", "decisions"): "--kind `decisions` is in no record: did you mean `decision`?",
    ("--rule", "shop.onw"): "--rule `shop.onw` is in no record: did you mean `shop.own`?",
    ("--endpoint", "zzz"): "--endpoint `zzz` is in no record: there are `/a/{int}`, `bank.pay`, `orders.list`",
    ("--service", "nobody", "--limit", "3"): "--service `nobody` is in no record: there are `bank`, `orders`",
    ("--service", "nobody", "--by", "rule"): "--service `nobody` is in no record: there are `bank`, `orders`",
    ("--service", "bank", "--kind", "log"): "",
    ("--since", "10m"): "",
}


@pytest.mark.parametrize("arguments", NOTHING, ids=" ".join)
def test_where_nothing_is_what_was_asked_for_it_is_said_what_may_have_been_meant(
    state: Path, arguments: tuple[str, ...]
) -> None:
    result = run("--state", state, *arguments)
    assert result.exit_code == 0
    hint = f"; {NOTHING[arguments]}" if NOTHING[arguments] else ""
    assert result.stderr == f"note: 10 records were looked at, none is what was asked for{hint}\n"
    assert run("--state", state, "--limit", "0").stderr == ""


GROUPED = {
    "rule": [("default", 40), ("bank.strong", 1), ("deadline", 1), ("route", 1), ("shop.own", 1)],
    "endpoint": [("orders.list", 42), ("/a/{int}", 1), ("bank.pay", 1)],
    "service": [("orders", 43), ("bank", 1)],
    "gateway": [("edge", 43), ("inner", 1)],
    "decision": [("deny", 42), ("allow", 1), ("step_up", 1)],
    "reason": [("default", 40), ("rule", 2), ("deadline.mint", 1), ("route.unknown", 1)],
}


@pytest.mark.parametrize("by", GROUPED)
def test_groups(state: Path, by: str) -> None:
    found = objects(run("--state", state, "--by", by, "--json"))
    assert [(each["value"], each["count"]) for each in found] == GROUPED[by]
    assert {each["by"] for each in found} == {by}


def test_groups_in_a_table(state: Path) -> None:
    lines = run("--state", state, "--by", "service", "--limit", "1").stdout.splitlines()
    assert lines[0].split() == ["count", "first", "last", "logs", "service"]
    assert lines[1].split() == ["43", "2023-11-14T22:13:22.000Z", "2023-11-14T22:13:28.500Z", "1", "orders"]
    assert len(lines) == 2


def test_groups_of_what_is_selected(state: Path) -> None:
    found = objects(run("--state", state, "--by", "reason", "--decision", "deny", "--service", "orders", "--json"))
    assert {each["value"]: each["count"] for each in found} == {"default": 40, "deadline.mint": 1, "route.unknown": 1}


def test_several_logs_say_which(state: Path, tmp_path: Path) -> None:
    other = build_log(tmp_path / "other", [record(0), decision(1)])
    checkpoint = other / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b"test.example/log", b"other.example/x"))
    lines = run("--log", state / "log", "--log", other).stdout.splitlines()
    assert lines[0].split() == ["time", "decision", "by", "endpoint", "gateway", "log", "id"]
    assert [line.split()[-2] for line in lines[1:]].count("other.example/x") == 2
    found = objects(run("--state", state, "--log", other, "--json"))
    assert [each["origin"] for each in found[:4]] == ["test.example/log", "other.example/x"] * 2
    assert len(found) == 12


def test_a_log_alone_is_not_listed_with_the_state_of_this_place(tmp_path: Path, state: Path) -> None:
    assert len(objects(run("--log", state / "log", "--json"))) == 10


# ---------------------------------------------------------------- what is asked wrongly

WRONG = {
    ("--since", "yesterday"): "--since: 'yesterday' names no instant",
    ("--since", "2026-11-21T10:00:00"): "names no instant; write 2026-11-21T10:00:00Z",
    ("--until", "2026-02-30"): "--until: '2026-02-30' names no instant",
    ("--since", "10m", "--until", "2h"): "--until is not after --since",
    ("--follow", "--by", "rule"): "--follow goes on",
    ("--follow", "--until", "1m"): "--follow goes on",
    ("--decision", "maybe"): "'maybe' is not one of",
    ("--by", "subject"): "'subject' is not one of",
    ("--limit", "-1"): "-1 is not in the range",
    ("--subject", "x"): "No such option",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_asked_wrongly(state: Path, arguments: tuple[str, ...]) -> None:
    result = run("--state", state, *arguments)
    assert result.exit_code == 2
    assert WRONG[arguments] in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_one_log_twice_is_refused(state: Path) -> None:
    result = run("--state", state, "--log", state / "log")
    assert result.exit_code == 2
    assert "is test.example/log again: name each log once" in " ".join(result.stderr.split())


NO_LOG = {
    "a state that is not there": (("--state", "nowhere"), "there is no log in nowhere: name the state folder"),
    "a folder that is no log": (("--log", "plain"), "there is no log in plain: name the folder with a `checkpoint`"),
    "the state in place of its log": (("--log", "state"), "there is no log in state: name the `log` folder in it"),
}


@pytest.mark.parametrize("case", NO_LOG)
def test_no_log(state: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(state.parent)
    Path("plain").mkdir()
    arguments, expected = NO_LOG[case]
    result = CliRunner().invoke(log, arguments)
    assert expected in str(result.exception)


def test_without_a_state_of_ours_the_default_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no log in .pdp" in str(CliRunner().invoke(log, []).exception)


# ---------------------------------------------------------------- what is hostile or damaged


def test_what_a_terminal_would_obey_stands_as_its_number(tmp_path: Path) -> None:
    hostile = "x\x1b[31m\n=cmd|'/c calc'!A0\u202e\x7f\u2028"
    odd = record(1, d=hostile, by=[hostile], rc=hostile, sv=hostile, ep=hostile, gw=hostile, pb=hostile)
    build_log(tmp_path, [record(0, software=hostile), odd])
    table = run("--state", tmp_path)
    assert len(table.stdout.splitlines()) == 3
    lines = run("--state", tmp_path, "--json")
    assert len(lines.stdout.splitlines()) == 2
    groups = run("--state", tmp_path, "--by", "rule").stdout + run("--state", tmp_path, "--by", "rule", "--json").stdout
    for text in (table.stdout, lines.stdout, groups):
        assert not {"\x1b", "\u202e", "\x7f", "\u2028"} & set(text)
    assert json.loads(lines.stdout.splitlines()[1])["d"] == hostile


def test_a_missing_bundle_is_named_the_rest_is_listed(tmp_path: Path) -> None:
    log_dir = build_log(tmp_path, records(600))
    (log_dir / "tile/entries/001").unlink()
    result = run("--state", tmp_path, "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 600 - 256
    assert result.stderr.count("the records 256 to 511 are not shown") == 1


def test_a_record_that_was_changed_into_none_is_named(tmp_path: Path) -> None:
    log_dir = build_log(tmp_path, records(30))
    bundle = log_dir / "tile/entries/000.p/30"
    bundle.write_bytes(bundle.read_bytes().replace(b'"v":1', b'"v" 1', 1).replace(b'"decision"', b'"dec\tsion"', 1))
    result = run("--state", tmp_path, "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 28
    assert [line.split(" cannot")[0] for line in result.stderr.splitlines()] == ["note: record 0", "note: record 1"]


def test_a_checkpoint_that_is_none_is_said(tmp_path: Path) -> None:
    (build_log(tmp_path, records(3)) / "checkpoint").write_bytes(b"\x00\xff" * 40)
    result = CliRunner().invoke(log, ["--state", str(tmp_path)])
    assert "A602" in str(result.exception)


def test_a_log_that_may_only_be_read_is_read_and_stays_as_it_is(state: Path) -> None:
    for path in [state, *state.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    assert len(objects(run("--state", state, "--json"))) == 10
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*")} == before
    for path in [state, *state.rglob("*")]:
        path.chmod(0o700)


# ---------------------------------------------------------------- terminals, and what comes


def on_a_terminal(*arguments: str | Path, colour: bool = True) -> str:
    """What the command writes to a terminal that is its standard output and error."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **({} if colour else {"NO_COLOR": "1"})}
    with subprocess.Popen([*COMMAND, *arguments], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            written += piece
        os.close(ours)
        assert process.wait(30) == 0
    return written.decode()


def test_colours_are_for_a_terminal_that_wants_them(state: Path) -> None:
    coloured = on_a_terminal("--state", state)
    assert "\x1b[32mallow" in coloured
    assert "\x1b[31mdeny*" in coloured
    assert "\x1b" not in on_a_terminal("--state", state, colour=False)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_on_a_terminal_once_it_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    seconds = iter([0.0, SHOW_AFTER_S / 2, SHOW_AFTER_S, 2 * SHOW_AFTER_S, 3 * SHOW_AFTER_S, 3 * SHOW_AFTER_S])
    with redirect_stderr(Terminal()) as terminal:
        bar = RecordBar(lambda: next(seconds))
        bar.show(256, 1000)
        assert terminal.getvalue() == ""
        bar.show(512, 1000)
        assert "records" in terminal.getvalue()
        bar.show(768, 1000)
        bar.close()
        bar.close()


def test_no_bar_elsewhere() -> None:
    with redirect_stderr(StringIO()) as output:
        bar = RecordBar(iter(range(0, 100, 10)).__next__)
        bar.show(1, 2)
        bar.close()
    assert output.getvalue() == ""


def test_what_comes_is_written_as_it_comes(tmp_path: Path) -> None:
    build_log(tmp_path, records(100))
    lines: list[dict[str, Json]] = []
    command = [*COMMAND, "--state", str(tmp_path), "--follow", "--limit", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout
        reader = threading.Thread(target=lambda: lines.extend(map(json.loads, output)), daemon=True)
        reader.start()
        try:
            eventually(lambda: len(lines) == 1)
            add_wal(tmp_path, records(200))
            eventually(lambda: len(lines) == 101)
            build_log(tmp_path, records(200))
            add_wal(tmp_path, records(203))
            eventually(lambda: len(lines) >= 104)
        finally:
            process.kill()
            process.wait()
            reader.join(10)
    assert [int(str(each["id"])[10:20], 16) for each in lines] == list(range(99, 203))


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    build_log(tmp_path, records(3_000))
    shell = f"{sys.executable} -c 'from pdp.cli.audit_log import log; log()' --state {tmp_path} --json | head -1"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["kind"] == "log.start"
    assert done.stderr == ""


# ---------------------------------------------------------------- instants

NOW_US = 1_700_000_000_000_000

INSTANTS = {
    "2023-11-14T22:13:20Z": NOW_US,
    "2023-11-14t22:13:20z": NOW_US,
    "2023-11-14T23:13:20.5+01:00": NOW_US + 500_000,
    "2023-11-14T22:13:20.000001Z": NOW_US + 1,
    "2023-11-14": NOW_US - (22 * 3600 + 13 * 60 + 20) * 1_000_000,
    "90s": NOW_US - 90_000_000,
    "10m": NOW_US - 600_000_000,
    "2h": NOW_US - 7_200_000_000,
    "3d": NOW_US - 3 * 86_400_000_000,
    "1w": NOW_US - 7 * 86_400_000_000,
}


@pytest.mark.parametrize("text", INSTANTS)
def test_instants(text: str) -> None:
    assert instant_us(text, "--since", NOW_US) == INSTANTS[text]


@pytest.mark.parametrize(
    "text",
    ["", "now", "10", "-5m", "10 m", "1e3s", "2023-11-14 22:13", "2023-13-01", "20231114", "2023-11-14T25:00:00Z",
     "2023-11-14T22:13:20", "9999999999s", "0000-01-01", "\uff12023-11-14", "1h\n", "2023-W46-2"],
)  # fmt: skip
def test_no_instant(text: str) -> None:
    with pytest.raises(click.UsageError):
        instant_us(text, "--since", NOW_US)


def test_an_instant_of_no_calendar_is_shown_as_its_number() -> None:
    assert instant_text(0) == "1970-01-01T00:00:00.000Z"
    assert instant_text(-1) == "-1 µs"
    assert instant_text(2**62) == f"{2**62} µs"

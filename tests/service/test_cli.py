"""The command line: bad input is one clear refusal with the right exit code, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cases import POLICY
from tests.support.command import Done, Pdp
from tests.support.issuing import TestIssuer
from tests.support.process import ROOT

SHOP = ROOT / "policies" / "shop"
ALLOWED = ("--as", "user", "--set", "sub=u1", "--set", 'accounts=["a1"]', "--set", "aud=ledger")


@pytest.fixture
def decide(pdp: Pdp) -> Pdp:
    return lambda *arguments: pdp("decide", *arguments, "--policies", POLICY)


def _serve(*arguments: str | Path, cwd: Path) -> Done:
    """`pdp serve` as a process that is expected to end by itself."""
    command = [sys.executable, "-m", "pdp", "serve", "--workers", "1", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def _refused(done: Done, code: int, *words: str) -> None:
    shown = done.out + done.err
    assert done.code == code, shown
    assert "Traceback" not in shown
    assert len(shown.encode()) < 20_000
    for word in words:
        assert word in shown, shown


def _folder(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = tmp_path / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "policies").mkdir(exist_ok=True)
    return tmp_path / "policies"


MODULE = (POLICY / "cases.pol").read_bytes()
FACTS = "facts/cases.shared_with.csv"
BROKEN: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
    "an empty folder": ({}, ("E113",)),
    "a file that is not UTF-8": ({"a.pol": b"module a\n\xff\xfe"}, ("E100", "a.pol")),
    "a megabyte of nested parentheses": (
        {"a.pol": b"module a\ncondition c = " + b"(" * 500_000 + b"true" + b")" * 500_000},
        ("E104", "a.pol:2"),
    ),
    "a file over the limit": ({"a.pol": b"module a\n" + b"# " + b"x" * 2_000_000}, ("E105",)),
    "an empty file": ({"a.pol": b""}, ("E102",)),
    "a Casbin model that is not there": (
        {"a.pol": b'module a\ncasbin old { model "m" policy "p" bind sub = token.sub on a as full mode strict }'},
        ("E624", "there is no file `m`"),
    ),
    "two mistakes in two files": (
        {"a.pol": b"module a\nlabel x\nlabel x", "b.pol": b"module b\ncondition c = missing"},
        ("a.pol:3", "b.pol:2", "2 problems"),
    ),
}


@pytest.mark.parametrize(("files", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_check_refuses(files: dict[str, bytes], words: tuple[str, ...], tmp_path: Path, pdp: Pdp) -> None:
    _refused(pdp("check", _folder(tmp_path, files)), 1, *words)


UNSERVABLE = {name: BROKEN[name] for name in ("an empty folder", "a megabyte of nested parentheses")}


@pytest.mark.parametrize(("files", "words"), UNSERVABLE.values(), ids=UNSERVABLE.keys())
def test_serve_does_not_start_on(files: dict[str, bytes], words: tuple[str, ...], tmp_path: Path, pdp: Pdp) -> None:
    state = tmp_path / "state"
    done = _serve("--policies", _folder(tmp_path, files), "--state", state, cwd=tmp_path)
    _refused(done, 2, words[0])
    verified = pdp("audit", "verify", "--state", state)
    assert verified.code == 0, verified.out  # the refusal itself is in a log that holds


WRONG_FACTS: dict[str, tuple[bytes | None, str]] = {
    "a facts file with a missing column": (b"account\na9\n", "user"),
    "a facts file that is absent": (None, "cases.shared_with"),
    "a facts file that is not UTF-8": (b"account,user\n\xff,u1\n", "UTF-8"),
    "a ragged row": (b"account,user\na9\n", "cases.shared_with.csv"),
}


@pytest.mark.parametrize(("data", "word"), WRONG_FACTS.values(), ids=WRONG_FACTS.keys())
def test_serve_and_decide_refuse(data: bytes | None, word: str, tmp_path: Path, pdp: Pdp) -> None:
    files = {"cases.pol": MODULE} | ({} if data is None else {FACTS: data})
    folder = _folder(tmp_path, files)
    _refused(_serve("--policies", folder, "--state", tmp_path / "state", cwd=tmp_path), 2, word)
    _refused(pdp("decide", "GET", "https://ledger.example/accounts/a1", *ALLOWED, "--policies", folder), 2, word)
    assert pdp("check", folder).code == 0


def test_check_says_in_one_line_which_facts_are_absent(tmp_path: Path, pdp: Pdp) -> None:
    done = pdp("check", _folder(tmp_path, {"cases.pol": MODULE}))
    assert done.code == 0
    assert "facts absent: facts/cases.shared_with.csv" in done.out


def test_check_as_json_has_a_place_for_every_mistake(tmp_path: Path, pdp: Pdp) -> None:
    done = pdp("check", "--json", _folder(tmp_path, {"a.pol": b"module a\nlabel x\nlabel x"}))
    assert done.code == 1
    ((mistake,),) = (each["diagnostics"] for each in json.loads(done.out)["environments"])
    assert (mistake["code"], mistake["file"], mistake["line"]) == ("E205", "a.pol", 3)


def test_test_runs_every_case_of_the_shop(pdp: Pdp) -> None:
    done = pdp("test", SHOP)
    assert done.code == 0
    assert "0 failed" in done.out


def test_test_shows_what_was_expected_and_what_came_and_why(tmp_path: Path, pdp: Pdp) -> None:
    wrong = MODULE.replace(b"GET /accounts/a1  expect allow", b"GET /accounts/a3  expect allow")
    done = pdp("test", _folder(tmp_path, {"cases.pol": wrong}))
    _refused(done, 1, "expected  allow by cases.owner_uses_own_account", "got       deny by default", "cases.pol:")


def test_a_policy_without_tests_does_not_pass_them(tmp_path: Path, pdp: Pdp) -> None:
    text = MODULE[: MODULE.index(b'test "')]
    _refused(pdp("test", _folder(tmp_path, {"cases.pol": text})), 1, "no test block")


def test_decide_ends_0_for_an_allow_and_1_for_anything_else(decide: Pdp) -> None:
    assert decide("GET", "https://ledger.example/accounts/a1", *ALLOWED).code == 0
    assert decide("GET", "https://ledger.example/accounts/a3", *ALLOWED).code == 1
    assert decide("POST", "https://ledger.example/accounts/a1/transfers", *ALLOWED).code == 1


def test_decide_keeps_the_path_as_it_was_written(decide: Pdp) -> None:
    done = decide("GET", "https://ledger.example/accounts/a1%2fentries", *ALLOWED)
    assert "path.encoded_slash" in done.out


def test_decide_explains_with_values_but_for_private_ones(decide: Pdp) -> None:
    arguments = (*ALLOWED, "--set", "email=ann@example.org", "--explain")
    done = decide("POST", "https://ledger.example/accounts/a1/transfers", *arguments)
    assert 'token.accounts = ["a1"]' in done.out
    assert "ann@example.org" not in done.out


BAD_CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "no call at all": ((), "METHOD and URL"),
    "a URL without a scheme": (("GET", "ledger.example/x"), "https://"),
    "a claim without a kind": (("GET", "https://ledger.example/x", "--set", "sub=u1"), "--as"),
    "a claim without a value": (("GET", "https://ledger.example/x", "--as", "user", "--set", "sub"), "CLAIM=VALUE"),
    "a token that is not there": (("GET", "https://ledger.example/x", "--token", "nowhere.jwt"), "nowhere.jwt"),
    "an instant that is none": (("GET", "https://ledger.example/x", "--now", "noon"), "noon"),
    "a configuration that is not there": (
        ("GET", "https://ledger.example/x", "--config", "nowhere.toml"),
        "nowhere.toml",
    ),
}


@pytest.mark.parametrize(("arguments", "word"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_decide_calls_it_bad_input(arguments: tuple[str, ...], word: str, decide: Pdp) -> None:
    _refused(decide(*arguments), 2, word)


def test_a_kind_that_the_policy_does_not_know_is_no_caller(decide: Pdp) -> None:
    asked = ("GET", "https://ledger.example/accounts/a1", "--as", "root")
    _refused(decide(*asked), 2, "no token kind `root`; there are `machine`, `user`")


def test_a_whole_request_decides_as_its_parts_do(tmp_path: Path, decide: Pdp) -> None:
    request = {
        "service": "ledger",
        "method": "GET",
        "path": "/accounts/a1",
        "host": "ledger.example",
        "now": "2026-03-01T12:00:00Z",
        "principal": {"kind": "token", "name": "user", "claims": {"sub": "u1", "accounts": ["a1"], "aud": "ledger"}},
    }
    for name, text in (("r.json", json.dumps(request)), ("r.yaml", json.dumps(request))):
        (tmp_path / name).write_text(text)
        assert decide("--request", tmp_path / name).code == 0
    (tmp_path / "bad.yaml").write_text("a: [")
    _refused(decide("--request", tmp_path / "bad.yaml"), 2, "bad.yaml")


def test_a_real_token_is_proved_and_an_expired_one_is_not(tmp_path: Path, decide: Pdp) -> None:
    issuer = TestIssuer()
    keys = issuer.write_keys(tmp_path / "jwks.json")
    config = tmp_path / "pdp.toml"
    config.write_text(f'[[issuers]]\nurl = "{issuer.url}"\nkeys = "{keys}"\nalgorithms = ["ES256"]\n')
    now = int(time.time())
    claims = {"sub": "u1", "accounts": ["a1"], "aud": "ledger"}
    call = ("GET", "https://ledger.example/accounts/a1", "--config", config)
    (tmp_path / "good.jwt").write_text(issuer.mint(claims, now))
    (tmp_path / "old.jwt").write_text(issuer.mint(claims, now - 7200))
    assert decide(*call, "--token", tmp_path / "good.jwt").code == 0
    _refused(decide(*call, "--token", tmp_path / "old.jwt"), 1, "token.expired")


def test_serve_without_a_policy_says_where_to_name_one(tmp_path: Path) -> None:
    _refused(_serve(cwd=tmp_path), 2, "--policies")


def test_serve_on_an_open_state_folder_does_not_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    _refused(_serve("--policies", POLICY, "--state", state, cwd=tmp_path), 2, "chmod 700")


def test_show_of_an_unknown_or_misspelt_record(tmp_path: Path, pdp: Pdp) -> None:
    _refused(pdp("audit", "show", "f" * 32, "--state", tmp_path), 2, "no log")
    (tmp_path / "log").mkdir()
    _refused(pdp("audit", "show", "xyz", "--state", tmp_path), 2, "32 hex digits")


def test_completion_offers_the_verbs() -> None:
    environment = {"PYTHONPATH": str(ROOT), "_PDP_COMPLETE": "bash_complete", "COMP_WORDS": "pdp ", "COMP_CWORD": "1"}
    pdp = shutil.which("pdp", path=str(Path(sys.executable).parent)) or ""
    assert pdp, "the command pdp is not installed: run the tests with `make test`"
    done = subprocess.run([pdp], capture_output=True, text=True, env=environment, timeout=30, check=False)
    assert "serve" in done.stdout

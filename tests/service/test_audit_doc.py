"""docs/audit.md: its example is served, asked and verified as it says, and what it names is there."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import click
import msgspec
import pytest

from pdp.audit.policy import is_met, parse_policy
from pdp.audit.report import SOUND
from pdp.audit.verify import verify_log
from pdp.cli import cli
from pdp.config_tables import TABLES
from pdp.toml_keys import keys_of
from tests.support.process import ROOT, ServedPdp, eventually
from tests.support.readme import Command, blocks, commands, matches, run, write

DOCUMENT = ROOT / "docs" / "audit.md"
TEXT = DOCUMENT.read_text()
_SECTION = (ROOT / "docs" / "codes.md").read_text().split("\n## Kinds of records\n")[1].split("\n## ")[0]
POLICY = Path("policies") / "todo"
ADDRESS = "127.0.0.1:8182"
ORIGIN = 'origin = "pdp.todo.example/log"\n'

LISTED = re.findall(r"\| `pdp audit log ([^`]*)` \|", TEXT)
"""What its table asks `pdp audit log`."""

KINDS = set(re.findall(r"`([a-z_.]+)`", "".join(re.findall(r"^\|[^|]*\|", _SECTION, re.MULTILINE))))
"""The kinds of records that docs/codes.md lists."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, begins in {"pdp": f"{sys.executable} -m pdp", "python3": sys.executable}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {begins} "$@"\n')
        (programs / name).chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def _asked() -> list[Command]:
    return [each for block in blocks(DOCUMENT) if block.note == "served" for each in commands(block)]


def _is_signed(state: Path) -> bool:
    """Whether every record there is stands under the checkpoint: that comes a moment after the answer."""
    report = verify_log(state / "log", state / "wal", (state / "keys" / "log.vkey").read_text(), lambda *_: None)
    return report.exit_code == SOUND and not report.pending


def _served(folder: Path) -> ServedPdp:
    """The service of the document, not yet started, at addresses that are free; its files stand in `folder`."""
    shutil.copytree(ROOT / POLICY, folder / POLICY)
    served = ServedPdp(folder, folder / POLICY, [])
    for block in blocks(DOCUMENT):
        if block.verb == "file":
            path = write(block, folder)
            path.write_text(path.read_text().replace(ADDRESS, served.address))
    written = served.config.read_text()
    assert written.count(ORIGIN) == 1
    often = written.replace(ORIGIN, f"{ORIGIN}checkpoint_interval_ms = 50\n")
    served.config.write_text(f'http.address = "127.0.0.1:{served.http_port}"\n{often}')
    return served


def test_its_example_is_served_and_verified_as_it_says(tmp_path: Path, environment: dict[str, str]) -> None:
    served = _served(tmp_path)
    served.start()
    try:
        for command in _asked():
            if "pdp audit" in command.line:
                eventually(lambda: _is_signed(tmp_path / ".pdp"))
            got = run(command.line, tmp_path, environment)
            assert matches(command.output, got), f"$ {command.line}\n--- wanted\n{command.output}\n--- got\n{got}"
        for asked in LISTED:
            if not {"--follow", "--log"} & set(asked.split()):
                got = run(f"pdp audit log {asked}", tmp_path, environment)
                assert got.startswith(("time ", "count ")), f"$ pdp audit log {asked}\n{got}"
        listed = run("pdp audit log --json", tmp_path, environment).splitlines()
        kinds = {msgspec.json.decode(line)["kind"] for line in listed}
        assert {"decision", "audit.reidentify", "audit.replay"} <= kinds <= KINDS
    finally:
        served.stop()


def test_it_runs_every_verb_of_audit() -> None:
    audit = cli.get_command(click.Context(cli), "audit")
    assert isinstance(audit, click.Group)
    ran = {command.line.split()[2] for command in _asked() if command.line.startswith("pdp audit")}
    assert ran == set(audit.list_commands(click.Context(audit)))
    assert len(LISTED) == 8


def test_its_policy_of_witnesses_is_one() -> None:
    (block,) = [block for block in blocks(DOCUMENT) if block.rest == "witnesses.policy"]
    policy = parse_policy(block.text.encode())
    own, auditor = policy.witnesses
    assert is_met(policy, [own.key, auditor.key])
    assert not is_met(policy, [own.key])
    hosts = {(each.url or "").removeprefix("https://") for each in policy.witnesses}
    assert all(f'"{host}"' in TEXT for host in hosts)


def test_the_keys_it_names_are_keys() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", TEXT))
    known = {each.name for each in keys_of(TABLES["log"])}
    metrics = set(re.findall(r"portcullis_[a-z_]+", (ROOT / "pdp" / "metrics.py").read_text()))
    assert named - known - metrics == {"sign_statement", "bundle_digest"}
    assert {"key_days", "root", "witness_policy", "witness_hosts", "witness_seconds"} <= known


def test_the_kinds_of_records_it_names_are_listed() -> None:
    named = set(re.findall(r"`((?:log|decision|answer)\.[a-z_]+)`", TEXT))
    assert "log.heartbeat" in named
    assert named <= KINDS

"""docs/gateways.md: its commands run, and it tells of every gateway there is a configuration for."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from pdp.gateway_files.files import KINDS
from tests.support.process import ROOT, ServedPdp
from tests.support.readme import blocks, commands, matches, replay_document, run

DOCUMENT = ROOT / "docs" / "gateways.md"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pdp").write_text(f'#!/bin/sh\nexec {sys.executable} -m pdp "$@"\n')
    (programs / "pdp").chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def test_its_commands_run(tmp_path: Path, environment: dict[str, str]) -> None:
    assert replay_document(DOCUMENT, tmp_path, environment, skip=frozenset({"served"})) == 7
    served = ServedPdp(tmp_path, tmp_path / "shelf", [])
    head = f'policies = "shelf"\nhttp.address = "127.0.0.1:{served.http_port}"\n'
    gateway = (tmp_path / "edge" / "gateway.toml").read_text()
    served.config.write_text(head + gateway.replace("127.0.0.1:8182", served.address))
    served.start()
    try:
        (asked,) = [each for block in blocks(DOCUMENT) if block.note == "served" for each in commands(block)]
        got = run(asked.line.replace("127.0.0.1:8182", served.address), tmp_path, environment)
        assert matches(asked.output, got), got
    finally:
        served.stop()


def test_it_names_every_header_that_forward_auth_reads() -> None:
    source = (ROOT / "pdp" / "transports" / "forward_auth.py").read_text()
    read = re.findall(r"^\| `(x-forwarded-[a-z]+)` \|", source, re.MULTILINE)
    named = re.findall(r"^\| `(X-Forwarded-[A-Z][a-z]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert len(read) == 5
    assert [name.lower() for name in named] == read


def test_it_tells_of_every_gateway() -> None:
    text = DOCUMENT.read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []

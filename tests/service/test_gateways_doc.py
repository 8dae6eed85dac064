"""docs/gateways.md: its commands run, and it tells of every gateway there is a configuration for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pdp.gateway_files.files import KINDS
from tests.support.process import ROOT
from tests.support.readme import replay_document

DOCUMENT = ROOT / "docs" / "gateways.md"


def test_its_commands_run(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pdp").write_text(f'#!/bin/sh\nexec {sys.executable} -m pdp "$@"\n')
    (programs / "pdp").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    assert replay_document(DOCUMENT, tmp_path, environment, skip=frozenset()) == 7


def test_it_tells_of_every_gateway() -> None:
    text = DOCUMENT.read_text()
    assert [kind for kind in KINDS if f"| `{kind}` |" not in text] == []

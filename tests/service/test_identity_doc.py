"""docs/identity.md: its example compiles and passes its tests, and what it names is there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from pdp.config_tables import ARRAYS, TABLES
from pdp.identity.profiles import PROFILES
from pdp.toml_keys import keys_of
from tests.support.process import ROOT
from tests.support.readme import replay_document

DOCUMENT = ROOT / "docs" / "identity.md"


def test_its_example_passes_its_tests(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pdp").write_text(f'#!/bin/sh\nexec {sys.executable} -m pdp "$@"\n')
    (programs / "pdp").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    assert replay_document(DOCUMENT, tmp_path, environment, skip=frozenset()) == 1


def test_the_keys_it_names_are_keys() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", DOCUMENT.read_text()))
    known = {each.name for section in (*TABLES.values(), *ARRAYS.values()) for each in keys_of(section)}
    claims = {"client_id", "auth_time", "acr_values", "max_age", "valid_until", "include_peer_certificate"}
    others = {"insufficient_user_authentication", "portcullis_shared_state_usable"}
    assert named - known - claims - others == set()


def test_it_names_every_profile() -> None:
    assert [name for name in PROFILES if f"`{name}`" not in DOCUMENT.read_text()] == []

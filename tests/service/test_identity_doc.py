"""docs/identity.md: its example compiles and passes its tests, and what it names is there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from pdp.config import parse_config
from pdp.config_tables import ARRAYS, TABLES
from pdp.identity.profiles import PROFILES
from pdp.minting.key_store import SECRET, KeyStore
from pdp.minting.keys import Rotation, base64url
from pdp.shared_state.watched import FileRefused, read_watched
from pdp.toml_keys import keys_of
from tests.support.process import ROOT, ServedPdp
from tests.support.readme import blocks, commands, matches, replay_document, run

DOCUMENT = ROOT / "docs" / "identity.md"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, begins in {"pdp": f"{sys.executable} -m pdp", "python": sys.executable}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {begins} "$@"\n')
        (programs / name).chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def test_its_example_is_decided_and_served_as_it_says(tmp_path: Path, environment: dict[str, str]) -> None:
    served = ServedPdp(tmp_path, tmp_path / "bank", [])
    assert replay_document(DOCUMENT, tmp_path, environment, skip=frozenset({"served"})) == 6
    written = served.config.read_text().replace("127.0.0.1:8182", served.address)
    state = f'state = "{served.state}"\n'
    served.config.write_text(f'http.address = "127.0.0.1:{served.http_port}"\n{state}{written}')
    served.start()
    try:
        asked = [each for block in blocks(DOCUMENT) if block.note == "served" for each in commands(block)]
        for command in asked:
            line = command.line.replace("127.0.0.1:8182", served.address)
            got = run(line.replace("127.0.0.1:8181", f"127.0.0.1:{served.http_port}"), tmp_path, environment)
            assert matches(command.output, got), f"$ {line}\n{got}"
        assert len(asked) == 5
    finally:
        served.stop()


def test_its_tables_are_of_a_configuration() -> None:
    tables = [block.text for block in blocks(DOCUMENT) if block.kind == "toml"]
    assert [parse_config(text, Path("/etc/pdp")) is not None for text in tables] == [True] * 5


def test_its_list_of_revocations_is_one() -> None:
    (block,) = [block for block in blocks(DOCUMENT) if block.note == "revoked"]
    listed = read_watched(block.text.encode())
    assert not isinstance(listed, FileRefused)
    assert [each.kind for each in listed] == ["session", "subject", "subject", "key"]
    assert [each.until_us is None for each in listed] == [True, True, False, True]
    assert read_watched(b"\n") == ()
    assert isinstance(read_watched(b""), FileRefused)


def test_a_host_calls_everybody_as_another_does_by_the_secret_of_that_one(tmp_path: Path) -> None:
    folder = tmp_path / "minting"
    folder.mkdir(mode=0o700)
    (folder / SECRET).write_text(base64url(b"s" * 32) + "\n")
    (folder / SECRET).chmod(0o600)
    store = KeyStore(folder, Rotation(), os.urandom)
    found = store.look(1_772_366_400_000_000, 0)
    store.close()
    assert (found.secret, found.signer is None) == (b"s" * 32, False)


def test_the_keys_it_names_are_keys() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", DOCUMENT.read_text()))
    known = {each.name for section in (*TABLES.values(), *ARRAYS.values()) for each in keys_of(section)}
    claims = {"client_id", "auth_time", "acr_values", "max_age", "valid_until", "include_peer_certificate"}
    claims |= {"max_connection_duration"}
    metrics = set(re.findall(r"portcullis_[a-z_]+", (ROOT / "pdp" / "metrics.py").read_text()))
    assert named - known - claims - metrics - {"insufficient_user_authentication"} == set()


def test_it_names_every_profile() -> None:
    assert [name for name in PROFILES if f"`{name}`" not in DOCUMENT.read_text()] == []

"""pdp.audit.keys: made once, whole, for us alone."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.checkpoint import parse_vkey
from pdp.audit.keys import create_keys, load_keys
from pdp.errors import StateError

ORIGIN = "pdp.example.com/prod"
NAMES = ["box.key", "id.key", "log.key", "log.vkey"]


def test_created_keys_are_loaded_back(tmp_path: Path) -> None:
    created = create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    loaded = load_keys(tmp_path / "keys")
    assert (loaded.origin, loaded.vkey, loaded.box_key, loaded.id_key) == (
        ORIGIN,
        created.vkey,
        created.box_key,
        created.id_key,
    )
    verifier = parse_vkey(loaded.vkey)
    assert verifier.name == ORIGIN
    assert verifier.public == loaded.sign_key.public_key().public_bytes_raw()
    assert len({loaded.box_key, loaded.id_key, loaded.sign_key.private_bytes_raw()}) == 3


def test_the_folder_and_its_files_are_ours_alone(tmp_path: Path) -> None:
    create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == NAMES
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_the_private_key_stands_as_32_bytes_in_base64(tmp_path: Path) -> None:
    keys = create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    assert base64.b64decode((tmp_path / "keys/log.key").read_text()) == keys.sign_key.private_bytes_raw()


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    keys = create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    assert repr(keys.box_key) not in repr(keys)
    assert repr(keys.id_key) not in repr(keys)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    assert create_keys(tmp_path / "keys", ORIGIN, os.urandom).origin == ORIGIN


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    with pytest.raises(StateError, match="never overwritten"):
        create_keys(tmp_path / "keys", "other.example/log", os.urandom)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "keys").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StateError):
        create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    (tmp_path / "keys").unlink()
    (tmp_path / "keys").write_bytes(b"a file")
    with pytest.raises(StateError):
        create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


@pytest.mark.parametrize(
    "origin", ["", "a b", "a+b", "a\n", "a\u00a0b", "a\x1b[31m", "\u202elog", "é", "a" * 256], ids=ascii
)
def test_a_name_that_a_signed_note_cannot_carry_is_refused(tmp_path: Path, origin: str) -> None:
    with pytest.raises(StateError, match="cannot name a log"):
        create_keys(tmp_path / "keys", origin, os.urandom)
    assert not (tmp_path / "keys").exists()


def _loosen(path: Path, mode: int) -> Callable[[Path], object]:
    return lambda keys: (keys / path).chmod(mode)


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda keys: (keys / name).write_text(text)


def _link(keys: Path) -> None:
    (keys / "box.key").rename(keys.parent / "box.key")
    (keys / "box.key").symlink_to(keys.parent / "box.key")


def _fifo(keys: Path) -> None:
    (keys / "box.key").unlink()
    os.mkfifo(keys / "box.key", 0o600)


def _foreign_vkey(keys: Path) -> None:
    other = create_keys(keys.parent / "other", ORIGIN, os.urandom)
    (keys / "log.vkey").write_text(other.vkey + "\n")


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "a folder that the group may enter": _loosen(Path(), 0o750),
    "a folder that others may list": _loosen(Path(), 0o704),
    "a signing key that the group may read": _loosen(Path("log.key"), 0o640),
    "a box key that the world may read": _loosen(Path("box.key"), 0o604),
    "an id key that the group may write": _loosen(Path("id.key"), 0o620),
    "a verifier key that the world may write": _loosen(Path("log.vkey"), 0o602),
    "no signing key": lambda keys: (keys / "log.key").unlink(),
    "no verifier key": lambda keys: (keys / "log.vkey").unlink(),
    "an empty box key": _write("box.key", ""),
    "a short id key": _write("id.key", base64.b64encode(bytes(31)).decode()),
    "a long id key": _write("id.key", base64.b64encode(bytes(33)).decode()),
    "a key that is not base64": _write("box.key", "!" * 44),
    "a verifier key that is none": _write("log.vkey", "pdp.example.com/prod"),
    "a verifier key of another pair": _foreign_vkey,
    "a key behind a link": _link,
    "a key that is a pipe": _fifo,
    "no folder": lambda keys: keys.rename(keys.parent / "elsewhere"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_loading_refuses(tmp_path: Path, name: str) -> None:
    create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    UNUSABLE[name](tmp_path / "keys")
    with pytest.raises(StateError) as refused:
        load_keys(tmp_path / "keys")
    assert refused.value.code == "S132"


def test_a_verifier_key_may_be_read_by_all(tmp_path: Path) -> None:
    create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    (tmp_path / "keys/log.vkey").chmod(0o644)
    assert load_keys(tmp_path / "keys").origin == ORIGIN

"""pdp.audit.keys: made once, whole, for us alone."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.checkpoint import format_vkey, parse_vkey, verifier_of
from pdp.audit.keys import adopt_next, create_keys, destroy_old, load_keys, prepare_next
from pdp.errors import StateError
from tests.support.logs import KEY

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


def test_the_next_key_stands_ready_and_is_not_made_twice(tmp_path: Path) -> None:
    keys_dir = tmp_path / "keys"
    create_keys(keys_dir, ORIGIN, os.urandom)
    following = prepare_next(keys_dir, os.urandom)
    assert prepare_next(keys_dir, os.urandom) == following
    assert parse_vkey((keys_dir / "next.vkey").read_text()) == following
    assert (keys_dir / "next.key").stat().st_mode & 0o777 == 0o600
    assert load_keys(keys_dir).signer != following


def test_the_next_key_takes_its_place_and_the_name_of_the_log_stays(tmp_path: Path) -> None:
    keys_dir = tmp_path / "keys"
    first = create_keys(keys_dir, ORIGIN, os.urandom)
    for _ in range(3):
        following = prepare_next(keys_dir, os.urandom)
        adopt_next(keys_dir)
        keys = load_keys(keys_dir)
        assert (keys.signer, keys.anchor, keys.vkey) == (following, first.signer, first.vkey)
    assert sorted(path.name for path in keys_dir.iterdir()) == sorted([*NAMES, "sign.vkey"])


def test_without_a_next_key_none_is_taken_into_use(tmp_path: Path) -> None:
    first = create_keys(tmp_path / "keys", ORIGIN, os.urandom)
    with pytest.raises(StateError, match="S132"):
        adopt_next(tmp_path / "keys")
    assert load_keys(tmp_path / "keys").signer == first.signer


def _linked(keys: Path) -> None:
    os.link(keys / "log.key", keys / "old.key")


def _renamed(keys: Path) -> None:
    _linked(keys)
    (keys / "next.key").rename(keys / "log.key")


def _named(keys: Path) -> None:
    _renamed(keys)
    (keys / "next.vkey").rename(keys / "sign.vkey")


def _overwritten(keys: Path) -> None:
    _named(keys)
    (keys / "old.key").write_bytes(bytes(45))


BROKEN_OFF: dict[str, tuple[Callable[[Path], object], bool]] = {
    "before the next key": (lambda keys: (keys / "next.vkey").unlink(), False),
    "with the old key linked": (_linked, False),
    "with the next key in use": (_renamed, True),
    "with its public half named": (_named, True),
    "with the old key overwritten": (_overwritten, True),
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_a_change_broken_off_leaves_keys_that_load_and_go_on(tmp_path: Path, name: str) -> None:
    keys_dir = tmp_path / "keys"
    old = create_keys(keys_dir, ORIGIN, os.urandom)
    following = prepare_next(keys_dir, os.urandom)
    break_off, changed = BROKEN_OFF[name]
    break_off(keys_dir)
    assert load_keys(keys_dir).signer == (following if changed else old.signer)
    with (keys_dir / ("old.key" if (keys_dir / "old.key").exists() else "log.key")).open("rb") as held:
        destroy_old(keys_dir)
        assert not (keys_dir / "old.key").exists()
        assert changed is (set(held.read()) == {0})
    prepared = prepare_next(keys_dir, os.urandom)
    assert (prepared == following) is not changed
    adopt_next(keys_dir)
    assert load_keys(keys_dir).signer == prepared


def test_a_root_is_what_others_know_the_log_by(tmp_path: Path) -> None:
    root = format_vkey(ORIGIN, KEY.public_key().public_bytes_raw())
    keys = create_keys(tmp_path / "keys", ORIGIN, os.urandom, root)
    assert (keys.vkey, keys.anchor) == (root, verifier_of(ORIGIN, KEY))
    assert keys.signer != keys.anchor
    assert load_keys(tmp_path / "keys").signer == keys.signer


@pytest.mark.parametrize("root", ["", "a+b+c", format_vkey("other.example", KEY.public_key().public_bytes_raw())])
def test_a_root_that_is_none_of_this_log_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(StateError, match="S132"):
        create_keys(tmp_path / "keys", ORIGIN, os.urandom, root)
    assert not (tmp_path / "keys").exists()

"""The store that the configuration names is the one that is opened, or none is; its password stays in its file.

That a PostgreSQL is opened with the password of a file is in test_postgres_store.py, where there is one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pdp.config_identity import SharedConfig
from pdp.shared_state.model import Revocation, StoreError
from pdp.shared_state.opening import MOST_BYTES, open_store
from pdp.shared_state.sqlite import DATABASE, SqliteStore
from tests.support.redis import redis_program, redis_server

ENTRY = Revocation("session", "https://id.example.com", "s-1", 1, None, "test")
NOWHERE = "redis://127.0.0.1:1/0"
"""A port that nothing is bound to."""


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_without_a_store_the_state_holds_a_file(tmp_path: Path) -> None:
    with closing(open_store(SharedConfig(), tmp_path)) as store:
        assert isinstance(store, SqliteStore)
        store.revoke(ENTRY)
    assert (tmp_path / DATABASE).exists()


def test_a_redis_is_opened_with_the_password_of_a_file(tmp_path: Path) -> None:
    program = redis_program()
    if program is None:
        pytest.skip("no redis-server on the path or in a package here, or no driver")
    from redis import Redis

    word = "p@ss:w/rd ?#%25 ü"
    with redis_server(program, tmp_path) as server:
        with closing(Redis.from_url(server.address)) as client:
            client.config_set("requirepass", word)
        file = written(tmp_path / "word", f"{word}\n".encode())
        with closing(open_store(SharedConfig(server.address, file), tmp_path)) as store:
            store.revoke(ENTRY)
            assert list(store.revocations(0)[0]) == [ENTRY]
        for named in (None, written(file, b"another word\n")):
            with pytest.raises(StoreError, match="S111") as caught:
                open_store(SharedConfig(server.address, named), tmp_path)
            assert "another" not in str(caught.value)
    assert not (tmp_path / DATABASE).exists(), "nothing is opened in place of what is named"


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (lambda path: path.unlink(missing_ok=True), "cannot be read"),
    "in a folder that is not there": (lambda path: path.symlink_to("none/word"), "cannot be read"),
    "a folder": (lambda path: path.mkdir(), "is no file"),
    "a pipe, which would be waited for": (lambda path: os.mkfifo(path, 0o600), "is no file"),
    "others may read it": (lambda path: written(path, b"hidden\n", 0o604), "read by others.*chmod 600"),
    "the group may write it": (lambda path: written(path, b"hidden\n", 0o620), "read by others.*chmod 600"),
    "a link to what others may read": (
        lambda path: path.symlink_to(written(path.with_name("else"), b"hidden", 0o644)),
        "read by others",
    ),
    "empty": (lambda path: written(path, b""), "one line"),
    "a line of nothing": (lambda path: written(path, b"\n"), "one line"),
    "two lines": (lambda path: written(path, b"hidden\nhidden\n"), "one line"),
    "two line ends": (lambda path: written(path, b"hidden\n\n"), "one line"),
    "a NUL": (lambda path: written(path, b"hid\0den"), "one line"),
    "no UTF-8": (lambda path: written(path, b"hidden\xff"), "UTF-8"),
    "too long": (lambda path: written(path, b"hidden".ljust(MOST_BYTES + 1, b"x")), "more than 4096 bytes"),
}


@pytest.mark.parametrize(("made", "why"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_password_file_that_is_none_is_refused_by_name(
    tmp_path: Path, made: Callable[[Path], object], why: str
) -> None:
    file = tmp_path / "store.password"
    made(file)
    before = _open_files()
    with pytest.raises(StoreError, match=rf"S114: the password file .*store\.password.*{why}") as caught:
        open_store(SharedConfig(NOWHERE, file), tmp_path)
    assert "hidden" not in str(caught.value)
    assert _open_files() == before


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_password_file_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away, and may read it then")
    file = written(tmp_path / "store.password", b"hidden\n")
    os.chown(file, 65_534, 65_534)
    with pytest.raises(StoreError, match="read by others"):
        open_store(SharedConfig(NOWHERE, file), tmp_path)


def test_the_longest_password_is_taken(tmp_path: Path) -> None:
    file = written(tmp_path / "store.password", b"x" * MOST_BYTES)
    with pytest.raises(StoreError, match=r"S111.*redis://127\.0\.0\.1:1/0 does not answer") as caught:
        open_store(SharedConfig(NOWHERE, file), tmp_path)
    assert "xx" not in str(caught.value)


def test_two_passwords_are_one_too_many(tmp_path: Path) -> None:
    file = written(tmp_path / "store.password", b"hidden\n")
    for user in ("me:hidden", ":hidden", "me:"):
        with pytest.raises(StoreError, match=r"S114.*leave one out") as caught:
            open_store(SharedConfig(f"redis://{user}@127.0.0.1:1/0", file), tmp_path)
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("address", ["", "memory://x", "hidden", "postgres://h/d", "REDIS://h"])
def test_an_address_of_no_store_is_refused_and_not_repeated(tmp_path: Path, address: str) -> None:
    with pytest.raises(StoreError, match=r"S114.*redis://, rediss://, postgresql://") as caught:
        open_store(SharedConfig(address), tmp_path)
    assert "hidden" not in str(caught.value)


DRIVERS = {
    "redis": ("redis://h", r"S114.*pip install redis$"),
    "psycopg": ("postgresql://h/d", r"S114.*pip install 'psycopg\[binary\]'$"),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_that_is_missing_is_named_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    address, said = DRIVERS[driver]
    monkeypatch.setitem(sys.modules, driver, None)  # as where it is not installed
    with pytest.raises(StoreError, match=said):
        open_store(SharedConfig(address), tmp_path)


def test_a_driver_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pdp.shared_state.postgres", None)  # as where its library is missing
    with pytest.raises(StoreError, match=r"S114.*cannot be loaded.*pip install 'psycopg\[binary\]'$"):
        open_store(SharedConfig("postgresql://h/d"), tmp_path)

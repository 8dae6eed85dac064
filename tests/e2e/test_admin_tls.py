"""`pdp serve` with `[admin]`: a session revoked from elsewhere is over at the next call; the log says by whom."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from pdp.audit import ids
from pdp.audit.box import open_box, salt_of
from pdp.audit.keys import load_keys
from pdp.audit.leaf import Leaf
from pdp.model import Json
from tests.support.asking import Asker, check_request
from tests.support.certificates import TestAuthority
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp, eventually
from tests.support.records import all_records

POLICY = ROOT / "tests" / "golden" / "decisions" / "policy"
ANNA = "spiffe://shop.example/admin/anna"
SERVERS, ADMINS = TestAuthority("servers"), TestAuthority("admins")


class Administered:
    """A service with `[admin]`, and the files of two who have a certificate, of whom one may administer."""

    def __init__(self, folder: Path, issuer: TestIssuer) -> None:
        self.folder = folder
        self.port = free_port()
        self.served = ServedPdp(folder, POLICY, [issuer])
        SERVERS.server().write(folder, "admin")
        ADMINS.gateway([ANNA]).write(folder, "anna")
        ADMINS.gateway([f"{ANNA}s"]).write(folder, "annas")
        (folder / "admins-ca.pem").write_bytes(ADMINS.pem)
        (folder / "servers-ca.pem").write_bytes(SERVERS.pem)
        table = [
            f'[admin]\naddress = "127.0.0.1:{self.port}"\ncertificate = "admin.pem"\nprivate_key = "admin.key"',
            f'client_ca = "admins-ca.pem"\nidentities = ["{ANNA}"]\n',
        ]
        self.served.config.write_text(self.served.config.read_text() + "\n" + "\n".join(table))

    def asked(self, *words: str, by: str = "anna") -> subprocess.CompletedProcess[str]:
        """`pdp admin WORDS` from elsewhere."""
        certificate, key, authorities = (
            str(self.folder / name) for name in (f"{by}.pem", f"{by}.key", "servers-ca.pem")
        )
        shown = ["--certificate", certificate, "--private-key", key, "--ca", authorities]
        return self.served.run("admin", *words, "--at", f"localhost:{self.port}", *shown)

    def here(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.served.run("admin", *words, "--state", str(self.served.state))

    def code(self, token: str) -> int:
        with Asker(self.served.address) as asker:
            headers = {"authorization": f"Bearer {token}"}
            data = check_request("GET", "ledger.example", "/accounts/a1", service="ledger", headers=headers)
            return asker.ask(data, timeout_s=5.0).code

    def is_in_doubt(self) -> bool:
        """Whether both readiness and `pdp admin status` would say that a certificate is not in use."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.served.http_port}/readyz", timeout=5) as answer:
            return any("admin.pem are not in use" in each for each in json.loads(answer.read())["warnings"])


def _opened(state: Path) -> list[tuple[Leaf, dict[str, Json]]]:
    """The records of administration in their order, each with what its box holds."""
    records, keys = all_records(state).values(), load_keys(state / "keys")
    starts = {ids.parse(leaf.id).boot: leaf for leaf in records if leaf.kind == "log.start"}
    made = sorted((leaf for leaf in records if leaf.kind == "admin"), key=lambda leaf: ids.parse(leaf.id).seq)
    boxes = [open_box(keys.box_key, salt_of(starts[ids.parse(leaf.id).boot]), keys.origin, leaf) for leaf in made]
    return [(leaf, json.loads(box)) for leaf, box in zip(made, boxes, strict=True)]


@pytest.mark.timeout(180)
def test_a_session_that_is_revoked_from_elsewhere_is_over_at_the_next_call(tmp_path: Path) -> None:
    issuer = TestIssuer()
    token = issuer.mint({"sub": "u1", "accounts": ["a1"], "aud": "ledger", "sid": "s1"}, int(time.time()))
    place = Administered(tmp_path, issuer)
    place.served.start()
    try:
        assert place.code(token) == 0
        revoke = ("revoke", "session", "s1", "--issuer", issuer.url)
        refused = place.asked(*revoke, by="annas")
        assert (refused.returncode, "one of its `identities`" in refused.stderr) == (2, True), refused
        assert place.code(token) == 0
        done = place.asked(*revoke)
        assert (done.returncode, done.stdout.split()[:3]) == (0, ["state", "revoked", "record"]), done
        assert place.code(token) == 16
        sound = (tmp_path / "admin.pem").read_bytes()
        (tmp_path / "admin.pem").write_bytes(b"rubbish")
        eventually(place.is_in_doubt)
        assert "admin.pem are not in use" in place.asked("status").stdout
        (tmp_path / "admin.pem").write_bytes(sound)
        eventually(lambda: not place.is_in_doubt())
        assert place.here("status").returncode == 0
        assert place.served.stop() == 0
    finally:
        place.served.kill()
    leaves = _opened(place.served.state)
    assert [(leaf.clear["verb"], box["user"], box["identity"]) for leaf, box in leaves] == [
        ("revoke", None, ANNA),
        ("status", None, ANNA),
        ("status", os.getuid(), None),
    ]
    assert "'kind': 'session'" in str(leaves[0][1]["asked"])  # as a record writes text that has quotes
    assert not any(ANNA in str(dict(leaf.clear)) for leaf, _ in leaves)
    assert place.served.output.read_text().count(f"`{ANNA}s` is no administrator") == 1

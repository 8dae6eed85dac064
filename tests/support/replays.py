"""Pasts for tests: a small policy, its variants, and logs that hold what was decided under them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pdp.audit.disk import Folder
from pdp.audit.files import open_log_file
from pdp.audit.frame import GENESIS, encode_frame, scan
from pdp.audit.keys import create_keys, load_keys
from pdp.audit.leaf import Leaf, encode, parse
from pdp.audit.record import Entry, decision_entry
from pdp.audit.replay_log import LogPlace
from pdp.audit.writer import LogWriter, Receipt
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import EXT_AUTHZ, Inquiry, Json, Principal
from pdp.runtime.bundle import Bundle, bundle_of
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.runtime.store import BundleStore
from pdp.state import State, prepare_state
from tests.support.cases import NOW
from tests.support.signed_logs import signed_files

NOW_US = NOW * 1_000_000
NOBODY = Identity(Verifier([]))

POLICY = """language 1
module shop

token user {
  issuer "https://id.example"
  claim sub: string
  claim team: string optional
  claim level: int optional
  claim tenant: string optional
}

subject employee {
  type "employee"
  property department: string optional
}

relation owns (user: string, item: string)
relation lends (user: string, item: string)

signal risk: int 0..100 from "context.risk" key (token.sub) within 5ms else unknown

service orders {
  audience "orders"
  host "orders.example"
  header device: string optional from "x-device"
  endpoint read   GET  /orders/{id}
  endpoint write  POST /orders/{id}
}

service archive {
  audience none
  accepts employee
  endpoint open_file  action "open" on "file"
                      property area: string optional
}

allow own for any user on orders when owns(token.sub, path.id) because "own"
allow teams for any user on orders.read when token has team and token.team == "ops" because "ops"
allow employees for any employee on archive because "all"
deny suspended for any user on orders.write when token has level and token.level == 0 because "none left"
"""
OWNS = b"user,item\nann,1\n"
LENDS = b"user,item\nbob,2\n"


def bundle(policy: str = POLICY, facts: Mapping[str, bytes] | None = None) -> Bundle:
    """The bundle of a variant of the policy."""
    rows = {"owns": OWNS, "lends": LENDS} | dict(facts or {})
    files = {f"facts/shop.{name}.csv": data for name, data in rows.items() if f"relation {name} " in policy}
    return bundle_of({"shop.pol": policy.encode(), **files})


def engine(policy: str = POLICY, facts: Mapping[str, bytes] | None = None) -> Engine:
    """Its engine, which decides by plans."""
    return engine_of(bundle(policy, facts), planned=True)


def write_folder(folder: Path, policy: str) -> Path:
    """The same as a folder."""
    for name, data in bundle(policy).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def asks(path: str = "/orders/1", method: str = "GET", **claims: Json) -> Inquiry:
    """A call by a user with these claims, ann unless they say another."""
    held: dict[str, Json] = {"sub": "ann", "aud": "orders", **claims}
    return Inquiry(
        service="orders",
        method=method,
        path=path,
        host="orders.example",
        headers=(),
        gateway="edge",
        capabilities=EXT_AUTHZ,
        ip="203.0.113.7",
        principal=Principal("token", "user", {name: value for name, value in held.items() if value is not None}),
    )


def recorded(inquiry: Inquiry, decided_by: Engine, now_us: int = NOW_US) -> Entry:
    """The record of a call."""
    evaluator = Evaluator(lambda: decided_by, NOBODY, service_from_host=True, compare_every=0, explained_per_second=0)
    made = evaluator.evaluate(inquiry, now_us)
    return decision_entry(made.decision, made.evidence, made.engine, now_us, inquiry.gateway, None)


class Past(Struct, frozen=True):
    """A state folder with a log."""

    state: State

    @property
    def place(self) -> LogPlace:
        return LogPlace(self.state.log, self.state.wal)

    def keep(self, *bundles: Bundle) -> None:
        """Store bundles beside the log."""
        store = BundleStore(self.state.bundles)
        for each in bundles:
            store.keep(each)

    def write(self, entries: Iterable[Entry], writer: int = 0) -> list[str]:
        """One more run of a writer, with these records; their ids."""
        settled = threading.Semaphore(0)

        def on_settled(receipts: Sequence[Receipt]) -> None:
            for _ in receipts:
                settled.release()

        log = LogWriter(
            self.state.wal,
            writer,
            load_keys(self.state.keys),
            open_file=open_log_file,
            entropy=os.urandom,
            clock_us=lambda: NOW_US,
            on_settled=on_settled,
            software="test",
        )
        log.start()
        receipts = [log.append(each.kind, each.clear, each.inputs, strict=False) for each in entries]
        for _ in receipts:
            assert settled.acquire(timeout=10)
        log.close(10)
        return [receipt.id for receipt in receipts]

    def rewrite(self, change: Callable[[Leaf], Leaf]) -> None:
        """Change decisions, in write-ahead logs made anew with every checksum right."""
        for wal in self.state.wal.glob("*.wal"):
            data, previous = b"", GENESIS
            for frame in scan(wal.read_bytes()).frames:
                leaves = [_changed(each, change) for each in frame.leaves]
                data += encode_frame(frame.writer, frame.first_seq, leaves, previous)
                previous = scan(data).frames[-1].digest
            wal.write_bytes(data)

    def arrange(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Make a tree, signed by nobody known, of what the write-ahead logs hold, changed; they are taken away."""
        leaves: list[bytes] = []
        for wal in sorted(self.state.wal.glob("*.wal")):
            leaves += [leaf for frame in scan(wal.read_bytes()).frames for leaf in frame.leaves]
            wal.unlink()
        Folder(self.state.log).replace(signed_files(change(leaves)))


def _changed(data: bytes, change: Callable[[Leaf], Leaf]) -> bytes:
    leaf = parse(data)
    leaf = change(leaf) if leaf.kind == "decision" else leaf
    return encode(leaf.kind, leaf.id, leaf.clear, leaf.sealed)


def past_in(folder: Path) -> Past:
    """An empty log, and the policy's bundle beside it."""
    state = prepare_state(folder)
    create_keys(state.keys, "test.example/log", os.urandom)
    past = Past(state)
    past.keep(bundle())
    return past

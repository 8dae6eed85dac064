"""Attacks on a decision log, each named by its cause; the corpus that audit.md section 5 asks for.

A `Scene` is what an attacker finds: a state folder with a log that is sound, what the folder was at an earlier
checkpoint, and every key. What each attack `needs` to be found is part of the corpus: the folder and the verifier key
alone, or besides a head that somebody remembered from before, as a witness does.

Decision: 2026-11-21. Whoever holds the signing key can write a history that is sound in itself; only what somebody else
    remembers tells it from the true one. Such attacks are here under `HEAD`, and their test requires that without a
    head they pass: so nobody takes a green `verify` for more than it is.
Decision: 2026-11-21. There is no index yet, so "a row is hidden" is a record taken out of the log itself.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from pdp.audit import ids
from pdp.audit.checkpoint import format_vkey, sign_checkpoint, unproved_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.files import open_log_file
from pdp.audit.frame import scan
from pdp.audit.ids import IdKey
from pdp.audit.keys import LogKeys, load_keys
from pdp.audit.leaf import encode, parse
from pdp.audit.merkle import TILE_WIDTH, Edge, leaf_hash
from pdp.audit.reader import entries
from pdp.audit.sequencer import Sequencer
from pdp.audit.tiles import encode_bundle, encode_tile
from pdp.audit.tree import Tree
from pdp.audit.writer import LogWriter
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.metrics import Metrics
from pdp.model import EXT_AUTHZ, Inquiry, Principal
from pdp.runtime.bundle import read_folder
from pdp.runtime.store import BundleStore
from pdp.service import DecisionService, Receipts
from pdp.state import State, prepare_state
from tests.support.cases import NOW, POLICY, engine
from tests.support.logs import OTHER_KEY, LiveLog

ALONE: Literal["folder and key"] = "folder and key"
HEAD: Literal["known head"] = "known head"

EARLY, LATE = 280, 320
"""Records in the tree, about, at the earlier checkpoint and at the newest."""


class Scene(Struct, frozen=True):
    """`state` may be done anything to; `earlier` is a copy of it from an earlier checkpoint; `head` is the newest
    checkpoint, remembered elsewhere."""

    state: Path
    earlier: Path
    head: Path

    @property
    def log(self) -> Path:
        """The folder of the tree."""
        return self.state / "log"

    @property
    def keys(self) -> LogKeys:
        """Every key of the log: an attacker on the host has them."""
        return load_keys(self.state / "keys")

    def leaves(self) -> list[bytes]:
        """The records of the tree."""
        return [entry for _, entry in entries(self.log)]

    def wals(self) -> list[Path]:
        """The write-ahead logs, the older first."""
        return sorted((self.state / "wal").glob("*.wal"))


class Attack(Struct, frozen=True):
    """What is done, what its discovery needs, and the exit code of `pdp audit verify` when it has that."""

    act: Callable[[Scene], object]
    needs: Literal["folder and key", "known head"]
    code: int


def make_scene(root: Path) -> Scene:
    """A log of one writer, signed twice, whose write-ahead log is still there, and a second one that nothing covers.

    At the earlier checkpoint what comes under the newest was waiting already.
    """
    live = LiveLog(root / "state")
    sequencer = live.sequencer()
    with live.writing() as writer:
        write(writer, EARLY)
        take_in(sequencer)
        write(writer, LATE - EARLY)
        shutil.copytree(live.state, root / "earlier")
        take_in(sequencer)
    shutil.copy(live.state / "log" / "checkpoint", root / "head")
    with live.writing() as writer:
        write(writer, 20)
    return Scene(live.state, root / "earlier", root / "head")


def write(writer: LogWriter, count: int) -> None:
    """Append so many allows, every tenth strict, so that there are several frames; return when all are settled."""
    for number in range(count):
        inputs = b'{"path":"/accounts/%d"}' % number
        receipt = writer.append("decision", {"d": "allow", "gw": "edge", "n": number}, inputs, strict=number % 10 == 9)
        until = time.monotonic() + 20
        while number % 10 == 9 and not receipt.settled:
            assert time.monotonic() < until
            time.sleep(0.001)


def take_in(sequencer: Sequencer) -> None:
    """Bring everything into the tree, and sign it."""
    while sequencer.integrate():
        pass
    sequencer.publish()


def decided(root: Path, path: str, headers: Mapping[str, str]) -> tuple[State, str]:
    """A state folder whose log holds a decision about that call, signed; the id of its record."""
    live = LiveLog(root)
    root.chmod(0o700)
    state = prepare_state(root)
    BundleStore(state.bundles).keep(read_folder(POLICY))
    inquiry = Inquiry(
        service="ledger",
        method="GET",
        path=path,
        host="ledger.example",
        headers=tuple(headers.items()),
        gateway="edge",
        capabilities=EXT_AUTHZ,
        principal=Principal("token", "user", {"sub": path, "accounts": [path], "aud": "ledger"}),
    )
    record_id = asyncio.run(_recorded(live, inquiry))
    live.pass_quietly(live.sequencer())
    return state, record_id


async def _recorded(live: LiveLog, inquiry: Inquiry) -> str:
    receipts = Receipts(asyncio.get_running_loop())
    writer = LogWriter(
        live.state / "wal",
        0,
        live.keys,
        open_file=open_log_file,
        entropy=os.urandom,
        clock_us=lambda: NOW * 1_000_000,
        on_settled=receipts.settled,
        software="test",
    )
    writer.start()
    try:
        activated = {"pb": engine().digest, "from": "", "ir": engine().ir_digest, "files": 1}
        await receipts.of(writer.append("policy.activated", activated, None, strict=True), 10.0)
        evaluator = Evaluator(engine, Identity(Verifier([])), service_from_host=False)
        service = DecisionService(
            evaluator, writer, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic
        )
        decision = await service.decide(inquiry, NOW * 1_000_000, 10.0)
    finally:
        await asyncio.to_thread(writer.close, 20)
    assert decision.id is not None
    return decision.id


# ---------------------------------------------------------------- means


def rebuild(scene: Scene, leaves: Sequence[bytes], key: Ed25519PrivateKey | None = None) -> None:
    """A tree of these records, every tile and bundle right; signed by `key`, or under the checkpoint that was there."""
    for wal in scene.wals():
        wal.unlink()
    checkpoint = (scene.log / "checkpoint").read_bytes()
    shutil.rmtree(scene.log)
    scene.log.mkdir()
    tree = Tree(Folder(scene.log), Edge(), ())
    tree.append(leaves)
    tree.write_edge()
    if key is not None:
        checkpoint = sign_checkpoint(scene.keys.origin, tree.size, tree.root(), key)
    (scene.log / "checkpoint").write_bytes(checkpoint)


def restore(scene: Scene) -> None:
    """The whole folder as it was at the earlier checkpoint."""
    shutil.rmtree(scene.state)
    shutil.copytree(scene.earlier, scene.state)


def edited(scene: Scene, edit: Callable[[list[bytes]], object]) -> list[bytes]:
    """The records of the tree after an edit."""
    leaves = scene.leaves()
    edit(leaves)
    return leaves


def rebundled(scene: Scene, edit: Callable[[list[bytes]], object]) -> None:
    """Edit the records of the first bundle, and nothing else."""
    leaves = scene.leaves()[:TILE_WIDTH]
    edit(leaves)
    (scene.log / "tile" / "entries" / "000").write_bytes(encode_bundle(leaves))


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    """Replace the first occurrence, which must be there."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def swap(leaves: list[bytes]) -> None:
    """Two neighbours change places."""
    leaves[7], leaves[8] = leaves[8], leaves[7]


def turn(leaves: list[bytes]) -> None:
    """An allow becomes a refusal."""
    leaves[7] = leaves[7].replace(b'"d":"allow"', b'"d":"deny"')


def hide(leaves: list[bytes]) -> None:
    """A record is taken out."""
    del leaves[7]


def move_box(leaves: list[bytes]) -> None:
    """A record gets the box of another, with the commitment to what is in it."""
    leaf = parse(leaves[7])
    leaves[7] = encode(leaf.kind, leaf.id, leaf.clear, parse(leaves[8]).sealed)


def node_as_leaf(leaves: list[bytes]) -> None:
    """Two records become one: the inner node over them, which an unprefixed hash would take for a leaf."""
    leaves[6:8] = [b"\x01" + leaf_hash(leaves[6]) + leaf_hash(leaves[7])]


def hash_nodes_as_leaves(scene: Scene) -> None:
    """The same, with a tile whose hash of that "leaf" is the inner node itself."""
    leaves = edited(scene, node_as_leaf)
    rebuild(scene, leaves)
    hashes = [sha256(leaf).digest() if leaf[:1] == b"\x01" else leaf_hash(leaf) for leaf in leaves[:TILE_WIDTH]]
    (scene.log / "tile" / "0" / "000").write_bytes(encode_tile(hashes))


def forged(scene: Scene, count: int) -> list[bytes]:
    """Records that go on with the writer of the last one, ids and all."""
    at = ids.parse(parse(scene.leaves()[-1]).id)
    made = IdKey(scene.keys.id_key)
    numbers = range(at.seq + 1, at.seq + 1 + count)
    return [encode("decision", made.make(at.boot, at.writer, n), {"d": "deny", "n": n}, None) for n in numbers]


def continue_without_key(scene: Scene) -> None:
    """The earlier log, continued to the newest size, under the newest checkpoint."""
    size = size_of(scene.state)
    checkpoint = (scene.log / "checkpoint").read_bytes()
    restore(scene)
    leaves = scene.leaves()
    rebuild(scene, leaves + forged(scene, size - len(leaves)))
    (scene.log / "checkpoint").write_bytes(checkpoint)


def continue_earlier(scene: Scene, count: int) -> None:
    """The earlier log, continued by other records and signed by the log's own key."""
    restore(scene)
    rebuild(scene, scene.leaves() + forged(scene, count), scene.keys.sign_key)


def cut_wal(path: Path, records: int) -> None:
    """Keep the frames of a write-ahead log that hold so many records."""
    found = [frame for frame in scan(path.read_bytes()).frames if frame.next_seq <= records]
    assert 0 < found[-1].end < path.stat().st_size
    path.write_bytes(path.read_bytes()[: found[-1].end])


def cut_what_waited(scene: Scene) -> None:
    """Back to the earlier checkpoint, and nothing of what waited for the next one is left."""
    restore(scene)
    cut_wal(scene.wals()[0], len(scene.leaves()))


def show_another(scene: Scene) -> None:
    """As long as the log that the first verifier saw; its last record is another."""
    leaves = scene.leaves()
    leaves[-1] = leaves[-1].replace(b'"d":"allow"', b'"d":"deny"')
    rebuild(scene, leaves, scene.keys.sign_key)


def unsigned(scene: Scene) -> None:
    """The checkpoint's text without any signature."""
    checkpoint = scene.log / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().partition(b"\n\n")[0] + b"\n")


def other_key(scene: Scene) -> None:
    """The verifier is given another key of the same name."""
    vkey = format_vkey(scene.keys.origin, OTHER_KEY.public_key().public_bytes_raw())
    (scene.state / "keys" / "log.vkey").write_text(vkey + "\n")


def signature_of_another_head(scene: Scene) -> None:
    """The newest text under the signature of an earlier checkpoint."""
    text = (scene.log / "checkpoint").read_bytes().partition(b"\n\n")[0]
    old = (scene.earlier / "log" / "checkpoint").read_bytes().partition(b"\n\n")[2]
    (scene.log / "checkpoint").write_bytes(text + b"\n\n" + old)


def smaller_size(scene: Scene) -> None:
    """The earlier size stated under the newest signature."""
    newest, earlier = (size_of(place) for place in (scene.state, scene.earlier))
    replace_bytes(scene.log / "checkpoint", b"\n%d\n" % newest, b"\n%d\n" % earlier)


def size_of(state: Path) -> int:
    """What the checkpoint states."""
    return unproved_checkpoint((state / "log" / "checkpoint").read_bytes()).size


def cut_bundle_and_hashes(scene: Scene) -> None:
    """The last bundle and its hashes are gone."""
    for level in ("0", "entries"):
        shutil.rmtree(scene.log / "tile" / level / "001.p")


def last_bundle(log: Path) -> Path:
    """The bundle that is not full."""
    return next((log / "tile" / "entries" / "001.p").iterdir())


# ---------------------------------------------------------------- the corpus

ATTACKS: dict[str, Attack] = {
    "the tail is cut below the checkpoint": Attack(lambda s: last_bundle(s.log).unlink(), ALONE, 20),
    "the tail is cut below the checkpoint, hashes too": Attack(cut_bundle_and_hashes, ALONE, 20),
    "a write-ahead log is cut below the tree": Attack(lambda s: cut_wal(s.wals()[0], EARLY // 2), ALONE, 20),
    "what waits for a checkpoint is changed": Attack(
        lambda s: replace_bytes(s.wals()[1], b'"d":"allow"', b'"d":"alloW"'), ALONE, 20
    ),
    "cut and continued without the signing key": Attack(continue_without_key, ALONE, 40),
    "history signed by another key": Attack(lambda s: rebuild(s, edited(s, turn), OTHER_KEY), ALONE, 40),
    "a row is hidden": Attack(lambda s: rebundled(s, hide), ALONE, 40),
    "a row is hidden, hashes and all": Attack(lambda s: rebuild(s, edited(s, hide)), ALONE, 20),
    "a row is hidden, and the log signed again": Attack(
        lambda s: rebuild(s, edited(s, hide), s.keys.sign_key), ALONE, 20
    ),
    "an unsigned log is presented": Attack(unsigned, ALONE, 40),
    "a log without a checkpoint is presented": Attack(lambda s: (s.log / "checkpoint").unlink(), ALONE, 20),
    "the verifier has the wrong key": Attack(other_key, ALONE, 40),
    "the signature of an earlier checkpoint": Attack(signature_of_another_head, ALONE, 40),
    "a smaller size under the newest signature": Attack(smaller_size, ALONE, 40),
    "two leaves are swapped": Attack(lambda s: rebundled(s, swap), ALONE, 40),
    "two leaves are swapped, hashes and all": Attack(lambda s: rebuild(s, edited(s, swap)), ALONE, 40),
    "two leaves are swapped, and the log signed again": Attack(
        lambda s: rebuild(s, edited(s, swap), s.keys.sign_key), ALONE, 40
    ),
    "a leaf is there twice": Attack(lambda s: rebundled(s, lambda each: each.insert(7, each[7])), ALONE, 40),
    "a leaf is there twice, and the log signed again": Attack(
        lambda s: rebuild(s, edited(s, lambda each: each.insert(7, each[7])), s.keys.sign_key), ALONE, 40
    ),
    "a box is moved to another record": Attack(lambda s: rebundled(s, move_box), ALONE, 40),
    "a box is moved to another record, hashes and all": Attack(lambda s: rebuild(s, edited(s, move_box)), ALONE, 40),
    "an inner node is passed off as a leaf": Attack(lambda s: rebundled(s, node_as_leaf), ALONE, 40),
    "an inner node is passed off as a leaf, its tile too": Attack(hash_nodes_as_leaves, ALONE, 40),
    "the tail is cut under an older checkpoint": Attack(restore, HEAD, 30),
    "the tail is cut after the last checkpoint": Attack(cut_what_waited, HEAD, 30),
    "cut and continued": Attack(lambda s: continue_earlier(s, LATE - EARLY - 10), HEAD, 30),
    "an old snapshot is restored and continued": Attack(lambda s: continue_earlier(s, LATE), HEAD, 30),
    "history is signed again with today's key": Attack(
        lambda s: rebuild(s, edited(s, turn), s.keys.sign_key), HEAD, 30
    ),
    "two histories are shown to two verifiers": Attack(show_another, HEAD, 30),
    "a box is moved to another record, and the log signed again": Attack(
        lambda s: rebuild(s, edited(s, move_box), s.keys.sign_key), HEAD, 30
    ),
}

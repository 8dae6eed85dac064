"""pdp.audit.proof: one record proved by a file, and by no file that differs in a byte that counts."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.checkpoint import CheckpointError, parse_vkey, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.manifest import parse_manifest
from pdp.audit.merkle import ProofError
from pdp.audit.proof import ProofFileError, TlogProof, encode_proof, open_proof, parse_proof, prove_record
from pdp.errors import PdpError
from tests.support import second_tlog as tlog
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY, build_log, records

SIZE = 300
LEAVES = records(SIZE)
KEYS = parse_manifest(None, parse_vkey(VKEY))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_log(tmp_path_factory.mktemp("log"), LEAVES)


@pytest.fixture(scope="module")
def proof(log: Path) -> TlogProof:
    return prove_record(Folder(log), 257, (log / "checkpoint").read_bytes())


@pytest.mark.parametrize("index", [0, 1, 255, 256, 257, 299])
def test_a_record_is_proved_to_us_and_to_another_implementation(log: Path, index: int) -> None:
    data = encode_proof(prove_record(Folder(log), index, (log / "checkpoint").read_bytes()))
    proved = open_proof(parse_proof(data), KEYS)
    assert (proved.index, proved.record, proved.signed.checkpoint.size) == (index, LEAVES[index], SIZE)
    assert tlog.proved_record(data, VKEY) == (index, LEAVES[index])


def test_a_proof_under_an_older_checkpoint(log: Path) -> None:
    older = sign_checkpoint(ORIGIN, 258, tlog.root(LEAVES[:258]), KEY)
    assert open_proof(prove_record(Folder(log), 257, older), KEYS).record == LEAVES[257]
    with pytest.raises(ValueError, match="no record"):
        prove_record(Folder(log), 258, older)


def test_the_form_of_the_specification(proof: TlogProof, log: Path) -> None:
    lines = encode_proof(proof).decode().split("\n")
    extra = f"extra {base64.b64encode(LEAVES[257]).decode()}"
    path = [base64.b64encode(part).decode() for part in tlog.inclusion(257, LEAVES)]
    assert lines == [
        "c2sp.org/tlog-proof@v1",
        extra,
        "index 257",
        *path,
        "",
        *(log / "checkpoint").read_text().split("\n"),
    ]


def test_the_only_record_of_a_log_needs_no_path(tmp_path: Path) -> None:
    log = build_log(tmp_path, LEAVES[:1])
    data = encode_proof(prove_record(Folder(log), 0, (log / "checkpoint").read_bytes()))
    assert parse_proof(data).path == ()
    assert open_proof(parse_proof(data), KEYS).record == LEAVES[0]


def test_a_proof_without_a_record_proves_one_that_comes_with_it(proof: TlogProof) -> None:
    bare = parse_proof(encode_proof(TlogProof(proof.index, proof.path, proof.checkpoint, None)))
    assert open_proof(bare, KEYS, LEAVES[257]).record == LEAVES[257]
    with pytest.raises(ProofFileError, match="holds no record"):
        open_proof(bare, KEYS)
    with pytest.raises(ProofError, match="A612"):
        open_proof(bare, KEYS, LEAVES[256])


def test_a_record_other_than_that_of_the_proof_is_refused(proof: TlogProof) -> None:
    with pytest.raises(ProofFileError, match="another"):
        open_proof(proof, KEYS, LEAVES[256])


def test_no_other_key_proves_anything(proof: TlogProof) -> None:
    other = parse_vkey(tlog.vkey(ORIGIN, 1, OTHER_KEY.public_key().public_bytes_raw()))
    with pytest.raises(CheckpointError, match="A603"):
        open_proof(proof, parse_manifest(None, other))


def test_no_byte_of_a_proof_is_idle(proof: TlogProof) -> None:
    data = encode_proof(proof)
    for at in range(len(data)):
        for bit in (1, 2, 0x20, 0x80):
            changed = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            with pytest.raises(PdpError):
                open_proof(parse_proof(changed), KEYS)


HASH = base64.b64encode(bytes(32)).decode()
REFUSED: dict[str, Callable[[str], str]] = {
    "empty": lambda text: text[:0],
    "another version": lambda text: text.replace("@v1", "@v2", 1),
    "no header": lambda text: text.partition("\n")[2],
    "a byte order mark": lambda text: "\ufeff" + text,
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "no index": lambda text: text.replace("index 257\n", "", 1),
    "an index with a zero before it": lambda text: text.replace("index 257", "index 0257", 1),
    "a negative index": lambda text: text.replace("index 257", "index -257", 1),
    "an index beyond the checkpoint": lambda text: text.replace("index 257", "index 300", 1),
    "two indices": lambda text: text.replace("index 257\n", "index 257\nindex 257\n", 1),
    "the record after the index": lambda text: "\n".join(
        [text.split("\n")[0], text.split("\n")[2], text.split("\n")[1], *text.split("\n")[3:]]
    ),
    "an empty record": lambda text: "\n".join([text.split("\n")[0], "extra ", *text.split("\n")[2:]]),
    "a record that is not base64": lambda text: "\n".join([text.split("\n")[0], "extra !", *text.split("\n")[2:]]),
    "a record in another spelling of base64": lambda text: text.replace("extra ", "extra \n", 1),
    "a hash of 31 bytes": lambda text: text.replace(
        "index 257\n", f"index 257\n{base64.b64encode(bytes(31)).decode()}\n", 1
    ),
    "a hash in another spelling of base64": lambda text: text.replace("index 257\n", f"index 257\n{HASH[:-2]}B=\n", 1),
    "64 hashes": lambda text: text.replace("index 257\n", "index 257\n" + f"{HASH}\n" * 64, 1),
    "a line behind the path": lambda text: text.replace("\n\n", "\nmore\n\n", 1),
    "no checkpoint": lambda text: text.partition("\n\n")[0] + "\n\n",
    "no blank line": lambda text: text.replace("\n\n", "\n", 1),
    "a checkpoint that is cut": lambda text: text[:-2],
    "more bytes than are read": lambda text: text + "x" * 300_000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_no_proof(proof: TlogProof, name: str) -> None:
    with pytest.raises((ProofFileError, CheckpointError)):
        parse_proof(REFUSED[name](encode_proof(proof).decode()).encode())


def test_a_node_does_not_pass_for_a_record(proof: TlogProof) -> None:
    """Second preimage: the two children of an inner node are no record, since leaves and nodes hash apart."""
    hashes = tlog.inclusion(257, LEAVES)
    node = hashes[0] + tlog.root([LEAVES[257]])
    with pytest.raises(ProofError):
        open_proof(TlogProof(128, proof.path[1:], proof.checkpoint, node), KEYS)


def test_a_damaged_tile_gives_a_proof_that_proves_nothing(tmp_path: Path) -> None:
    log = build_log(tmp_path, LEAVES)
    tile = log / "tile/0/000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(ProofError, match="A612"):
        open_proof(prove_record(Folder(log), 1, (log / "checkpoint").read_bytes()), KEYS)

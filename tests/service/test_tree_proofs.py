"""pdp.audit.tree_proofs: the proofs of RFC 6962 from tiles, against its recursive definitions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.disk import Folder
from pdp.audit.merkle import EMPTY_ROOT, ProofError
from pdp.audit.tiles import TileError
from pdp.audit.tree_proofs import consistency_path, inclusion_path, root_of_first, verify_consistency
from tests.support import second_tlog as tlog
from tests.support.logs import build_log, records

SIZE = 700
LEAVES = records(SIZE)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(build_log(tmp_path_factory.mktemp("log"), LEAVES))


SIZES = (1, 2, 3, 255, 256, 257, 511, 512, 513, 699, 700)


@pytest.mark.parametrize("size", SIZES)
def test_roots_and_audit_paths_from_tiles_are_those_of_the_definition(log: Folder, size: int) -> None:
    assert root_of_first(log, size, SIZE) == tlog.root(LEAVES[:size])
    for index in {0, size // 2, size - 1}:
        assert inclusion_path(log, index, size) == tuple(tlog.inclusion(index, LEAVES[:size]))


@pytest.mark.parametrize("old", SIZES)
def test_consistency_proofs_from_tiles_are_those_of_the_definition(log: Folder, old: int) -> None:
    for size in (size for size in SIZES if size >= old):
        path = consistency_path(log, old, size)
        assert path == tuple(tlog.consistency(old, LEAVES[:size]))
        verify_consistency(old, tlog.root(LEAVES[:old]), size, tlog.root(LEAVES[:size]), path)
        assert tlog.is_consistent(old, tlog.root(LEAVES[:old]), size, tlog.root(LEAVES[:size]), path)


LAW_LEAVES = [bytes([number]) for number in range(130)]


@given(st.integers(1, 130), st.integers(1, 130), st.data())
def test_both_verifiers_agree_on_every_changed_proof(one: int, other: int, data: st.DataObject) -> None:
    """verify_consistency(p) raises nothing <=> the recursive verifier accepts p, for true and for changed proofs."""
    old, size = sorted((one, other))
    path = tlog.consistency(old, LAW_LEAVES[:size])
    match data.draw(st.sampled_from(["true", "changed", "longer", "shorter", "swapped"])):
        case "changed" if path:
            path[data.draw(st.integers(0, len(path) - 1))] = bytes(32)
        case "longer":
            path.insert(data.draw(st.integers(0, len(path))), bytes(32))
        case "shorter" if path:
            del path[data.draw(st.integers(0, len(path) - 1))]
        case "swapped":
            path.reverse()
    old_root, root = tlog.root(LAW_LEAVES[:old]), tlog.root(LAW_LEAVES[:size])
    try:
        verify_consistency(old, old_root, size, root, path)
    except ProofError:
        ours = False
    else:
        ours = True
    assert ours == tlog.is_consistent(old, old_root, size, root, path)


ROOT = tlog.root(LAW_LEAVES[:5])
REFUSED = {
    "no proof for a log of more records": (3, tlog.root(LAW_LEAVES[:3]), 5, ROOT, [], "A611"),
    "no proof where the old size is a power of two": (4, tlog.root(LAW_LEAVES[:4]), 5, ROOT, [], "A611"),
    "a hash of 31 bytes": (4, tlog.root(LAW_LEAVES[:4]), 5, ROOT, [bytes(31)], "A611"),
    "a hash where nothing continues": (0, EMPTY_ROOT, 5, ROOT, [bytes(32)], "A611"),
    "a hash where nothing grew": (5, ROOT, 5, ROOT, [bytes(32)], "A611"),
    "two roots of one size": (5, bytes(32), 5, ROOT, [], "A612"),
    "a root of no records that is another": (0, bytes(32), 5, ROOT, [], "A612"),
    "the right proof for another old root": (4, bytes(32), 5, ROOT, tlog.consistency(4, LAW_LEAVES[:5]), "A612"),
    "the right proof for another new root": (
        *(3, tlog.root(LAW_LEAVES[:3]), 5, bytes(32)),
        *(tlog.consistency(3, LAW_LEAVES[:5]), "A612"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_proofs_of_growth_that_prove_nothing(name: str) -> None:
    old, old_root, size, root, path, code = REFUSED[name]
    with pytest.raises(ProofError, match=code):
        verify_consistency(old, old_root, size, root, path)


def test_an_empty_log_continues_nothing_and_everything_continues_it() -> None:
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 5, ROOT, [])


def test_sizes_that_are_a_mistake_of_the_caller(log: Folder) -> None:
    with pytest.raises(ValueError, match="does not continue"):
        verify_consistency(6, ROOT, 5, ROOT, [])
    with pytest.raises(ValueError, match="does not continue"):
        consistency_path(log, SIZE + 1, SIZE)
    with pytest.raises(ValueError, match="no record"):
        inclusion_path(log, SIZE, SIZE)


def test_a_missing_or_short_tile_is_named(tmp_path: Path) -> None:
    log = build_log(tmp_path, LEAVES)
    (log / "tile/0/000").write_bytes(bytes(31))
    with pytest.raises(TileError, match=r"tile/0/000: .*31 bytes"):
        inclusion_path(Folder(log), 0, SIZE)
    (log / "tile/0/000").unlink()
    with pytest.raises(TileError, match="tile/0/000 is missing"):
        inclusion_path(Folder(log), 0, SIZE)

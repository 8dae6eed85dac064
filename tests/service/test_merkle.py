"""Known roots and proofs, and the shapes that must be refused."""

from __future__ import annotations

import pytest

from pdp.audit.merkle import (
    EMPTY_ROOT,
    Edge,
    ProofError,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    node_hash,
    subtree_root,
    verify_inclusion,
)

INPUTS = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
"""SOURCE: the eight leaves of the reference tree in the unit tests of certificate-transparency (merkle_tree_test)."""

ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(leaf) for leaf in INPUTS]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Edge().root() == subtree_root([]) == EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots(size: int) -> None:
    edge = Edge()
    for hashed in HASHES[:size]:
        edge.append(hashed)
    assert edge.root().hex() == subtree_root(HASHES[:size]).hex() == ROOTS[size - 1]


def test_a_node_is_not_a_leaf() -> None:
    """The second-preimage attack that the prefixes are for."""
    assert node_hash(HASHES[0], HASHES[1]) != leaf_hash(HASHES[0] + HASHES[1])
    with pytest.raises(ProofError, match="A612"):
        verify_inclusion(HASHES[0] + HASHES[1], 0, 1, [], bytes.fromhex(ROOTS[1]))


def test_a_full_tile_comes_out_when_it_fills() -> None:
    edge = Edge()
    hashes = [leaf_hash(bytes([i])) for i in range(256)]
    given = [tile for hashed in hashes for tile in edge.append(hashed)]
    assert [(tile.level, tile.index, list(tile.hashes)) for tile in given] == [(0, 0, hashes)]
    assert [(tile.level, tile.index, tile.hashes) for tile in edge.partial_tiles()] == [(1, 0, (subtree_root(hashes),))]


GROUPS = {
    "one by one": [1] * 600,
    "all at once": [600],
    "nothing, then all": [0, 600],
    "a bundle at a time": [256, 256, 88],
    "across the edges of tiles": [255, 2, 254, 89],
    "several tiles at once": [1, 550, 49],
}


@pytest.mark.parametrize("name", GROUPS)
def test_hashes_come_in_groups_of_any_size(name: str) -> None:
    hashes = leaf_hashes([i.to_bytes(2, "big") for i in range(600)])
    edge, given, at = Edge(), [], 0
    for size in GROUPS[name]:
        given += edge.extend(hashes[at : at + size])
        at += size
        assert (edge.size, edge.root()) == (at, subtree_root(hashes[:at]))
    assert [(tile.level, tile.index, tile.hashes) for tile in given] == [
        (0, 0, hashes[:256]),
        (0, 1, hashes[256:512]),
    ]
    uppers = tuple(subtree_root(hashes[at : at + 256]) for at in (0, 256))
    assert [(tile.level, tile.index, tile.hashes) for tile in edge.partial_tiles()] == [
        (0, 2, hashes[512:]),
        (1, 0, uppers),
    ]


def test_a_tile_of_the_second_level_comes_out_after_the_last_that_filled_it() -> None:
    hashes = leaf_hashes([i.to_bytes(3, "big") for i in range(65_536)])
    given = Edge().extend(hashes)
    assert [(tile.level, tile.index) for tile in given] == [*((0, i) for i in range(256)), (1, 0)]
    assert given[-1].hashes == tuple(subtree_root(tile.hashes) for tile in given[:-1])


def test_a_proof_for_a_tree_of_one_record_is_empty() -> None:
    assert inclusion_proof(HASHES[:1], 0) == ()
    verify_inclusion(INPUTS[0], 0, 1, (), HASHES[0])


REFUSED = {
    "an empty proof for a log of more than one record": (2, 8, (), "A611"),
    "a hash too many": (2, 8, (*inclusion_proof(HASHES, 2), HASHES[0]), "A611"),
    "a hash too few": (2, 8, inclusion_proof(HASHES, 2)[:-1], "A611"),
    "a hash of 31 bytes": (2, 8, (*inclusion_proof(HASHES, 2)[:-1], bytes(31)), "A611"),
    "the proof of the neighbour": (2, 8, inclusion_proof(HASHES, 3), "A612"),
    "the proof turned round": (2, 8, inclusion_proof(HASHES, 2)[::-1], "A612"),
    "another index of the same depth": (3, 8, inclusion_proof(HASHES, 2), "A612"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_proofs(name: str) -> None:
    index, size, proof, code = REFUSED[name]
    with pytest.raises(ProofError, match=code):
        verify_inclusion(INPUTS[2], index, size, proof, bytes.fromhex(ROOTS[7]))


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (0, 0), (8, 8)])
def test_an_index_outside_the_log_is_the_callers_mistake(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no record"):
        verify_inclusion(b"", index, size, [], EMPTY_ROOT)
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(HASHES[:size], index)


def test_an_edge_is_made_only_of_tiles_that_fit_its_size() -> None:
    with pytest.raises(ValueError, match="partial tiles"):
        Edge.of_tiles(3, [HASHES[:2]])

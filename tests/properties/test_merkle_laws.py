"""The tree against the recursive definition of RFC 6962 2.1, and proofs against the tree."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit.merkle import TILE_WIDTH, Edge, inclusion_proof, leaf_hash, subtree_root, verify_inclusion, widths
from pdp.audit.tiles import ENTRIES, TileRef, encode_bundle, parse_bundle, refs_of_level

LEAVES = st.lists(st.binary(max_size=40), max_size=70)


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962 2.1 defines it, with nothing of ours."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


@given(LEAVES)
def test_the_edge_has_the_root_of_the_definition_at_every_size(leaves: list[bytes]) -> None:
    """Edge(l1..ln).root() = MTH(l1..ln) for every n."""
    edge = Edge()
    for size, leaf in enumerate(leaves):
        assert edge.root() == mth(leaves[:size])
        edge.append(leaf_hash(leaf))
    assert edge.root() == mth(leaves) == subtree_root([leaf_hash(leaf) for leaf in leaves])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3 * TILE_WIDTH + 5))
def test_an_edge_is_its_partial_tiles(size: int) -> None:
    """of_tiles(n, partial tiles) = Edge after n leaves, and both go on alike."""
    edge = Edge()
    leaves = [size.to_bytes(2, "big") + i.to_bytes(4, "big") for i in range(size + 1)]
    for leaf in leaves[:-1]:
        edge.append(leaf_hash(leaf))
    by_level = {tile.level: tile.hashes for tile in edge.partial_tiles()}
    again = Edge.of_tiles(size, [by_level.get(level, ()) for level in range(len(widths(size)))])
    assert again.root() == edge.root() == mth(leaves[:-1])
    edge.append(leaf_hash(leaves[-1]))
    again.append(leaf_hash(leaves[-1]))
    assert again.root() == edge.root() == mth(leaves)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_every_inclusion_proof_verifies_and_no_bit_of_it_is_idle(leaves: list[bytes], data: st.DataObject) -> None:
    """verify(leaf, i, n, proof(i, n), root) holds; with one bit of the proof or the leaf turned it does not."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof([leaf_hash(leaf) for leaf in leaves], index)
    root = mth(leaves)
    verify_inclusion(leaves[index], index, len(leaves), proof, root)
    changed = list(proof)
    if changed:
        at = data.draw(st.integers(0, len(changed) - 1))
        bit = data.draw(st.integers(0, 255))
        changed[at] = (int.from_bytes(changed[at], "big") ^ 1 << bit).to_bytes(32, "big")
    leaf = leaves[index] if changed else leaves[index] + b"\x00"
    refused = False
    try:
        verify_inclusion(leaf, index, len(leaves), changed, root)
    except Exception as error:  # noqa: BLE001 - any refusal will do here; which one is for the unit tests
        refused = "A612" in str(error)
    assert refused


@given(st.lists(st.binary(max_size=300), max_size=300))
def test_a_bundle_reads_back(entries: list[bytes]) -> None:
    """parse(encode(x), |x|) = x."""
    assert parse_bundle(encode_bundle(entries), len(entries)) == tuple(entries)


@given(st.integers(0, 10**8), st.sampled_from([ENTRIES, 0, 1, 2, 3]))
def test_the_files_of_a_level_cover_it_without_a_gap(size: int, level: int | str) -> None:
    """The ranges of the files follow on one another from 0; what they leave uncovered is no full subtree."""
    each = 1 if isinstance(level, str) else TILE_WIDTH**level
    size %= each * TILE_WIDTH * 20 + 7
    at = 0
    for ref in refs_of_level(level, size):
        assert isinstance(ref, TileRef)
        first, end = ref.records
        assert first == at
        at = end
    assert 0 <= size - at < each

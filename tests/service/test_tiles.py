"""Names and bytes of the files, C2SP tlog-tiles."""

from __future__ import annotations

import pytest

from pdp.audit.tiles import (
    ENTRIES,
    TileError,
    TileRef,
    edge_refs,
    encode_bundle,
    encode_tile,
    index_path,
    parse_bundle,
    parse_tile,
    refs_of_level,
)

PATHS = {
    "the index of the specification": (TileRef(0, 1234067, 256), "tile/0/x001/x234/067"),
    "the first tile": (TileRef(0, 0, 256), "tile/0/000"),
    "a partial tile": (TileRef(1, 0, 17), "tile/1/000.p/17"),
    "a partial bundle behind a thousand": (TileRef(ENTRIES, 1000, 1), "tile/entries/x001/000.p/1"),
}


@pytest.mark.parametrize("name", PATHS)
def test_paths(name: str) -> None:
    ref, path = PATHS[name]
    assert ref.path == path


def test_no_tile_has_a_negative_index() -> None:
    with pytest.raises(ValueError, match="no tile"):
        index_path(-1)


def test_an_empty_log_has_no_files() -> None:
    assert list(refs_of_level(ENTRIES, 0)) == list(refs_of_level(0, 0)) == edge_refs(0) == []


def test_a_full_tile_is_never_spelt_as_a_partial_one() -> None:
    assert [ref.path for ref in refs_of_level(0, 512)] == ["tile/0/000", "tile/0/001"]
    assert [ref.path for ref in refs_of_level(1, 512)] == ["tile/1/000.p/2"]


def test_a_tile_knows_the_records_it_covers() -> None:
    assert TileRef(0, 1, 3).records == (256, 259)
    assert TileRef(1, 2, 4).records == (2 * 65536, 2 * 65536 + 4 * 256)
    assert TileRef(ENTRIES, 1, 3).records == (256, 259)


BAD_BUNDLES = {
    "nothing where one entry is wanted": (b"", 1),
    "half a length": (b"\x00", 1),
    "an entry cut short": (b"\x00\x03ab", 1),
    "a byte left over": (b"\x00\x01ab", 1),
    "an entry too many": (b"\x00\x01a\x00\x01b", 1),
    "an entry too few": (b"\x00\x01a", 2),
}


@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_bad_bundles(name: str) -> None:
    data, width = BAD_BUNDLES[name]
    with pytest.raises(TileError, match="A621"):
        parse_bundle(data, width)


def test_the_first_entry_that_is_cut_is_named() -> None:
    whole = encode_bundle([b"abc", b"", b"de"])
    with pytest.raises(TileError, match="entry 2 of 3 is cut short"):
        parse_bundle(whole[:-1], 3)
    with pytest.raises(TileError, match="entry 0 of 3 is cut short"):
        parse_bundle(whole[:4], 3)
    assert parse_bundle(whole, 3) == (b"abc", b"", b"de")
    assert parse_bundle(b"", 0) == ()


def test_the_wider_form_of_a_bundle_or_tile_serves_for_a_narrow_one() -> None:
    assert parse_bundle(encode_bundle([b"a", b"b", b"c"]), 2, exact=False) == (b"a", b"b")
    assert parse_tile(encode_tile([bytes(32), b"1" * 32]), 1, exact=False) == (bytes(32),)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_tile_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(TileError, match="A622"):
        parse_tile(bytes(length), 1)


def test_an_entry_too_long_for_its_length_field_is_refused() -> None:
    assert len(encode_bundle([bytes(65535)])) == 65537
    with pytest.raises(ValueError, match="65536"):
        encode_bundle([bytes(65536)])

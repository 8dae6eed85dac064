"""Bundles: what belongs to one, what its digest names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.errors import PolicyError
from pdp.runtime.bundle import bundle_of, pack, read_folder, unpack


def _folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def test_policy_and_facts_belong_and_nothing_else_does(tmp_path: Path) -> None:
    files = {
        "a.pol": b"1",
        "sub/b.pol": b"2",
        "facts/m.r.csv": b"3",
        "facts/m.s.json": b"4",
        "README.md": b"5",
        "notes/x.csv": b"6",
        ".hidden/c.pol": b"7",
        ".d.pol": b"8",
    }
    assert set(read_folder(_folder(tmp_path, files)).files) == {"a.pol", "sub/b.pol", "facts/m.r.csv", "facts/m.s.json"}


def test_the_digest_names_paths_and_bytes_and_not_what_is_left_out(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"a.pol": b"1"})
    before = read_folder(folder).digest
    (folder / "README.md").write_bytes(b"new")
    assert read_folder(folder).digest == before
    (folder / "a.pol").rename(folder / "b.pol")
    moved = read_folder(folder).digest
    (folder / "b.pol").write_bytes(b"2")
    assert len({before, moved, read_folder(folder).digest}) == 3


def test_bytes_cannot_be_moved_between_files_under_one_digest() -> None:
    assert bundle_of({"a": b"xy", "b": b"z"}).digest != bundle_of({"a": b"x", "b": b"yz"}).digest


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.pol"
    outside.write_bytes(b"module x")
    inside = tmp_path / "policies"
    inside.mkdir()
    (inside / "link.pol").symlink_to(outside)
    with pytest.raises(PolicyError, match="leads out"):
        read_folder(inside)


def test_a_link_within_the_folder_is_a_file_like_any_other(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {".generation/a.pol": b"1"})
    (folder / "a.pol").symlink_to(folder / ".generation" / "a.pol")
    assert dict(read_folder(folder).files) == {"a.pol": b"1"}


def test_no_folder_is_a_refusal_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="--policies"):
        read_folder(tmp_path / "nowhere")


def test_an_archive_comes_back_as_the_same_bundle_and_is_the_same_bytes_each_time() -> None:
    bundle = bundle_of({"a.pol": b"1", "facts/m.r.csv": b"x\n" * 1000})
    assert unpack(pack(bundle), bundle.digest) == bundle
    assert pack(bundle) == pack(bundle)


@pytest.mark.parametrize("position", range(0, 200, 7))
def test_an_archive_with_a_byte_changed_is_never_taken_for_the_bundle(position: int) -> None:
    bundle = bundle_of({"a.pol": b"module a\n" * 20})
    data = bytearray(pack(bundle))
    data[position % len(data)] ^= 0x01
    try:
        assert unpack(bytes(data), bundle.digest) == bundle  # a byte that carries nothing, such as a date
    except PolicyError as error:
        assert error.code == "P105"


def test_the_archive_of_another_bundle_is_refused() -> None:
    one, other = bundle_of({"a.pol": b"1"}), bundle_of({"a.pol": b"2"})
    with pytest.raises(PolicyError, match="other files"):
        unpack(pack(one), other.digest)

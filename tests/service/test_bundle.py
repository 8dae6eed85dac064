"""Bundles: what belongs to one, what its digest names, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from pdp.errors import PolicyError
from pdp.runtime.bundle import bundle_of, pack, read_folder, read_member, unpack


def _folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def test_policy_settings_and_facts_belong_and_nothing_else_does(tmp_path: Path) -> None:
    files = {
        "a.pol": b"1",
        "sub/b.pol": b"2",
        "facts/m.r.csv": b"3",
        "facts/m.s.json": b"4",
        "README.md": b"5",
        "notes/x.csv": b"6",
        ".hidden/c.pol": b"7",
        ".d.pol": b"8",
        "settings/prod.toml": b"9",
        "settings/README.md": b"10",
        "settings/more/prod.toml": b"11",
        "pdp.toml": b"12",
    }
    wanted = {"a.pol", "sub/b.pol", "facts/m.r.csv", "facts/m.s.json", "settings/prod.toml"}
    assert set(read_folder(_folder(tmp_path, files)).files) == wanted


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


def test_a_linked_folder_is_refused_and_never_left_out(tmp_path: Path) -> None:
    _folder(tmp_path / "denies", {"deny.pol": b"1"})
    inside = _folder(tmp_path / "policies", {"a.pol": b"2"})
    (inside / "denies").symlink_to(tmp_path / "denies")
    with pytest.raises(PolicyError, match="link to a folder"):
        read_folder(inside)


@pytest.mark.parametrize("target", ["nowhere.pol", "deny.pol"], ids=["dangling", "looping"])
def test_a_link_that_leads_to_no_file_is_refused_and_never_left_out(tmp_path: Path, target: str) -> None:
    (tmp_path / "deny.pol").symlink_to(tmp_path / target)
    with pytest.raises(PolicyError, match=r"deny\.pol"):
        read_folder(tmp_path)


def test_a_folder_in_place_of_a_policy_file_is_refused(tmp_path: Path) -> None:
    _folder(tmp_path, {"deny.pol/a.pol": b"1"})
    assert set(read_folder(tmp_path).files) == {"deny.pol/a.pol"}
    (tmp_path / "deny.pol" / "a.pol").unlink()
    os.mkfifo(tmp_path / "deny.pol" / "a.pol")
    with pytest.raises(PolicyError, match="no file"):
        read_folder(tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"x\xff.pol")).write_bytes(b"1")
    with pytest.raises(PolicyError, match="not UTF-8"):
        read_folder(tmp_path)


def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"x\xff")
    folder.mkdir()
    (folder / "a.pol").write_bytes(b"1")
    with pytest.raises(PolicyError, match="not UTF-8"):
        read_folder(tmp_path)


SWAPPED: dict[str, tuple[Callable[[Path, Path], None], type[Exception]]] = {
    "a link": (lambda path, outside: path.symlink_to(outside), OSError),
    "a pipe that nobody writes": (lambda path, _: os.mkfifo(path), PolicyError),
    "a folder": (lambda path, _: path.mkdir(), OSError),
    "nothing": (lambda _path, _outside: None, OSError),
}


@pytest.mark.parametrize("sentence", SWAPPED)
def test_what_was_put_in_the_place_of_a_file_since_it_was_looked_at_is_not_read(sentence: str, tmp_path: Path) -> None:
    swap, error = SWAPPED[sentence]
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "policies" / "sub").mkdir(parents=True)
    swap(tmp_path / "policies" / "sub" / "a.pol", tmp_path / "outside")
    with pytest.raises(error):
        read_member(tmp_path / "policies", PurePosixPath("sub/a.pol"), 100)


def test_a_link_on_the_way_to_a_file_is_not_followed(tmp_path: Path) -> None:
    _folder(tmp_path / "outside", {"a.pol": b"secret"})
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="sub"):
        read_member(tmp_path / "policies", PurePosixPath("sub/a.pol"), 100)


def test_a_file_is_read_up_to_what_is_left(tmp_path: Path) -> None:
    _folder(tmp_path, {"sub/a.pol": b"12345"})
    assert read_member(tmp_path, PurePosixPath("sub/a.pol"), 5) == b"12345"
    assert read_member(tmp_path, PurePosixPath("sub/a.pol"), 4) is None


def test_no_folder_is_left_open(tmp_path: Path) -> None:
    """A look a second, for ever: each handle must be given back, whatever was found."""
    _folder(tmp_path, {"one/two/a.pol": b"1", "one/b.pol": b"2"})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        read_folder(tmp_path)
        with pytest.raises(OSError, match="nowhere"):
            read_member(tmp_path, PurePosixPath("one/nowhere/a.pol"), 5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_names_in_a_refusal_are_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "a\n\x1b[2J.pol").symlink_to("nowhere")
    with pytest.raises(PolicyError, match="no file") as refused:
        read_folder(tmp_path)
    assert "a\\u{a}\\u{1b}[2J.pol" in refused.value.detail
    assert not {"\n", "\x1b"} & set(refused.value.detail)


def test_a_file_larger_than_a_bundle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "facts").mkdir()
    with (tmp_path / "facts" / "big.csv").open("wb") as file:
        file.truncate(8 * 1024**4)
    with pytest.raises(PolicyError, match="P103"):
        read_folder(tmp_path)


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


def test_the_environment_chosen_is_part_of_the_digest_and_of_the_archive() -> None:
    files = {"a.pol": b"1", "settings/prod.toml": b"", "settings/test.toml": b""}
    without, prod, test = (bundle_of(files, name) for name in (None, "prod", "test"))
    assert len({without.digest, prod.digest, test.digest}) == 3
    for bundle in (without, prod, test):
        assert unpack(pack(bundle), bundle.digest) == bundle
    with pytest.raises(PolicyError, match="other files"):
        unpack(pack(prod), test.digest)

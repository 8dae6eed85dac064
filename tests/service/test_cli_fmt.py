"""`pdp fmt`: what it rewrites, what it leaves alone, and how it ends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Done, Pdp
from tests.support.process import ROOT

ODD = "module  a\nlabel b,c # kept\n"
LAID_OUT = "module a\n\nlabel b, c  # kept\n"
BROKEN = "module a\nlabel = b\n"


@pytest.fixture
def fmt(pdp: Pdp) -> Pdp:
    """`pdp fmt` in this process."""

    return lambda *arguments: pdp("fmt", *arguments)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.pol"
    path.write_text(ODD)
    return path


def test_rewrites_a_file_in_place_and_names_it(fmt: Pdp, odd: Path) -> None:
    done = fmt(odd)
    assert (done.code, done.out) == (0, f"{odd}\n")
    assert odd.read_text() == LAID_OUT
    assert done.err == "1 file laid out\n"
    assert list(odd.parent.iterdir()) == [odd]


def test_keeps_the_permissions(fmt: Pdp, odd: Path) -> None:
    odd.chmod(0o640)
    fmt(odd)
    assert odd.stat().st_mode & 0o7777 == 0o640


def test_does_not_touch_what_would_not_change(fmt: Pdp, odd: Path) -> None:
    odd.write_text(LAID_OUT)
    os.utime(odd, (1, 1))
    before = odd.stat()
    done = fmt(odd)
    assert (done.code, done.out) == (0, "")
    assert (odd.stat().st_mtime, odd.stat().st_ino) == (1, before.st_ino)


def test_check_writes_nothing_and_ends_1(fmt: Pdp, odd: Path) -> None:
    done = fmt("--check", odd)
    assert (done.code, done.out) == (1, f"{odd}\n")
    assert odd.read_text() == ODD
    odd.write_text(LAID_OUT)
    assert fmt("--check", odd).code == 0


def test_diff_shows_the_lines_and_writes_nothing(fmt: Pdp, odd: Path) -> None:
    done = fmt("--diff", odd)
    assert done.code == 0
    assert odd.read_text() == ODD
    assert "-label b,c # kept\n" in done.out
    assert "+label b, c  # kept\n" in done.out
    assert fmt("--diff", "--check", odd).code == 1


def test_diff_says_where_the_last_line_does_not_end(fmt: Pdp, odd: Path) -> None:
    odd.write_text("module a")
    assert fmt("--diff", odd).out.endswith("-module a\n\\ no line end\n+module a\n")


def test_a_byte_order_mark_and_crlf_count_as_a_change(fmt: Pdp, odd: Path) -> None:
    odd.write_bytes("\ufeffmodule a\r\n".encode())
    assert fmt(odd).code == 0
    assert odd.read_bytes() == b"module a\n"


def test_a_file_that_does_not_parse_is_left_and_the_others_are_done(fmt: Pdp, odd: Path) -> None:
    broken = odd.with_name("broken.pol")
    broken.write_text(BROKEN)
    done = fmt(odd.parent)
    assert done.code == 2
    assert f"--> {broken}:2:7" in done.err
    assert "1 file laid out, 1 file not read" in done.err
    assert (broken.read_text(), odd.read_text()) == (BROKEN, LAID_OUT)


def test_bad_bytes_are_named_and_left(fmt: Pdp, odd: Path) -> None:
    odd.write_bytes(b"module \xff\n")
    done = fmt(odd)
    assert (done.code, odd.read_bytes()) == (2, b"module \xff\n")
    assert "UTF-8" in done.err


def test_a_file_over_the_limit_is_named_and_left(fmt: Pdp, odd: Path) -> None:
    odd.write_text("module a\n" + "#" * 1_100_000)
    done = fmt(odd)
    assert done.code == 2
    assert "E105" in done.err


def test_a_folder_means_its_policy_files_at_any_depth_but_hidden_ones(fmt: Pdp, tmp_path: Path) -> None:
    for name in ("b/c/deep.pol", "b/.hidden.pol", ".git/x.pol", "readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ODD)
    done = fmt(tmp_path, tmp_path / "b" / "c" / "deep.pol")
    assert (done.code, done.out) == (0, f"{tmp_path / 'b/c/deep.pol'}\n")
    assert (tmp_path / "b" / ".hidden.pol").read_text() == ODD


def test_a_folder_without_policies_is_bad_input(fmt: Pdp, tmp_path: Path) -> None:
    done = fmt(tmp_path)
    assert done.code == 2
    assert "no .pol file" in done.err


def test_a_path_that_is_not_there_is_bad_input(fmt: Pdp, tmp_path: Path, odd: Path) -> None:
    done = fmt(tmp_path / "none.pol", odd)
    assert done.code == 2
    assert "none.pol" in done.err
    assert odd.read_text() == LAID_OUT


def test_no_path_is_bad_input(fmt: Pdp) -> None:
    assert fmt().code == 2


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_leads_out_is_not_followed(fmt: Pdp, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside" / "x.pol"
    outside.parent.mkdir()
    outside.write_text(ODD)
    inside = tmp_path / "inside"
    inside.mkdir()
    link = inside / "link.pol"
    link.symlink_to(outside if kind == "file" else outside.parent)
    for path in (inside, link):
        done = fmt(path)
        assert done.code == 2
        assert "is a link" in done.err
    assert (outside.read_text(), link.is_symlink()) == (ODD, True)


def test_a_link_within_the_folder_stays_a_link(fmt: Pdp, odd: Path) -> None:
    link = odd.with_name("link.pol")
    link.symlink_to("odd.pol")
    done = fmt(odd.parent)
    assert (done.code, done.out) == (0, f"{odd}\n")
    assert link.is_symlink()


def test_a_pipe_named_as_a_policy_is_not_waited_for(fmt: Pdp, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pol")
    done = fmt(tmp_path / "pipe.pol")
    assert done.code == 2
    assert "no file" in done.err


def test_a_disk_that_takes_no_bytes_leaves_the_old_ones(odd: Path) -> None:
    """A real refusal of the kernel: the shell lets no file grow at all."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 0; exec "$0" -m pdp fmt "$1"', sys.executable, odd],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"cannot write {odd}: File too large" in done.stderr
    assert odd.read_text() == ODD
    assert list(odd.parent.iterdir()) == [odd]


def test_a_name_with_controls_is_not_printed_raw(fmt: Pdp, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J.pol"
    path.write_text(ODD)
    assert "\x1b" not in fmt("--diff", path).out + fmt(path).out


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_a_dash_reads_standard_input_and_writes_standard_output(
    fmt: Pdp, standard_input: Callable[[bytes], None]
) -> None:
    standard_input(ODD.encode())
    done = fmt("-")
    assert (done.code, done.out, done.err) == (0, LAID_OUT, "")


def test_a_dash_writes_what_would_not_change_too(fmt: Pdp, standard_input: Callable[[bytes], None]) -> None:
    standard_input(LAID_OUT.encode())
    assert fmt("-").out == LAID_OUT


def test_a_dash_with_check_writes_nothing(fmt: Pdp, standard_input: Callable[[bytes], None]) -> None:
    standard_input(ODD.encode())
    assert fmt("--check", "-") == Done(1, "", "")


def test_a_dash_that_does_not_parse_writes_nothing(fmt: Pdp, standard_input: Callable[[bytes], None]) -> None:
    standard_input(BROKEN.encode())
    done = fmt("-")
    assert (done.code, done.out) == (2, "")
    assert "--> -:2:7" in done.err


def test_a_dash_stands_alone(fmt: Pdp, odd: Path) -> None:
    assert fmt("-", odd).code == 2
    assert odd.read_text() == ODD

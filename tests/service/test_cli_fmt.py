"""`pdp fmt`: what it rewrites, what it leaves alone, and how it ends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pdp.cli import main
from tests.support.process import ROOT

ODD = "module  a\nlabel b,c # kept\n"
LAID_OUT = "module a\n\nlabel b, c  # kept\n"
BROKEN = "module a\nlabel = b\n"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Fmt = Callable[..., Done]


@pytest.fixture
def fmt(capfd: pytest.CaptureFixture[str]) -> Fmt:
    """`pdp fmt` in this process."""

    def run(*arguments: str | Path) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["fmt", *map(str, arguments)])
        out, err = capfd.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return run


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.pol"
    path.write_text(ODD)
    return path


def test_rewrites_a_file_in_place_and_names_it(fmt: Fmt, odd: Path) -> None:
    done = fmt(odd)
    assert (done.returncode, done.stdout) == (0, f"{odd}\n")
    assert odd.read_text() == LAID_OUT
    assert done.stderr == "1 file laid out\n"
    assert list(odd.parent.iterdir()) == [odd]


def test_keeps_the_permissions(fmt: Fmt, odd: Path) -> None:
    odd.chmod(0o640)
    fmt(odd)
    assert odd.stat().st_mode & 0o7777 == 0o640


def test_does_not_touch_what_would_not_change(fmt: Fmt, odd: Path) -> None:
    odd.write_text(LAID_OUT)
    os.utime(odd, (1, 1))
    before = odd.stat()
    done = fmt(odd)
    assert (done.returncode, done.stdout) == (0, "")
    assert (odd.stat().st_mtime, odd.stat().st_ino) == (1, before.st_ino)


def test_check_writes_nothing_and_ends_1(fmt: Fmt, odd: Path) -> None:
    done = fmt("--check", odd)
    assert (done.returncode, done.stdout) == (1, f"{odd}\n")
    assert odd.read_text() == ODD
    odd.write_text(LAID_OUT)
    assert fmt("--check", odd).returncode == 0


def test_diff_shows_the_lines_and_writes_nothing(fmt: Fmt, odd: Path) -> None:
    done = fmt("--diff", odd)
    assert done.returncode == 0
    assert odd.read_text() == ODD
    assert "-label b,c # kept\n" in done.stdout
    assert "+label b, c  # kept\n" in done.stdout
    assert fmt("--diff", "--check", odd).returncode == 1


def test_diff_says_where_the_last_line_does_not_end(fmt: Fmt, odd: Path) -> None:
    odd.write_text("module a")
    assert fmt("--diff", odd).stdout.endswith("-module a\n\\ no line end\n+module a\n")


def test_a_byte_order_mark_and_crlf_count_as_a_change(fmt: Fmt, odd: Path) -> None:
    odd.write_bytes("\ufeffmodule a\r\n".encode())
    assert fmt(odd).returncode == 0
    assert odd.read_bytes() == b"module a\n"


def test_a_file_that_does_not_parse_is_left_and_the_others_are_done(fmt: Fmt, odd: Path) -> None:
    broken = odd.with_name("broken.pol")
    broken.write_text(BROKEN)
    done = fmt(odd.parent)
    assert done.returncode == 2
    assert f"--> {broken}:2:7" in done.stderr
    assert "1 file laid out, 1 file not read" in done.stderr
    assert (broken.read_text(), odd.read_text()) == (BROKEN, LAID_OUT)


def test_bad_bytes_are_named_and_left(fmt: Fmt, odd: Path) -> None:
    odd.write_bytes(b"module \xff\n")
    done = fmt(odd)
    assert (done.returncode, odd.read_bytes()) == (2, b"module \xff\n")
    assert "UTF-8" in done.stderr


def test_a_file_over_the_limit_is_named_and_left(fmt: Fmt, odd: Path) -> None:
    odd.write_text("module a\n" + "#" * 1_100_000)
    done = fmt(odd)
    assert done.returncode == 2
    assert "E105" in done.stderr


def test_a_folder_means_its_policy_files_at_any_depth_but_hidden_ones(fmt: Fmt, tmp_path: Path) -> None:
    for name in ("b/c/deep.pol", "b/.hidden.pol", ".git/x.pol", "readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(ODD)
    done = fmt(tmp_path, tmp_path / "b" / "c" / "deep.pol")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'b/c/deep.pol'}\n")
    assert (tmp_path / "b" / ".hidden.pol").read_text() == ODD


def test_a_folder_without_policies_is_bad_input(fmt: Fmt, tmp_path: Path) -> None:
    done = fmt(tmp_path)
    assert done.returncode == 2
    assert "no .pol file" in done.stderr


def test_a_path_that_is_not_there_is_bad_input(fmt: Fmt, tmp_path: Path, odd: Path) -> None:
    done = fmt(tmp_path / "none.pol", odd)
    assert done.returncode == 2
    assert "none.pol" in done.stderr
    assert odd.read_text() == LAID_OUT


def test_no_path_is_bad_input(fmt: Fmt) -> None:
    assert fmt().returncode == 2


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_leads_out_is_not_followed(fmt: Fmt, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside" / "x.pol"
    outside.parent.mkdir()
    outside.write_text(ODD)
    inside = tmp_path / "inside"
    inside.mkdir()
    link = inside / "link.pol"
    link.symlink_to(outside if kind == "file" else outside.parent)
    for path in (inside, link):
        done = fmt(path)
        assert done.returncode == 2
        assert "is a link" in done.stderr
    assert (outside.read_text(), link.is_symlink()) == (ODD, True)


def test_a_link_within_the_folder_stays_a_link(fmt: Fmt, odd: Path) -> None:
    link = odd.with_name("link.pol")
    link.symlink_to("odd.pol")
    done = fmt(odd.parent)
    assert (done.returncode, done.stdout) == (0, f"{odd}\n")
    assert link.is_symlink()


def test_a_pipe_named_as_a_policy_is_not_waited_for(fmt: Fmt, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pol")
    done = fmt(tmp_path / "pipe.pol")
    assert done.returncode == 2
    assert "no file" in done.stderr


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


def test_a_name_with_controls_is_not_printed_raw(fmt: Fmt, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J.pol"
    path.write_text(ODD)
    assert "\x1b" not in fmt("--diff", path).stdout + fmt(path).stdout


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_a_dash_reads_standard_input_and_writes_standard_output(
    fmt: Fmt, standard_input: Callable[[bytes], None]
) -> None:
    standard_input(ODD.encode())
    done = fmt("-")
    assert (done.returncode, done.stdout, done.stderr) == (0, LAID_OUT, "")


def test_a_dash_writes_what_would_not_change_too(fmt: Fmt, standard_input: Callable[[bytes], None]) -> None:
    standard_input(LAID_OUT.encode())
    assert fmt("-").stdout == LAID_OUT


def test_a_dash_with_check_writes_nothing(fmt: Fmt, standard_input: Callable[[bytes], None]) -> None:
    standard_input(ODD.encode())
    assert fmt("--check", "-") == Done(1, "", "")


def test_a_dash_that_does_not_parse_writes_nothing(fmt: Fmt, standard_input: Callable[[bytes], None]) -> None:
    standard_input(BROKEN.encode())
    done = fmt("-")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--> -:2:7" in done.stderr


def test_a_dash_stands_alone(fmt: Fmt, odd: Path) -> None:
    assert fmt("-", odd).returncode == 2
    assert odd.read_text() == ODD

"""Built policies: one file, known by its digest before anything in it is looked at, served without the parser."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pdp.errors import PolicyError
from pdp.runtime.acceptance import UNCONDITIONAL
from pdp.runtime.built import read_built, write_built
from pdp.runtime.bundle import bundle_of, read_folder
from pdp.runtime.engine import load_compiled
from pdp.runtime.sources import BuiltSource, FolderSource, source_of
from policy_lang.compile import compile_policy
from tests.support.cases import POLICY
from tests.support.environments import SETTINGS
from tests.support.process import ROOT


def _built(path: Path, settings: str | None = "prod") -> str:
    return write_built(path, bundle_of(SETTINGS), compile_policy(SETTINGS, settings).program, settings)


def test_a_policy_comes_back_as_it_was_built(tmp_path: Path) -> None:
    bundle = read_folder(POLICY)
    digest = write_built(tmp_path / "p", bundle, compile_policy(bundle.files).program, None)
    built = read_built(tmp_path / "p", digest)
    assert built.bundle == bundle
    engine = load_compiled(built.bundle, built.compiled)
    assert engine.digest == bundle.digest
    assert engine.ir_digest == hashlib.sha256(built.compiled).hexdigest()


def test_the_same_policy_is_the_same_bytes(tmp_path: Path) -> None:
    assert _built(tmp_path / "one") == _built(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_that_is_there_is_replaced_whole(tmp_path: Path) -> None:
    """Whoever has the old file open goes on reading that one, and nothing else is left in the folder."""
    (tmp_path / "p").write_bytes(b"old")
    with (tmp_path / "p").open("rb") as reader:
        digest = _built(tmp_path / "p")
        assert reader.read() == b"old"
    assert read_built(tmp_path / "p", digest).digest == digest
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "p").symlink_to(Path("there", "built"))
    for _ in range(2):
        digest = _built(tmp_path / "p")
    assert (tmp_path / "p").is_symlink()
    assert read_built(tmp_path / "there" / "built", digest).digest == digest


def test_a_built_policy_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    _built(tmp_path / "p")
    assert (tmp_path / "p").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_place_that_takes_no_file_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    for name in ("folder", "pipe", "nowhere/p", "p" * 300):
        with pytest.raises(PolicyError, match="cannot write the built policy") as refused:
            _built(tmp_path / name)
        assert refused.value.code == "P130"
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_name_that_cannot_be_read_back_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """What builds must be served: `\\` is refused in a built file."""
    program = compile_policy(SETTINGS, "prod").program
    with pytest.raises(PolicyError, match="rename the file") as refused:
        write_built(tmp_path / "p", bundle_of(SETTINGS | {"a\\b.pol": b"module b"}), program, "prod")
    assert refused.value.code == "P130"
    assert not list(tmp_path.iterdir())


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    digest = _built(tmp_path / "p")
    assert digest == hashlib.sha256((tmp_path / "p").read_bytes()).hexdigest()


def test_the_environment_is_part_of_what_was_built(tmp_path: Path) -> None:
    prod, test = (read_built(tmp_path / name, _built(tmp_path / name, name)) for name in ("prod", "test"))
    assert (prod.bundle.settings, test.bundle.settings) == ("prod", "test")
    assert prod.bundle.digest != test.bundle.digest
    assert load_compiled(prod.bundle, prod.compiled).hosts == {"s.example": ("s",)}


@pytest.mark.parametrize("position", range(0, 1000, 41))
def test_a_changed_byte_is_another_file(position: int, tmp_path: Path) -> None:
    digest = _built(tmp_path / "p")
    data = bytearray((tmp_path / "p").read_bytes())
    data[position % len(data)] ^= 0x01
    (tmp_path / "p").write_bytes(bytes(data))
    with pytest.raises(PolicyError, match="has the digest") as refused:
        read_built(tmp_path / "p", digest)
    assert refused.value.code == "P132"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot read"):
        read_built(tmp_path / "nowhere", "0" * 64)


def test_a_place_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot write") as refused:
        _built(tmp_path / "no" / "folder")
    assert refused.value.code == "P130"


# ---------------------------------------------------------------- files whose digest is right and whose inside is not


def _members(path: Path) -> dict[str, bytes]:
    _built(path)
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _packed(path: Path, members: Mapping[str, bytes], *more: tuple[zipfile.ZipInfo, bytes]) -> str:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        for info, data in more:
            archive.writestr(info, data)
    path.write_bytes(out.getvalue())
    return hashlib.sha256(out.getvalue()).hexdigest()


def _stated(members: Mapping[str, bytes], **changed: object) -> bytes:
    return json.dumps(json.loads(members["built.json"]) | changed).encode()


def _link() -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("files/link.pol")
    info.external_attr = 0o120777 << 16
    return info, b"/etc/passwd"


ADDED: dict[str, str] = {
    "a path that leads out": "files/../out.pol",
    "an absolute path": "files//etc/a.pol",
    "a path of another system": "files/a\\b.pol",
    "a hidden file": "files/.hidden/a.pol",
    "a file of no bundle": "files/README.md",
    "a member beside the parts": "more.json",
    "a folder": "files/a.pol/",
}


@pytest.mark.parametrize("sentence", ADDED)
def test_is_refused_that_has(sentence: str, tmp_path: Path) -> None:
    members = _members(tmp_path / "p") | {ADDED[sentence]: b""}
    with pytest.raises(PolicyError, match="no built policy") as refused:
        read_built(tmp_path / "p", _packed(tmp_path / "p", members))
    assert refused.value.code == "P133"


def test_a_link_is_refused(tmp_path: Path) -> None:
    members = _members(tmp_path / "p")
    with pytest.raises(PolicyError, match="is no file"):
        read_built(tmp_path / "p", _packed(tmp_path / "p", members, _link()))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_refused(tmp_path: Path) -> None:
    members = _members(tmp_path / "p")
    with pytest.raises(PolicyError, match="stands twice"):
        read_built(tmp_path / "p", _packed(tmp_path / "p", members, (zipfile.ZipInfo("files/a.pol"), b"module a")))


CHANGED: dict[str, tuple[dict[str, object], str]] = {
    "another format": ({"format": 2}, "format"),
    "another program": ({"ir": "0" * 64}, "another program"),
    "another policy": ({"policy": "0" * 64}, "other files"),
    "another environment": ({"settings": "test"}, "other files"),
    "an environment that is no text": ({"settings": 1}, "format"),
}


@pytest.mark.parametrize("sentence", CHANGED)
def test_is_refused_that_states(sentence: str, tmp_path: Path) -> None:
    changed, word = CHANGED[sentence]
    members = _members(tmp_path / "p")
    members["built.json"] = _stated(members, **changed)
    with pytest.raises(PolicyError, match=word):
        read_built(tmp_path / "p", _packed(tmp_path / "p", members))


@pytest.mark.parametrize("lacking", ["built.json", "ir.json"])
def test_a_part_that_is_missing_is_refused(lacking: str, tmp_path: Path) -> None:
    members = _members(tmp_path / "p")
    del members[lacking]
    with pytest.raises(PolicyError, match="P133"):
        read_built(tmp_path / "p", _packed(tmp_path / "p", members))


def test_a_member_that_swells_beyond_a_bundle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    members = _members(tmp_path / "p")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        with archive.open("files/facts/a.r.csv", "w", force_zip64=True) as member:
            for _ in range(257):
                member.write(bytes(1024 * 1024))
    (tmp_path / "p").write_bytes(out.getvalue())
    with pytest.raises(PolicyError, match="larger than it may be"):
        read_built(tmp_path / "p", hashlib.sha256(out.getvalue()).hexdigest())


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"not a ZIP file")
    with pytest.raises(PolicyError, match="P133"):
        read_built(tmp_path / "p", hashlib.sha256(b"not a ZIP file").hexdigest())


# ---------------------------------------------------------------- where a policy is served from


def test_a_file_is_served_only_with_a_digest_and_a_folder_only_without(tmp_path: Path) -> None:
    digest = _built(tmp_path / "p")
    assert isinstance(source_of(tmp_path / "p", digest, None, UNCONDITIONAL), BuiltSource)
    assert isinstance(source_of(tmp_path, None, None, UNCONDITIONAL), FolderSource)
    for place, given in ((tmp_path / "p", None), (tmp_path, digest)):
        with pytest.raises(PolicyError, match="P135"):
            source_of(place, given, None, UNCONDITIONAL).read()


def test_a_built_file_has_the_environment_that_it_was_built_for(tmp_path: Path) -> None:
    digest = _built(tmp_path / "p", "test")
    for named in (None, "test"):
        source = BuiltSource(tmp_path / "p", digest, named, UNCONDITIONAL)
        assert [source.read().settings for _ in range(2)] == ["test", "test"]


def test_a_built_file_of_another_environment_is_refused(tmp_path: Path) -> None:
    digest = _built(tmp_path / "p", "test")
    with pytest.raises(PolicyError, match="built for the environment `test`"):
        BuiltSource(tmp_path / "p", digest, "prod", UNCONDITIONAL).read()


def test_a_built_file_that_changes_while_it_is_served_is_refused(tmp_path: Path) -> None:
    source = BuiltSource(tmp_path / "p", _built(tmp_path / "p"), None, UNCONDITIONAL)
    source.read()
    (tmp_path / "p").write_bytes(b"another")
    with pytest.raises(PolicyError, match="P132"):
        source.read()


def test_the_service_loads_a_built_policy_without_the_parser(tmp_path: Path) -> None:
    digest = _built(tmp_path / "p")
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "import pdp.cli.serve\n"
        "from pdp.runtime.acceptance import UNCONDITIONAL\n"
        "from pdp.runtime.sources import source_of\n"
        "source = source_of(Path(sys.argv[1]), sys.argv[2], None, UNCONDITIONAL)\n"
        "engine, _ = asyncio.run(source.engine(source.read()))\n"
        "assert 's.ping' in engine.endpoints\n"
        "unwanted = {'lark', 'interegular', 'policy_lang.syntax.parser', 'policy_lang.compile'}\n"
        "print(sorted(unwanted & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p"), digest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr

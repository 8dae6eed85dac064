"""Models and policies of `casbin` blocks as files of a bundle: read, in the digest, built, watched, served."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from pdp.errors import PolicyError
from pdp.runtime.built import FILES, read_built, write_built
from pdp.runtime.bundle import bundle_of, pack, read_folder, strays, unpack, vanished
from pdp.runtime.engine import load_compiled, load_engine, self_test
from pdp.runtime.work import STEPS_A_ROW
from policy_lang.compile import compile_policy
from policy_lang.ir import codec as ir_codec
from policy_lang.meaning.admission import Call
from policy_lang.request import Path as CallPath
from policy_lang.request import canonical_path
from policy_lang.verdict import Caller, HttpCall, Question

EXAMPLE = Path(__file__).resolve().parents[2] / "policies" / "examples" / "casbin"
NAMED = {"legacy/model.conf", "legacy/policy.csv"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "policies"))


def asked(sub: str, target: str) -> Question:
    path = canonical_path(target)
    assert isinstance(path, CallPath)
    return Question("wiki", HttpCall("GET", path, "wiki.example"), Caller("user", {"aud": "wiki", "sub": sub}), 0, {})


# ---------------------------------------------------------------- a folder


def test_what_a_policy_file_names_is_part_of_the_bundle_and_nothing_beside_it(folder: Path) -> None:
    (folder / "legacy" / "notes.txt").write_bytes(b"x")
    (folder / "legacy" / "old.csv").write_bytes(b"x")
    assert set(read_folder(folder).files) == {"wiki.pol", *NAMED}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_byte_of_them_is_in_the_digest(folder: Path, name: str) -> None:
    before = read_folder(folder)
    (folder / name).write_bytes((folder / name).read_bytes() + b"# \n")
    assert read_folder(folder).digest != before.digest
    assert unpack(pack(before), before.digest) == before


def test_a_file_that_is_named_and_not_there_is_left_to_the_compiler(folder: Path) -> None:
    (folder / "legacy" / "policy.csv").unlink()
    assert set(read_folder(folder).files) == {"wiki.pol", "legacy/model.conf"}


def test_a_link_that_leads_out_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_bytes(b"p, mallory, /wiki/*, GET, allow\n")
    (folder / "legacy" / "policy.csv").unlink()
    (folder / "legacy" / "policy.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(PolicyError, match="leads out") as refused:
        read_folder(folder)
    assert refused.value.code == "P102"


STRANGE = {"a folder": Path.mkdir, "a link to nothing": lambda path: path.symlink_to("nowhere")}


@pytest.mark.parametrize("sentence", STRANGE)
def test_what_is_no_file_is_refused(folder: Path, sentence: str) -> None:
    (folder / "legacy" / "policy.csv").unlink()
    STRANGE[sentence](folder / "legacy" / "policy.csv")
    with pytest.raises(PolicyError) as refused:
        read_folder(folder)
    assert refused.value.code == "P104"


def test_a_file_counts_as_vanished_only_while_it_is_named() -> None:
    named = {"m.pol": b'casbin a { model "m.conf" policy "p.csv" }', "m.conf": b"", "p.csv": b""}
    without = {name: data for name, data in named.items() if name != "p.csv"}
    assert vanished(named, without) == ["p.csv"]
    assert vanished(named, {"m.pol": b""}) == []
    assert vanished(named, {}) == ["m.pol"]
    assert vanished({"a.pol", "facts/m.r.csv"}, {}) == ["a.pol", "facts/m.r.csv"]


# ---------------------------------------------------------------- a built policy


def test_a_built_policy_holds_them_and_its_program_the_table(folder: Path, tmp_path: Path) -> None:
    bundle = read_folder(folder)
    digest = write_built(tmp_path / "built", bundle, compile_policy(bundle.files).program, None)
    built = read_built(tmp_path / "built", digest)
    assert built.bundle == bundle
    engine = load_compiled(built.bundle, built.compiled)
    assert [table.id for table in engine.program.tables] == ["legacy.wiki_rbac"]
    assert engine.decide(asked("alice", "/wiki/home")).by == ("legacy.wiki_rbac",)


def test_a_built_policy_holds_no_file_that_nothing_names(folder: Path, tmp_path: Path) -> None:
    bundle = read_folder(folder)
    program = compile_policy(bundle.files).program
    more = bundle_of({**bundle.files, "legacy/more.csv": b""})
    assert strays(more.files) == ["legacy/more.csv"]
    with pytest.raises(PolicyError) as refused:
        write_built(tmp_path / "built", more, program, None)
    assert refused.value.code == "P130"
    write_built(tmp_path / "built", bundle, program, None)
    out = io.BytesIO((tmp_path / "built").read_bytes())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(f"{FILES}legacy/more.csv", b"")
    (tmp_path / "built").write_bytes(out.getvalue())
    with pytest.raises(PolicyError, match="no part of a policy"):
        read_built(tmp_path / "built", hashlib.sha256(out.getvalue()).hexdigest())


def test_a_program_whose_vote_has_no_table_is_never_loaded(folder: Path) -> None:
    bundle = read_folder(folder)
    data = ir_codec.dump(compile_policy(bundle.files).program)
    with pytest.raises(PolicyError, match="a vote of") as refused:
        load_compiled(bundle, data.replace(b'"legacy.wiki_rbac","strict"', b'"legacy.other","strict"', 1))
    assert refused.value.code == "P112"


# ---------------------------------------------------------------- an engine


def test_the_record_of_a_deny_tells_the_rule_that_denied_and_not_its_namesake(folder: Path) -> None:
    bundle = read_folder(folder)
    engine = load_engine(bundle, compile_policy(bundle.files).program)
    call = engine.admit(asked("bob", "/wiki/secret/plans"))
    assert isinstance(call, Call)
    for outcome, applies, row in (("deny", True, "legacy/policy.csv:3"), ("allow", True, "")):
        (trace,) = engine.primary(call, "legacy.wiki_rbac", outcome)  # type: ignore[arg-type]  # both are outcomes
        assert (trace.effect, trace.applies, trace.row) == (outcome, applies, row)


def test_a_table_takes_as_many_steps_as_it_has_rows(folder: Path) -> None:
    rows = "".join(f"p, role{number}, /wiki/*, GET$, allow\n" for number in range(500))
    (folder / "legacy" / "policy.csv").write_text(rows)
    bundle = read_folder(folder)
    engine = load_engine(bundle, compile_policy(bundle.files).program)
    call = engine.admit(asked("bob", "/wiki/home"))
    assert engine.steps(call) > 2 * 500 * STEPS_A_ROW
    assert self_test(engine).asked == len(engine.program.cells)

"""`pdp new` and `pdp import` on the command line: files written whole or not at all, exit codes, reports."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pdp.authoring.model import AuthoringError
from pdp.authoring.pol_text import LONGEST_IDENTIFIER
from pdp.authoring.protoc import descriptors_of
from pdp.authoring.scaffold import DECLARED, bundle_files, service_name
from policy_lang.layout.formatter import formatted
from policy_lang.syntax.grammar import Tree, read
from tests.support.authoring import document
from tests.support.command import Pdp
from tests.support.process import ROOT

DATA = ROOT / "tests" / "data" / "authoring"
LIBRARY = DATA / "library.yaml"
ORDERS = DATA / "protos" / "orders" / "orders.proto"


# ---------------------------------------------------------------- new


def test_new_writes_a_bundle_and_says_what_comes_next(tmp_path: Path, pdp: Pdp) -> None:
    folder = tmp_path / "Book Shop"
    done = pdp("new", folder)
    assert done.code == 0
    assert "service `book_shop`" in done.out
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "policy.pol",
        "facts/book_shop.shared_with.csv",
        "README.md",
        ".github/workflows/policy.yml",
    }
    assert (folder / "README.md").read_text().count("\n") <= 12


def test_the_ci_file_checks_tests_and_looks_at_the_layout(tmp_path: Path, pdp: Pdp) -> None:
    pdp("new", tmp_path / "x")
    jobs = yaml.safe_load((tmp_path / "x" / ".github" / "workflows" / "policy.yml").read_text())["jobs"]
    steps = [step["run"] for step in jobs["policy"]["steps"] if "run" in step]
    assert steps[-3:] == ["pdp check .", "pdp test .", "pdp fmt --check ."]


PLACES = {
    "nothing yet": ("", False),
    "a bare name": ("portcullis", False),
    "a version of a name": ("portcullis==1.0", False),
    "an extra of a name": ("portcullis[import]", False),
    "an option": ("--index-url=https://x.example portcullis", False),
    "an address without a hash": ("https://x.example/portcullis.whl", False),
    "a place alone": ("./", False),
    "a folder": ("./tools/pdp", True),
    "a wheel": ("/opt/pdp.whl", True),
    "an address with its hash": ("https://x.example/p.whl#sha256=00", True),
}


@pytest.mark.parametrize("case", PLACES)
def test_the_ci_file_installs_from_a_place_and_from_no_name(tmp_path: Path, case: str) -> None:
    named, installs = PLACES[case]
    jobs = yaml.safe_load(bundle_files("api")[".github/workflows/policy.yml"])["jobs"]
    (step,) = [step for step in jobs["policy"]["steps"] if "PDP" in step.get("env", {})]
    assert step["env"] == {"PDP": ""}
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-ec", step["run"]],
        env={"PATH": str(tmp_path), "PDP": named},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode == 0) is installs
    assert done.stdout == (f"-m pip install {named}\n" if installs else "")
    assert ("write behind PDP" in done.stderr) is not installs


def test_nothing_that_is_shipped_installs_by_the_name_of_this_product() -> None:
    shipped = [*(ROOT / "pdp").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    named = re.compile(r"pip3? install[^\n]*portcullis|portcullis\[")
    assert [path.name for path in shipped if named.search(path.read_text())] == []


def test_what_proto_sources_take_is_named_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)  # as where it is not installed
    with pytest.raises(AuthoringError, match=r"I121.*pip install grpcio-tools"):
        descriptors_of([ORDERS], [])


SERVICES = ["a", "loans", "x" * LONGEST_IDENTIFIER]


@pytest.mark.parametrize("service", SERVICES)
def test_what_new_writes_is_in_canonical_layout(service: str) -> None:
    policy = bundle_files(service)["policy.pol"]
    assert isinstance(read(policy, "start"), Tree)
    assert formatted("policy.pol", policy.encode()) == policy
    assert "SERVICE" not in "".join(bundle_files(service).values())


def test_new_takes_an_empty_folder_and_refuses_any_other(tmp_path: Path, pdp: Pdp) -> None:
    assert pdp("new", tmp_path).code == 0
    again = pdp("new", tmp_path)
    assert again.code == 2
    assert "empty it" in again.err
    file = tmp_path / "policy.pol"
    refused = pdp("new", file)
    assert refused.code == 2
    assert "I301" in refused.err


NO_SERVICES = ["Loans", "my-service", "endpoint", "path", "", "9a", "x" * (LONGEST_IDENTIFIER + 1), *sorted(DECLARED)]


@pytest.mark.parametrize("name", NO_SERVICES)
def test_a_service_that_is_no_name_is_refused(name: str, tmp_path: Path, pdp: Pdp) -> None:
    done = pdp("new", tmp_path / "x", "--service", name)
    assert done.code == 2
    assert "I202" in done.err
    assert not (tmp_path / "x").exists()


FOLDERS = {
    "Book Shop": "book_shop",
    "policy": "policy",
    "role": "role_api",
    "2026": "a2026",
    "ü": "u",
    "user": "user_api",
}


@pytest.mark.parametrize(("folder", "service"), FOLDERS.items())
def test_the_service_takes_its_name_from_the_folder(folder: str, service: str) -> None:
    assert service_name(None, folder) == service


def test_a_folder_without_a_name_has_a_service_too() -> None:
    assert service_name(None, "") == "api"
    with pytest.raises(AuthoringError):
        service_name("", "x")


def test_new_where_nothing_can_be_written_says_so(tmp_path: Path, pdp: Pdp) -> None:
    (tmp_path / "file").write_text("")
    done = pdp("new", tmp_path / "file" / "x")
    assert done.code == 2
    assert "I302" in done.err


# ---------------------------------------------------------------- import


def test_without_output_the_policy_goes_to_stdout_and_the_report_to_stderr(pdp: Pdp) -> None:
    done = pdp("import", "openapi", LIBRARY)
    assert done.out == LIBRARY.with_suffix(".pol").read_text()
    assert done.err.startswith("on standard output: 6 endpoints (6 new, 0 changed, 0 kept, 0 vanished)\n")
    assert "left out #/paths/~1exports~1{name}.csv/get" in done.err


def test_all_said_is_0_something_left_out_is_1(tmp_path: Path, pdp: Pdp) -> None:
    assert pdp("import", "openapi", LIBRARY).code == 1
    file = tmp_path / "whole.json"
    file.write_bytes(document({"/a": {"get": {}}}))
    assert pdp("import", "openapi", file).code == 0


def test_an_output_is_written_once_and_then_left_alone(tmp_path: Path, pdp: Pdp) -> None:
    out = tmp_path / "deep" / "policy.pol"
    assert pdp("import", "openapi", LIBRARY, "--output", out).code == 1
    before = out.stat()
    assert out.read_text() == LIBRARY.with_suffix(".pol").read_text()
    done = pdp("import", "openapi", LIBRARY, "--output", out)
    assert "(0 new, 0 changed, 6 kept, 0 vanished)" in done.err
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert out.stat().st_ino == before.st_ino
    assert [path.name for path in out.parent.iterdir()] == ["policy.pol"]


def test_an_output_keeps_its_mode_and_a_link_stays_one(tmp_path: Path, pdp: Pdp) -> None:
    target = tmp_path / "real.pol"
    target.write_text("module mine\n")
    target.chmod(0o640)
    link = tmp_path / "link.pol"
    link.symlink_to(target)
    assert pdp("import", "openapi", LIBRARY, "--output", link).code == 1
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.read_text().startswith("module mine\n")


def test_the_report_names_what_changed_and_what_vanished(tmp_path: Path, pdp: Pdp) -> None:
    file, out = tmp_path / "api.json", tmp_path / "policy.pol"
    file.write_bytes(document({"/a": {"get": {}}, "/b": {"get": {}}}))
    pdp("import", "openapi", file, "--output", out)
    file.write_bytes(document({"/a": {"get": {"parameters": [{"name": "q", "in": "query"}]}}}))
    done = pdp("import", "openapi", file, "--output", out)
    assert "(0 new, 1 changed, 0 kept, 1 vanished)" in done.err
    assert "changed  get_a: new query q: string optional" in done.err
    assert "vanished get_b: not in api.json any more" in done.err


def test_a_report_without_end_is_cut(tmp_path: Path, pdp: Pdp) -> None:
    file = tmp_path / "api.json"
    file.write_bytes(document({f"/{{x}}{number}": {"get": {}} for number in range(300)}))
    done = pdp("import", "openapi", file)
    assert "200 more not shown" in done.err
    assert len(done.err) < 60_000


def test_on_a_terminal_the_report_is_a_table(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_bytes(document({"/{x}y": {"get": {}}}))
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb", 0) as screen, os.fdopen(terminal, "wb", 0) as shown:
        subprocess.run(
            [sys.executable, "-m", "pdp", "import", "openapi", file],
            stdout=subprocess.DEVNULL,
            stderr=shown,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
        text = screen.read(4096).decode()
    assert "0 endpoints (0 new, 0 changed, 0 kept, 0 vanished)" in text
    assert "left out │ #/paths" in text


def test_a_report_moves_no_cursor(tmp_path: Path, pdp: Pdp) -> None:
    file = tmp_path / "api.json"
    file.write_bytes(document({"/\x1b[2J{x}y": {"get": {}}}))
    done = pdp("import", "openapi", file)
    assert "\x1b" not in done.err + done.out


def test_a_refusal_moves_no_cursor(tmp_path: Path, pdp: Pdp) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps({"openapi": "\x1b[2J\u202e9"}))
    done = pdp("import", "openapi", file)
    assert done.code == 2
    assert done.err.rstrip("\n").isprintable()


def test_files_that_are_not_there_or_no_policy_are_refused_and_left_alone(tmp_path: Path, pdp: Pdp) -> None:
    missing = pdp("import", "openapi", tmp_path / "missing.yaml")
    assert (missing.code, "I100" in missing.err) == (2, True)
    for data in (b"module m {", b"\xff", b"x" * (1024 * 1024 + 1)):
        out = tmp_path / "bad.pol"
        out.write_bytes(data)
        done = pdp("import", "openapi", LIBRARY, "--output", out)
        assert (done.code, "I201" in done.err) == (2, True)
        assert out.read_bytes() == data


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, pdp: Pdp) -> None:
    (tmp_path / "file").write_text("")
    done = pdp("import", "openapi", LIBRARY, "--output", tmp_path / "file" / "x.pol")
    assert done.code == 2
    assert "cannot" in done.err


def test_a_refused_document_writes_nothing(tmp_path: Path, pdp: Pdp) -> None:
    file, out = tmp_path / "api.json", tmp_path / "policy.pol"
    file.write_text(json.dumps({"openapi": "9.9"}))
    assert pdp("import", "openapi", file, "--output", out).code == 2
    assert not out.exists()


def test_proto_sources_and_a_descriptor_set_give_one_policy(tmp_path: Path, pdp: Pdp) -> None:
    done = pdp("import", "proto", ORDERS, "-I", DATA / "protos")
    assert done.code == 1
    assert done.out == (DATA / "protos" / "orders.pol").read_text()
    data, _ = descriptors_of([ORDERS], [DATA / "protos"])
    (tmp_path / "orders.proto").write_bytes(data)
    of_set = pdp("import", "proto", "--descriptor-set", tmp_path / "orders.proto", "--service", "orders")
    assert "Hidden/Peek" in of_set.out
    assert of_set.out.splitlines()[0] == done.out.splitlines()[0]


def test_a_source_that_needs_the_files_of_google_is_told_where_they_are(tmp_path: Path, pdp: Pdp) -> None:
    source = tmp_path / "x.proto"
    source.write_text('syntax = "proto3"; import "google/api/annotations.proto";')
    done = pdp("import", "proto", source)
    assert done.code == 2
    assert "`google/api` is part of googleapis: name by -I the folder that holds `google`" in done.err
    assert "googleapis-common-protos" in done.err
    source.write_text('syntax = "proto3"; import "acme/none.proto";')
    assert "googleapis" not in pdp("import", "proto", source).err


def test_proto_takes_sources_or_a_set(pdp: Pdp) -> None:
    for arguments in ((), (ORDERS, "--descriptor-set", ORDERS)):
        done = pdp("import", "proto", *arguments)
        assert done.code == 2
        assert "one of the two" in done.err


def test_a_source_that_is_not_there_is_named(tmp_path: Path, pdp: Pdp) -> None:
    done = pdp("import", "proto", tmp_path / "missing.proto")
    assert (done.code, "missing.proto" in done.err, "I100" in done.err) == (2, True, True)


def test_a_copy_of_the_document_elsewhere_gives_the_same_bytes(tmp_path: Path, pdp: Pdp) -> None:
    shutil.copy(LIBRARY, tmp_path / "library.yaml")
    assert pdp("import", "openapi", tmp_path / "library.yaml").out == pdp("import", "openapi", LIBRARY).out

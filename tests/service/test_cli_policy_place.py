"""What `check`, `test` and `decide` take for a policy, and in which environments."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import click
import pytest

from pdp.cli.check import check as check_command
from pdp.cli.decide import decide as decide_command
from tests.support.command import Pdp

POLICY = """module shop
setting place: string
token user { issuer "https://id.example" claim sub: string }
service s { audience "s" host place endpoint one GET /one }
allow owner for any user on s.one when token.sub == "u" because "Owners read their own"
test "owners" {
  given token user { sub: "u", aud: ["s"] }
  call s GET /one with request.host = "a.example" expect allow by owner
}
"""
FILES = {
    "p/shop.pol": POLICY,
    "p/settings/prod.toml": 'place = "a.example"\n',
    "p/settings/test.toml": 'place = "b.example"\n',
}


@pytest.fixture
def pdp(pdp: Pdp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pdp:
    """`pdp` where the folder `p` is a policy of two environments."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return pdp


# ---------------------------------------------------------------- what is no folder


@pytest.fixture
def built(pdp: Pdp) -> str:
    """The digest of the policy of `prod`, built as `mesh.bundle`."""
    done = pdp("check", "p", "--settings", "prod", "--build", "mesh.bundle")
    assert done.code == 0, done.err
    return done.out.splitlines()[-1].split('"')[1]


@pytest.mark.parametrize("verb", ["check", "test"])
def test_a_built_policy_is_called_one_and_its_folder_is_asked_for(verb: str, pdp: Pdp, built: str) -> None:
    assert built
    done = pdp(verb, "mesh.bundle")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: mesh.bundle is a built policy: `check` and `test` take the folder it was built from, "
        "`serve` and `decide` take it by its digest (P135)\n"
    )


@pytest.mark.parametrize("verb", ["check", "test"])
def test_a_built_policy_of_the_configuration_is_called_one_too(verb: str, pdp: Pdp, built: str) -> None:
    Path("pdp.toml").write_text(f'policies = "mesh.bundle"\nbundle_digest = "{built}"\n')
    assert "is a built policy" in pdp(verb).err


@pytest.mark.parametrize("verb", ["check", "test"])
def test_a_policy_file_alone_is_refused_with_its_folder(verb: str, pdp: Pdp) -> None:
    done = pdp(verb, "p/shop.pol")
    assert done.code == 2
    assert "p/shop.pol is a file: a policy is checked and tested whole, so name its folder: p (P101)" in done.err


def test_an_empty_file_is_no_built_policy(pdp: Pdp) -> None:
    Path("empty").write_bytes(b"")
    assert "is a file" in pdp("check", "empty").err


def test_decide_takes_a_built_policy_by_its_digest_alone(pdp: Pdp, built: str) -> None:
    call = ("decide", "GET", "https://a.example/one", "--as", "user", "--set", "sub=u", "--set", "aud=s")
    refused = pdp(*call, "--policies", "mesh.bundle")
    assert (refused.code, "P135" in refused.err) == (2, True)
    assert "write `bundle_digest` in pdp.toml as `pdp check --build` says it" in refused.err
    Path("pdp.toml").write_text(f'bundle_digest = "{built}"\n')
    assert pdp(*call, "--policies", "mesh.bundle").code == 0


def test_the_file_of_junit_says_that_a_built_policy_was_not_tested(pdp: Pdp, built: str) -> None:
    assert built
    assert pdp("test", "mesh.bundle", "--junit", "out.xml").code == 2
    assert b"is a built policy" in Path("out.xml").read_bytes()


def test_decide_falls_back_on_the_current_folder(pdp: Pdp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("p")
    call = ("decide", "GET", "https://a.example/one", "--as", "user", "--set", "sub=u", "--set", "aud=s")
    assert pdp(*call, "--settings", "prod").code == 0


# ---------------------------------------------------------------- every environment


def test_the_tests_run_in_every_environment(pdp: Pdp) -> None:
    done = pdp("test", "p", "--settings", "all")
    assert done.code == 1
    assert "p (settings prod): 1 passed, 0 failed\n" in done.out
    assert "p (settings test): 0 passed, 1 failed\n" in done.out
    assert pdp("test", "p", "--settings", "prod").code == 0


def test_an_environment_that_does_not_compile_ends_2_and_the_others_are_run(pdp: Pdp) -> None:
    Path("p/settings/bad.toml").write_text("place = 1\n")
    done = pdp("test", "p", "--settings", "all", "--junit", "out.xml")
    assert done.code == 2
    assert "`place` in `settings/bad.toml` is not a string" in done.err
    assert "p (settings prod): 1 passed" in done.out
    root = ET.fromstring(Path("out.xml").read_bytes())  # noqa: S314 - our own output
    assert [root.get(each) for each in ("tests", "failures", "errors")] == ["3", "1", "1"]
    assert [suite.get("name") for suite in root] == [
        "p (settings bad)",
        "owners (settings prod)",
        "owners (settings test)",
    ]


def test_the_json_of_all_holds_each_environment_and_that_of_one_is_plain(pdp: Pdp) -> None:
    whole = json.loads(pdp("test", "p", "--settings", "all", "--json").out)
    assert [(each["settings"], each["passed"]) for each in whole["environments"]] == [("prod", 1), ("test", 0)]
    assert set(json.loads(pdp("test", "p", "--settings", "prod", "--json").out)) == {"passed", "failed", "results"}
    Path("p/settings/bad.toml").write_text("place = 1\n")
    whole = json.loads(pdp("test", "p", "--settings", "all", "--json").out)
    assert whole["environments"][0] == {"settings": "bad", "compiles": False}


def test_all_of_a_policy_without_environments_is_the_policy(pdp: Pdp) -> None:
    Path("q").mkdir()
    Path("q/shop.pol").write_text(POLICY.replace("setting place: string", 'setting place: string = "a.example"'))
    done = pdp("test", "q", "--settings", "all")
    assert (done.code, done.out) == (0, "q: 1 passed, 0 failed\n")


# ---------------------------------------------------------------- completion


def _completed(command: click.Command, *words: str) -> list[str]:
    """What a shell is offered behind these words, the last of which is not finished."""
    context = command.make_context("x", list(words[:-2]), resilient_parsing=True)
    option = next(each for each in command.params if words[-2] in each.opts)
    return [item.value for item in option.shell_complete(context, words[-1])]


def test_environments_and_gateways_are_completed(pdp: Pdp) -> None:
    assert pdp("check", "p", "--settings", "all").code == 0
    assert _completed(check_command, "p", "--settings", "") == ["prod", "test"]
    assert _completed(check_command, "p", "--settings", "t") == ["test"]
    assert _completed(decide_command, "--policies", "p", "--settings", "p") == ["prod"]
    assert _completed(check_command, "nowhere", "--settings", "") == []
    assert "envoy" in _completed(check_command, "--gateway", "")
    Path("pdp.toml").write_text('policies = "p"\n[[gateways]]\nname = "front"\n')
    assert _completed(check_command, "--gateway", "fr") == ["front"]
    assert _completed(check_command, "--settings", "") == ["prod", "test"]


def test_a_configuration_that_cannot_be_read_completes_nothing_of_its_own(pdp: Pdp) -> None:
    assert pdp("check", "p", "--settings", "all").code == 0
    Path("pdp.toml").write_text("nonsense")
    assert _completed(check_command, "--settings", "") == []
    assert "envoy" in _completed(check_command, "--gateway", "")

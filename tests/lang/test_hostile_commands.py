"""Bad input through the commands: each names it, ends as it says it does, and never lets a call through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from policy_lang.meaning.schema import MAX_SET
from tests.lang.hostile import CHARACTERS, CIRCLES, FACTS, POLICY, RELATION, SEVERAL, SHARED, SIZES, VALUES, encoded
from tests.support.command import Done, run_pdp


class Pdp(Struct, frozen=True):
    """`pdp` in this process, in an empty folder with these files under `p`."""

    home: Path
    capfd: pytest.CaptureFixture[str]

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, data in encoded(files).items():
            path = self.home / "p" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def run(self, *arguments: str) -> Done:
        return run_pdp(self.capfd, *arguments)


@pytest.fixture
def pdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Pdp:
    monkeypatch.chdir(tmp_path)
    return Pdp(tmp_path, capfd)


COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "p"),
    "test": ("test", "p"),
    "decide": (
        *("decide", "GET", "https://s.example/e/u", "--as", "user", "--set", "sub=u", "--set", "aud=s"),
        *("--policies", "p"),
    ),
}
ENDS = {"check": 1, "test": 2, "decide": 2}
"""How each ends where the policy does not compile: what is asked about is bad, or what it is asked with."""


def _file(case: tuple[str, str]) -> tuple[dict[str, str | bytes], str]:
    text, code = case
    return {"m.pol": text}, code


ASKED: dict[str, tuple[dict[str, str | bytes], str]] = {
    "a bidi override": _file(CHARACTERS["a bidi override in a comment"]),
    "a terminal's escape sequence": _file(CHARACTERS["a terminal's escape sequence"]),
    "a Cyrillic letter": _file(CHARACTERS["a Cyrillic letter in a claim"]),
    "10,000 parentheses": _file(SIZES["10,000 parentheses"]),
    "a literal of 1 MiB": _file(SIZES["a literal of 1 MiB"]),
    "a set of a million members": _file(SIZES["a set of a million members"]),
    "bytes that are no UTF-8": SEVERAL["bytes that are no UTF-8"],
    "modules in a circle": SEVERAL["two modules that import each other"],
    "conditions in a circle": _file(CIRCLES["a condition that is its own contrary"]),
    "two files of one module": SEVERAL["two files of one module"],
    "a claim of the wrong type": _file(VALUES["a claim that is compared with another type"]),
    "a claim of the wrong type in a test": _file(VALUES["a claim of the wrong type in a test"]),
    "an integer of 2^63": _file(VALUES["an integer of 2^63"]),
    "a leap second": _file(VALUES["a leap second"]),
    "a mapped range with bits behind its prefix": _file(VALUES["a mapped range with bits behind its prefix"]),
    "a setting without a value": _file(VALUES["a setting without a value"]),
    "doubling conditions": _file(SIZES["doubling conditions"]),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ASKED)
def test_a_command_names_it_and_never_allows(pdp: Pdp, name: str, command: str) -> None:
    files, code = ASKED[name]
    pdp.write(files)
    done = pdp.run(*COMMANDS[command])
    assert done.code == ENDS[command], done
    assert f"error[{code}]" in done.err
    assert "Traceback" not in done.err
    assert "\x1b" not in done.out + done.err
    assert "\u202e" not in done.out + done.err
    assert "allow" not in done.out


def test_the_same_policy_without_it_allows(pdp: Pdp) -> None:
    """So what is refused above is refused for what is named there."""
    pdp.write({"m.pol": POLICY})
    assert pdp.run(*COMMANDS["check"]).code == 0
    done = pdp.run(*COMMANDS["decide"], *(f"--set={claim}" for claim in CLAIMS))
    assert (done.code, done.out.split()[0]) == (0, "allow"), done


CLAIMS = ("groups=[]", "level=1", "since=0", "home=10.0.0.1")

WRONG_CLAIMS: dict[str, str] = {
    "an integer of 2^63": "level=9223372036854775808",
    "an integer of a thousand digits": f"level={'9' * 1000}",
    "an integer in quotes": 'level="1"',
    "a fraction": "level=1.5",
    "a time beyond 64 bits": "since=99999999999999999999",
    "a text for a set": "groups=a",
    "an address with a zone": "home=fe80::1%eth0",
    "an address with a leading zero": "home=010.0.0.1",
    "no value": "level=null",
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
def test_a_claim_of_the_wrong_type_is_refused(pdp: Pdp, name: str) -> None:
    pdp.write({"m.pol": POLICY})
    done = pdp.run(
        *COMMANDS["decide"], *(f"--set={claim}" for claim in CLAIMS), f"--set={WRONG_CLAIMS[name]}", "--json"
    )
    assert done.code == 1, done
    assert json.loads(done.out)["decision"] == "deny"
    assert "schema" in done.out


def written(groups: list[str]) -> bytes:
    """A request of a user in these groups, as `--request` reads it."""
    claims = {"sub": "u", "aud": "s", "groups": groups, "level": 1, "since": 0, "home": "10.0.0.1"}
    principal = {"kind": "token", "name": "user", "claims": claims}
    asked = {"service": "s", "method": "GET", "path": "/e/u", "host": "s.example", "principal": principal}
    return json.dumps(asked).encode()


SETS: dict[str, tuple[int, int]] = {
    "as many members as a set may have": (MAX_SET, 0),
    "one more": (MAX_SET + 1, 1),
    "a million members": (1_000_000, 2),
}
"""How many, and how the command ends: a request that large is not even read."""


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_too_many_members_is_refused(pdp: Pdp, name: str) -> None:
    count, code = SETS[name]
    pdp.write({"m.pol": POLICY})
    (pdp.home / "asked.json").write_bytes(written([f"g{n}" for n in range(count)]))
    done = pdp.run("decide", "--request", "asked.json", "--policies", "p", "--json")
    assert done.code == code, done.err[:500]
    assert ('"decision": "allow"' in done.out) is (code == 0)
    assert "Traceback" not in done.err


WRONG_CALLS: dict[str, str] = {
    "dots": "https://s.example/e/../e/u",
    "dots in disguise": "https://s.example/e/%2e%2e/u",
    "NUL": "https://s.example/e/%00",
    "a slash in disguise": "https://s.example/e/u%2f",
    "half a character": "https://s.example/e/%ed%a0%80",
    "a bidi override": "https://s.example/e/\u202eu",
    "a million characters": f"https://s.example/e/{'u' * 100_000}",
    "an address for a host": "https://[::ffff:10.0.0.1]/e/u",
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_call_that_nobody_declared_is_refused(pdp: Pdp, name: str) -> None:
    pdp.write({"m.pol": POLICY})
    asked = [WRONG_CALLS[name] if each.startswith("https:") else each for each in COMMANDS["decide"]]
    done = pdp.run(*asked, *(f"--set={claim}" for claim in CLAIMS))
    assert done.code in {1, 2}, done
    assert not done.out.startswith("allow")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_the_wrong_form_decide_nothing(pdp: Pdp, name: str) -> None:
    files, _ = FACTS[name]
    pdp.write({"m.pol": POLICY + RELATION + SHARED, **files})
    done = pdp.run(*COMMANDS["decide"], *(f"--set={claim}" for claim in CLAIMS))
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert "allow" not in done.out


# ---------------------------------------------------------------- documents of others


def openapi(paths: object, **parts: object) -> bytes:
    return json.dumps({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths, **parts}).encode()


LOOP = {"$ref": "#/components/schemas/A"}
ROUND = {"A": {"$ref": "#/components/schemas/B"}, "B": LOOP}


def test_of_5000_paths_those_in_a_circle_are_left_out_by_name(pdp: Pdp) -> None:
    paths = {}
    for n in range(5000):
        schema = LOOP if n % 2 else {"type": "string"}
        parameters = [{"name": "id", "in": "path"}, {"name": "q", "in": "query", "schema": schema}]
        paths[f"/things{n}/{{id}}"] = {"get": {"parameters": parameters}}
    (pdp.home / "api.json").write_bytes(openapi(paths, components={"schemas": ROUND}))
    done = pdp.run("import", "openapi", "api.json", "--output", "p/api.pol")
    assert done.code == 1, done
    assert "leads back to itself" in done.err
    written = (pdp.home / "p" / "api.pol").read_text()
    assert written.count("\n  endpoint ") == 2500
    assert "things1/" not in written


CIRCULAR: dict[str, bytes] = {
    "paths in a circle": openapi({"/a": {"$ref": "#/paths/~1b"}, "/b": {"$ref": "#/paths/~1a"}}),
    "a parameter in a circle": openapi(
        {"/a": {"get": {"parameters": [{"$ref": "#/components/parameters/P"}]}}},
        components={"parameters": {"P": {"$ref": "#/components/parameters/P"}}},
    ),
}


@pytest.mark.parametrize("name", CIRCULAR)
def test_what_leads_back_to_itself_is_left_out(pdp: Pdp, name: str) -> None:
    (pdp.home / "api.json").write_bytes(CIRCULAR[name])
    done = pdp.run("import", "openapi", "api.json")
    assert done.code == 1, done
    assert "leads back to itself" in done.err
    assert "\n  endpoint " not in done.out


BAD_DOCUMENTS: dict[str, bytes] = {
    "no document": b"\xff\xfe",
    "a list": b"[]",
    "YAML that names itself": b"openapi: 3.0.3\npaths: &a\n  /x: *a\n",
    "nested 100,000 deep": b"[" * 100_000,
    "anchors that double": b"a: &a [x]\n"
    + b"".join(b"b%d: &b%d [*%s, *%s]\n" % (n, n, *([b"b%d" % (n - 1) if n else b"a"] * 2)) for n in range(40)),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_document_that_is_none_is_refused(pdp: Pdp, name: str) -> None:
    (pdp.home / "api.yaml").write_bytes(BAD_DOCUMENTS[name])
    done = pdp.run("import", "openapi", "api.yaml", "--output", "p/api.pol")
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert not (pdp.home / "p").exists()

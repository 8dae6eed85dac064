"""`pdp test`: what a person sees of a failure, what a program reads, and how it ends."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Done, Pdp

POLICY = """module shop
setting place: string = "s"
token user { issuer "https://id.example" claim sub: string claim mail: string optional private }
service s { audience place host "s.example"
  endpoint one GET /one/{a}
  endpoint two GET /two
}
allow owner for any user on s.one when path.a == token.sub because "Owners read their own"
deny robots for any user on s when token has mail and token.mail == "robot" must answer 404 because "No robots"
"""
GOOD = """test "owners" {
  given token user { sub: "u", aud: ["s"] }
  call s GET /one/u expect allow by owner
  call s GET /one/v expect deny by default
}
test "robots" {
  given token user { sub: "u", mail: "robot", aud: ["s"] }
  call s GET /one/u expect deny by robots and answer 404
}
"""
BAD = """test "wrong <&> one" {
  given token user { sub: "u", mail: "secret@example", aud: ["s"] }
  call s GET /one/v
    expect allow by owner
  table
    | call          | token.sub | expect         |
    | s GET /one/u  | "u"       | allow by owner |
    | s GET /one/u  | "w"       | allow by owner and log full |
}
"""


CLOSEST = (
    'No rule allowed this (default.no_rule). The closest, `shop.owner` "Owners read their own", failed because '
    "`path.a == token.sub` is not true."
)


Run = Callable[..., Done]


@pytest.fixture
def pdp_test(pdp: Pdp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`pdp test` on a policy, where the policy is the current folder."""

    def run(text: str, *arguments: str) -> Done:
        (tmp_path / "shop.pol").write_text(text)
        monkeypatch.chdir(tmp_path)
        return pdp("test", *arguments)

    return run


def test_all_is_well(pdp_test: Run) -> None:
    assert pdp_test(POLICY + GOOD) == Done(0, ".: 3 passed, 0 failed\n", "")


def test_a_failure_is_shown_with_place_call_both_outcomes_and_the_clause_that_failed(pdp_test: Run) -> None:
    done = pdp_test(POLICY + BAD)
    assert done.code == 1
    first, second, last = done.out.split("\n\n")
    assert first.splitlines() == [
        'FAILED "wrong <&> one" shop.pol:12',
        "    call s GET /one/v expect allow by owner",
        "    expected  allow by shop.owner",
        "    got       deny by default (default.no_rule)",
        f"    {CLOSEST}",
        "    - allow shop.owner  (shop.pol:8)",
        "        passes   for: any user",
        "        fails    when 1: path.a == token.sub",
        '                 path.a = "v"',
        '                 token.sub = "u"',
    ]
    shown = second.splitlines()
    assert shown[:2] == [
        'FAILED "wrong <&> one" shop.pol:17',
        '    17 | | s GET /one/u  | "w"       | allow by owner and log full |',
    ]
    assert '    call s GET /one/u with token.sub = "w" expect allow by owner and log full' in shown
    assert "    expected  allow by shop.owner and log full" in shown
    assert "    got       deny by default and log normal (default.no_rule)" in shown
    assert last == ".: 1 passed, 2 failed\n"


def test_a_refusal_that_did_not_come_shows_the_nearest_deny(pdp_test: Run) -> None:
    block = 'test "t" { given token user { sub: "u", mail: "m", aud: ["s"] } call s GET /one/u expect deny }'
    shown = pdp_test(POLICY + block).out.splitlines()
    assert shown[5:13] == [
        '    Allowed by `shop.owner` "Owners read their own".',
        "    * allow shop.owner  (shop.pol:8)",
        "        passes   for: any user",
        "        passes   when 1: path.a == token.sub",
        '                 path.a = "u"',
        '                 token.sub = "u"',
        "    - deny shop.robots  (shop.pol:9)",
        "        passes   for: any user",
    ]


def test_a_conflict_shows_the_rules_that_make_it(pdp_test: Run) -> None:
    rules = """require narrow for any user on s.one must issue token with scope "b" because "Narrow tokens"
require loud for any user on s.one must log full because "All is logged"
test "t" { given token user { sub: "u", aud: ["s"] } call s GET /one/u expect allow by owner }
"""
    shown = pdp_test(POLICY + rules).out
    assert ', by `shop.narrow` "Narrow tokens".' in shown
    assert "* require shop.narrow  (shop.pol:10)" in shown
    assert "shop.loud" not in shown


def test_the_value_of_a_setting_stands_beside_its_name(pdp_test: Run, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "prod.toml").write_text('most = "7m"\n')
    text = POLICY.replace("module shop\n", "module shop\nsetting most: duration = 5m\n")
    text = text.replace("claim sub: string", "claim sub: string claim at: time")
    rule = 'deny late for any user on s when now - token.at > most because "Late"\n'
    block = 'test "t" { given token user { sub: "u", at: now - 9m, aud: ["s"] } call s GET /one/u expect allow }'
    assert "             most = 5m" in pdp_test(text + rule + block).out
    assert "             most = 7m" in pdp_test(text + rule + block, "--settings", "prod").out


def test_private_claims_are_not_shown(pdp_test: Run) -> None:
    wrong = POLICY + BAD.replace("expect allow by owner\n", "expect deny by robots\n", 1)
    done = pdp_test(wrong)
    assert "token.mail = (private)" in done.out
    assert "secret@example" not in done.out + done.err
    assert "secret@example" not in pdp_test(wrong, "--json").out


HEADERS = """module shop
token user { issuer "https://id.example" claim sub: string claim mail: string optional private }
service s { audience "s" host "s.example" endpoint one GET /one }
allow anybody for any user on s because "ok"
require mailed for any user on s when token has mail must set header "x-mail" to token.mail because "ok"
require named for any user on s must set header "x-sub" to token.sub because "ok"
test "headers" {
  given token user { sub: "u", aud: ["s"], mail: "CANARY" }
  call s GET /one expect allow and set header "x-mail" to token.mail and set header "x-sub" to "v"
}
"""
FORMS: dict[str, tuple[str, ...]] = {"text": (), "JSON": ("--json",), "JUnit": ("--junit", "out.xml")}


@pytest.mark.parametrize("form", FORMS)
def test_a_header_made_of_a_private_claim_is_not_shown(form: str, pdp_test: Run, tmp_path: Path) -> None:
    """Neither what was expected nor what came; that of another claim is."""
    done = pdp_test(HEADERS, *FORMS[form])
    assert done.code == 1
    shown = (tmp_path / "out.xml").read_text() if form == "JUnit" else done.out
    plain = shown.replace("&quot;", '"').replace('\\"', '"')
    assert 'set header "x-mail" to (private)' in plain
    assert '("x-mail": (private))' in plain
    assert 'set header "x-sub" to "u"' in plain
    assert "CANARY" not in shown + done.out + done.err


def test_nothing_in_a_policy_or_a_name_of_a_file_moves_the_terminal(pdp_test: Run, tmp_path: Path) -> None:
    """Escapes, a line end and an override of the direction: in a title, in `because`, in the name of a file."""
    evil = "x\\u{1b}[31m\\u{202e}\\n"
    rules = 'allow theirs for any user on s.two when token has mail because "TITLE"\n'
    rules += (
        'test "TITLE" {\n  given token user { sub: "u", aud: ["s"] }\n  call s GET /two expect allow by theirs\n}\n'
    )
    (tmp_path / "y\x1b[31m\n2026 INFO all is well.pol").write_text(
        f"module theirs\nimport shop (user, s)\n{rules.replace('TITLE', evil)}"
    )
    policy = POLICY.replace('host "s.example"', 'host "s.example" grants by shop, theirs') + GOOD
    for options in ((), ("--coverage",)):
        done = pdp_test(policy, *options)
        assert done.code == 1
        assert "x\\u{1b}[31m\\u{202e}\\u{a}" in done.out
        assert "y\\u{1b}[31m\\u{a}2026 INFO all is well.pol" in done.out
        assert not {"\x1b", "\u202e"} & set(done.out)
        assert not any(line.startswith("2026") for line in done.out.splitlines())


FILTERS: dict[str, tuple[str, str]] = {
    "a title": ("robots", "1 passed, 0 failed"),
    "a call": ("/one/v", "1 passed, 0 failed"),
    "a file": ("shop.pol", "3 passed, 0 failed"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filter_by(name: str, pdp_test: Run) -> None:
    text, summary = FILTERS[name]
    done = pdp_test(POLICY + GOOD, "--filter", text)
    assert (done.code, done.out) == (0, f".: {summary}\n")


def test_a_filter_that_fits_nothing_is_no_success(pdp_test: Run) -> None:
    done = pdp_test(POLICY + GOOD, "--filter", "nothing")
    assert done.code == 1
    assert "no case has the text of --filter" in done.out


def test_a_policy_without_tests_is_no_success(pdp_test: Run) -> None:
    done = pdp_test(POLICY)
    assert done.code == 1
    assert "no test block" in done.out
    assert "pdp new DIR" in done.out


def test_a_policy_that_does_not_compile_is_bad_input(pdp_test: Run) -> None:
    done = pdp_test(POLICY + GOOD.replace("by owner", "by onwer"))
    assert done.code == 2
    assert "E704" in done.err
    assert "did you mean `owner`?" in done.err


def test_settings_bind_the_environment(pdp_test: Run, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "prod.toml").write_text('place = "elsewhere"\n')
    assert pdp_test(POLICY + GOOD).code == 0
    done = pdp_test(POLICY + GOOD, "--settings", "prod")
    assert done.code == 1
    assert "deny by audience" in done.out
    assert pdp_test(POLICY + GOOD, "--settings", "nowhere").code == 2


def test_coverage_says_what_no_case_has_shown(pdp_test: Run) -> None:
    done = pdp_test(POLICY + GOOD, "--coverage")
    assert done.code == 0
    table = [line.split() for line in done.out.splitlines()]
    assert ["shop.owner", "1", "1", "1", "1", "0"] in table
    assert ["shop.robots", "1", "1", "2", "3", "1"] in table
    assert ["s.one", "1", "0", "2"] in table
    assert '`token.mail == "robot"` (when 1 of `shop.robots`) was never false in a test  shop.pol:9' in done.out
    assert "endpoint `s.two` was never called in a test" in done.out


def test_json_says_the_same(pdp_test: Run) -> None:
    done = pdp_test(POLICY + BAD, "--json", "--coverage")
    shown = json.loads(done.out)
    assert (done.code, shown["passed"], shown["failed"]) == (1, 1, 2)
    wrong, right, _ = shown["results"]
    assert (wrong["file"], wrong["line"], wrong["passed"]) == ("shop.pol", 12, False)
    assert (wrong["expected"], wrong["got"]) == ("allow by shop.owner", "deny by default (default.no_rule)")
    assert wrong["trace"]["nearest"] == "shop.owner"
    assert "trace" not in right
    [owner, robots] = shown["coverage"]["rules"]
    assert (owner["id"], owner["named"], robots["named"]) == ("shop.owner", 1, 0)
    assert {each["code"] for each in shown["coverage"]["findings"]} == {"W813"}


def test_junit_has_a_suite_for_a_block_and_a_case_for_a_call(pdp_test: Run, tmp_path: Path) -> None:
    assert pdp_test(POLICY + GOOD + BAD, "--junit", "out.xml").code == 1
    root = ET.fromstring((tmp_path / "out.xml").read_bytes())  # noqa: S314 - our own output
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "6", "2")
    suites = [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root]
    assert suites == [("owners", "2", "0"), ("robots", "1", "0"), ("wrong <&> one", "3", "2")]
    failed = root[2][0]
    assert (failed.get("file"), failed.get("line")) == ("shop.pol", "21")
    assert failed[0].get("message") == "expected allow by shop.owner, got deny by default (default.no_rule)"
    assert 'path.a = "v"' in (failed[0].text or "")


@pytest.mark.parametrize("settings", [(), ("--settings", "all")], ids=["none", "all"])
def test_junit_of_a_policy_that_does_not_compile_says_so(
    settings: tuple[str, ...], pdp_test: Run, tmp_path: Path
) -> None:
    """And holds no results of the run before."""
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "prod.toml").write_text("")
    assert pdp_test(POLICY + GOOD, "--junit", "out.xml", *settings).code == 0
    assert pdp_test(POLICY + GOOD.replace("by owner", "by onwer"), "--junit", "out.xml", *settings).code == 2
    root = ET.fromstring((tmp_path / "out.xml").read_bytes())  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("1", "0", "1")
    error = root[0][0][0]
    assert (error.tag, error.get("message")) == ("error", "the policy does not compile")
    assert "E704" in (error.text or "")


def test_junit_of_a_policy_that_cannot_be_read_says_so(pdp_test: Run, tmp_path: Path) -> None:
    assert pdp_test(POLICY + GOOD, "--junit", "out.xml").code == 0
    assert pdp_test(POLICY, "nowhere", "--junit", "out.xml").code == 2
    root = ET.fromstring((tmp_path / "out.xml").read_bytes())  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert "no policy folder at nowhere" in (root[0][0][0].text or "")


def test_junit_holds_what_xml_cannot(pdp_test: Run, tmp_path: Path) -> None:
    odd = GOOD.replace('test "owners"', 'test "a \\u{1}\\u{fffe}]]> \\"b\\""').replace("by owner", "by default")
    assert pdp_test(POLICY + odd, "--junit", "out.xml").code == 1
    root = ET.fromstring((tmp_path / "out.xml").read_bytes())  # noqa: S314 - our own output
    assert root[0].get("name") == 'a ]]> "b"'


def test_junit_that_cannot_be_written_is_bad_input(pdp_test: Run) -> None:
    done = pdp_test(POLICY + GOOD, "--junit", "no/such/out.xml")
    assert done.code == 2
    assert "no/such/out.xml" in done.err


def test_the_same_results_are_the_same_bytes(pdp_test: Run, tmp_path: Path) -> None:
    pdp_test(POLICY + BAD, "--junit", "a.xml")
    pdp_test(POLICY + BAD, "--junit", "b.xml")
    assert (tmp_path / "a.xml").read_bytes() == (tmp_path / "b.xml").read_bytes()


def test_a_folder_that_is_not_there(pdp_test: Run) -> None:
    done = pdp_test(POLICY, "nowhere")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no policy folder at nowhere: name one as FOLDER or in pdp.toml (P101)\n"

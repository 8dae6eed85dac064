"""SARIF: the shape that the standard requires, the places, and that hostile text is text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.diagnostics import MOST_SHOWN, Diagnostic, Label
from policy_lang.sarif import as_sarif
from policy_lang.source import Source, Span
from policy_lang.syntax.parser import parse


class Mistake(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E999"
    title: ClassVar[str] = "`{word}` is {{wrong}}"
    label: ClassVar[str] = "{word} here"
    help: ClassVar[str] = "write another word than `{word}`"

    word: str


class Doubt(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "W999"
    title: ClassVar[str] = "odd"
    severity: ClassVar = "warning"


def mistake(start: int = 0, end: int = 1, word: str = "x", source: str = "a.pol", **more: Any) -> Mistake:
    return Mistake(span=Span(source, start, end), word=word, **more)


def run_of(*diagnostics: Diagnostic, text: str = "one\ntwo") -> dict[str, Any]:
    log = as_sarif(diagnostics, {"a.pol": Source("a.pol", text)}, "1.2.3")
    check_log(json.loads(json.dumps(log)))
    (run,) = json.loads(json.dumps(log))["runs"]
    assert isinstance(run, dict)
    return run


# ---------------------------------------------------------------- the shape that is required


def check_keys(value: dict[str, Any], required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> None:
    assert required <= set(value) <= required | optional


def check_message(value: dict[str, Any]) -> None:
    check_keys(value, {"text"})
    assert isinstance(value["text"], str)
    # 3.11.5: what is left without doubled braces holds none. 3.11.6: no bracket closes where a link would begin.
    assert not re.search(r"[{}]", re.sub(r"\{\{|\}\}", "", value["text"]))
    assert not re.search(r"(?<!\\)\]\(", value["text"])


def check_location(value: dict[str, Any], *, related: bool) -> None:
    check_keys(value, {"physicalLocation"} | ({"id"} if related else set()), {"message"})
    if "message" in value:
        check_message(value["message"])
    place = value["physicalLocation"]
    check_keys(place, {"artifactLocation"}, {"region"})
    check_keys(place["artifactLocation"], {"uri"})
    assert re.fullmatch(r"(?:[A-Za-z0-9/._~-]|%[0-9A-F]{2})*", place["artifactLocation"]["uri"])
    if "region" in place:
        region = place["region"]
        check_keys(region, {"startLine", "startColumn", "endLine", "endColumn"})
        assert all(isinstance(number, int) and number >= 1 for number in region.values())
        assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])


def check_rule(rule: dict[str, Any]) -> None:
    check_keys(rule, {"id", "shortDescription", "defaultConfiguration"}, {"help"})
    check_message(rule["shortDescription"])
    assert rule["defaultConfiguration"]["level"] in ("error", "warning")
    if "help" in rule:
        check_message(rule["help"])


def check_log(log: dict[str, Any]) -> None:
    """What the standard asks of the parts that are written (3.13, 3.14, 3.18, 3.19, 3.27 to 3.30, 3.49)."""
    check_keys(log, {"$schema", "version", "runs"})
    assert log["version"] == "2.1.0"
    assert log["$schema"].startswith("https://")
    (run,) = log["runs"]
    check_keys(run, {"tool", "results", "columnKind"}, {"invocations"})
    assert run["columnKind"] == "unicodeCodePoints"
    driver = run["tool"]["driver"]
    check_keys(driver, {"name", "version", "rules"})
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        check_rule(rule)
    for result in run["results"]:
        check_keys(result, {"ruleId", "ruleIndex", "level", "message", "locations"}, {"relatedLocations"})
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        check_message(result["message"])
        (location,) = result["locations"]
        check_location(location, related=False)
        related = result.get("relatedLocations", [])
        assert [each["id"] for each in related] == list(range(1, len(related) + 1))
        for each in related:
            check_location(each, related=True)
    for invocation in run.get("invocations", []):
        check_keys(invocation, {"executionSuccessful", "toolExecutionNotifications"})
        for note in invocation["toolExecutionNotifications"]:
            check_message(note["message"])


# ---------------------------------------------------------------- what is in it


def test_one_result_in_full() -> None:
    shown = mistake(4, 6, "w", others=(Label(Span("a.pol", 0, 3), "the first"),), hint="or leave it")
    log = as_sarif([shown], {"a.pol": Source("a.pol", "one\ntwo")}, "1.2.3")
    assert log["runs"] == [
        {
            "tool": {
                "driver": {
                    "name": "portcullis",
                    "version": "1.2.3",
                    "rules": [
                        {
                            "id": "E999",
                            "shortDescription": {"text": "`…` is {{wrong}}"},
                            "defaultConfiguration": {"level": "error"},
                            "help": {"text": "write another word than `…`"},
                        }
                    ],
                }
            },
            "columnKind": "unicodeCodePoints",
            "results": [
                {
                    "ruleId": "E999",
                    "ruleIndex": 0,
                    "level": "error",
                    "message": {
                        "text": "`w` is {{wrong}}\nhelp: write another word than `w`\nhelp: or leave it",
                    },
                    "locations": [
                        {
                            "physicalLocation": {
                                "artifactLocation": {"uri": "a.pol"},
                                "region": {"startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 3},
                            },
                            "message": {"text": "w here"},
                        }
                    ],
                    "relatedLocations": [
                        {
                            "id": 1,
                            "physicalLocation": {
                                "artifactLocation": {"uri": "a.pol"},
                                "region": {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 4},
                            },
                            "message": {"text": "the first"},
                        }
                    ],
                }
            ],
        }
    ]


class Explained(Mistake, frozen=True, kw_only=True):
    note: ClassVar[str] = "the reason {why}"


def test_a_note_stands_behind_the_remedies() -> None:
    (result,) = run_of(Explained(span=Span("a.pol", 0, 1), word="w"))["results"]
    assert result["message"]["text"].splitlines()[1:] == [
        "help: write another word than `w`",
        "note: the reason {{why}}",
    ]


def test_nothing_found_is_a_log_without_results() -> None:
    run = run_of()
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"] == []


def test_levels_and_rules_by_code() -> None:
    run = run_of(Doubt(span=Span("a.pol", 0, 0)), mistake(1, 2), Doubt(span=Span("a.pol", 3, 3)))
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["E999", "W999"]
    assert [(each["ruleId"], each["level"]) for each in run["results"]] == [
        ("W999", "warning"),
        ("E999", "error"),
        ("W999", "warning"),
    ]


def test_no_more_than_a_hundred_results_and_the_rest_is_counted() -> None:
    run = run_of(*(mistake(0, 0, str(number)) for number in range(MOST_SHOWN + 3)))
    assert len(run["results"]) == MOST_SHOWN
    (invocation,) = run["invocations"]
    assert invocation["toolExecutionNotifications"] == [{"level": "note", "message": {"text": "3 more not shown"}}]


def test_a_hundred_results_are_all_there_is() -> None:
    assert "invocations" not in run_of(*(mistake(0, 0, str(number)) for number in range(MOST_SHOWN)))


def test_classes_that_share_a_code_are_one_rule() -> None:
    parsed = parse("a.pol", b'module m\ndeny a when b = c\ndeny\ndeny b because "\\q"\n')
    log = as_sarif(parsed.diagnostics, {"a.pol": parsed.source}, "0")
    check_log(json.loads(json.dumps(log)))
    rules = json.loads(json.dumps(log))["runs"][0]["tool"]["driver"]["rules"]
    assert {rule["id"]: rule["shortDescription"]["text"] for rule in rules} == {
        "E101": "the text does not follow the grammar",
        "E112": "… is not a character of a string",
    }


def test_columns_count_code_points() -> None:
    run = run_of(mistake(2, 3), text="🙂éx")
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 3, "endLine": 1, "endColumn": 4}


def test_a_span_that_outlasts_its_text_ends_with_it() -> None:
    region = run_of(mistake(1, 99))["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert (region["endLine"], region["endColumn"]) == (2, 4)


def test_a_file_that_is_not_at_hand_is_named_without_a_region() -> None:
    place = run_of(mistake(source="b.pol"))["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "b.pol"}}


URIS = {
    "a folder": ("shop/orders.pol", "shop/orders.pol"),
    "a blank": ("my orders.pol", "my%20orders.pol"),
    "what reads as a scheme": ("file:x.pol", "file%3Ax.pol"),
    "what reads as a query": ("a?b#c.pol", "a%3Fb%23c.pol"),
    "a percent sign": ("50%.pol", "50%25.pol"),
    "another script": ("é.pol", "%C3%A9.pol"),
    "a line end": ("a\nb.pol", "a%0Ab.pol"),
    "half a character": ("a\udc80.pol", "a%3F.pol"),
}


@pytest.mark.parametrize(("name", "uri"), URIS.values(), ids=URIS.keys())
def test_uri(name: str, uri: str) -> None:
    place = run_of(mistake(source=name))["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == uri


TEXTS = {
    "a placeholder": ("{0}", "`{{0}}` is {{wrong}}"),
    "a link": ("[click](https://evil.example)", "`[click\\](https://evil.example)` is {{wrong}}"),
    "brackets that are no link": ("[a] (b)", "`[a] (b)` is {{wrong}}"),
    "a terminal sequence": ("\x1b[2J", "`\\u{{1b}}[2J` is {{wrong}}"),
    "text that is turned round": ("a\u202eb", "`a\\u{{202e}}b` is {{wrong}}"),
    "a line end": ("a\nerror: b", "`a\\u{{a}}error: b` is {{wrong}}"),
}


@pytest.mark.parametrize(("word", "wanted"), TEXTS.values(), ids=TEXTS.keys())
def test_hostile_text_is_text(word: str, wanted: str) -> None:
    result = run_of(mistake(word=word))["results"][0]
    assert result["message"]["text"].split("\n")[0] == wanted


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for part in value.values():
                yield from strings(part)
        case list():
            for part in value:
                yield from strings(part)
        case _:
            pass


@given(st.text(max_size=30), st.text(max_size=20), st.text(max_size=40), st.integers(0, 60), st.integers(0, 60))
def test_any_text_any_name_any_place(word: str, name: str, text: str, start: int, length: int) -> None:
    """For all inputs the log has the required shape, is deterministic, and holds no character that nobody can see."""
    at = min(start, len(text))
    found = [mistake(at, at + length, word, name), mistake(at, at, word, "elsewhere")]
    log = as_sarif(found, {name: Source(name, text)}, "0")
    assert log == as_sarif(found, {name: Source(name, text)}, "0")
    check_log(json.loads(json.dumps(log)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", "".join(strings(log)))

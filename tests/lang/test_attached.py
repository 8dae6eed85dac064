"""Files that policies name: what is found in a text without parsing it, and which paths a bundle may hold."""

from __future__ import annotations

import pytest

from policy_lang.attached import attached, beside
from policy_lang.syntax.parser import parse
from policy_lang.tree import CasbinDecl, CasbinFile

NAMED: dict[str, tuple[str, set[str]]] = {
    "a model and a policy": ('casbin a { model "m.conf" policy "p.csv" }', {"m.conf", "p.csv"}),
    "in a folder": ('casbin a { model "legacy/m.conf" }', {"legacy/m.conf"}),
    "without a blank": ('casbin a{model"m.conf"policy"p.csv"}', {"m.conf", "p.csv"}),
    "on other lines, behind comments": ('casbin a { model # "no.conf"\n\t# x\r\n "m.conf" }', {"m.conf"}),
    "twice": ('casbin a { model "m.conf" } casbin b { model "m.conf" }', {"m.conf"}),
    "in a comment": ('# casbin a { model "m.conf" }', set()),
    "in a string": ('casbin a { zone "model \\"m.conf\\"" }', set()),
    "behind a string with an escape": ('casbin a { zone "\\\\" model "m.conf" }', {"m.conf"}),
    "a longer word": ('casbin a { remodel "m.conf" model_2 "n.conf" }', set()),
    "a path with an escape": ('casbin a { model "m\\u{2e}conf" }', set()),
    "a path that leads out": ('casbin a { model "../m.conf" policy "/p.csv" }', set()),
    "no block": ('deny x when token.model "m.conf"', set()),
    "a string that does not end": ('casbin a { model "m.conf', set()),
}


@pytest.mark.parametrize(("text", "wanted"), NAMED.values(), ids=NAMED.keys())
def test_what_a_text_names(text: str, wanted: set[str]) -> None:
    assert attached({"m.pol": text.encode()}) == wanted


@pytest.mark.parametrize("text", [text for text, _ in NAMED.values()], ids=NAMED.keys())
def test_whatever_the_parser_reads_is_found(text: str) -> None:
    module = parse("sub/m.pol", f"module m {text}".encode()).module
    blocks = [decl for decl in (module.declarations if module else ()) if isinstance(decl, CasbinDecl)]
    named = [item for block in blocks for item in block.items if isinstance(item, CasbinFile)]
    plain = [
        item for item in named if text[item.path.span.start - 9 : item.path.span.end - 9] == f'"{item.path.value}"'
    ]
    paths = {path for item in plain if (path := beside("sub/m.pol", item.path.value)) is not None}
    assert paths <= attached({"sub/m.pol": f"module m {text}".encode()})


HOSTILE = {
    "quotes in a string that does not end": ('"', '\\"'),
    "words without a string": ("", "model "),
    "words before comments": ("", "model #\n"),
    "one word before comments": ("model ", "#\n"),
    "words before blanks": ("", "model" + " " * 20),
    "strings that do not end": ("", 'model "\n'),
    "comments": ("", "#model #policy"),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize(("opening", "piece"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_large_text_takes_time_in_proportion(opening: str, piece: str) -> None:
    text = f"casbin a {{ {opening}{piece * (2_000_000 // len(piece))}"
    assert attached({"m.pol": text.encode()}) == frozenset()


def test_only_policy_files_name_others() -> None:
    text = b'casbin a { model "m.conf" }'
    assert attached({"m.txt": text, "facts/m.csv": text}) == frozenset()
    assert attached({"m.pol": text + b"\xff"}) == frozenset()


PLACES: dict[str, tuple[str, str, str | None]] = {
    "beside": ("m.pol", "p.csv", "p.csv"),
    "below": ("m.pol", "legacy/p.csv", "legacy/p.csv"),
    "beside a file in a folder": ("teams/a/m.pol", "legacy/p.csv", "teams/a/legacy/p.csv"),
    "with blanks and signs": ("m.pol", "my policy (1).csv", "my policy (1).csv"),
    "nothing": ("m.pol", "", None),
    "up": ("teams/m.pol", "../p.csv", None),
    "up and down again": ("teams/m.pol", "x/../../p.csv", None),
    "here": ("m.pol", "./p.csv", None),
    "from the root": ("m.pol", "/p.csv", None),
    "a folder": ("m.pol", "legacy/", None),
    "two slashes": ("m.pol", "legacy//p.csv", None),
    "a hidden file": ("m.pol", ".p.csv", None),
    "in a hidden folder": ("m.pol", ".git/p.csv", None),
    "a backslash": ("m.pol", "legacy\\p.csv", None),
    "a control": ("m.pol", "p\x00.csv", None),
    "a line end": ("m.pol", "p\n.csv", None),
    "a character that turns text round": ("m.pol", "p\u202evsc.", None),
}


@pytest.mark.parametrize(("name", "written", "wanted"), PLACES.values(), ids=PLACES.keys())
def test_where_a_path_leads(name: str, written: str, wanted: str | None) -> None:
    assert beside(name, written) == wanted

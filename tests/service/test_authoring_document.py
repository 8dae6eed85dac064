"""Documents of strangers: JSON and YAML with one meaning, everything else refused by name, in linear time."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.authoring.document import MOST_HOPS, BadReference, Located, follow, read_document
from pdp.authoring.model import AuthoringError
from policy_lang.verdict import Json


def _bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        members = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{members}]")
    return "\n".join(lines)


REFUSED: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
    "bytes that are not UTF-8": (b"a: \xff", "I102", ("byte 3",)),
    "neither JSON nor YAML": (b"a: [1,\nb: 2", "I103", ("line",)),
    "an empty file": (b"", "I105", ("no mapping",)),
    "a list": (b"[1]", "I105", ("no mapping",)),
    "a text": (b"just words", "I105", ("no mapping",)),
    "a JSON member twice": (b'{"paths": {"/a": {"get": 1, "get": 2}}}', "I104", ("#/paths/~1a/get", "twice")),
    "a YAML member twice": (b"paths:\n  /a:\n    get: 1\n    get: 2", "I104", ("#/paths/~1a/get", "twice")),
    "JSON nested a million deep": (b'{"a":' + b"[" * 1_000_000, "I104", ("deeper than 100",)),
    "JSON nested 200 deep": (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "I104", ("#/a/0/0", "deeper than 100")),
    "YAML nested 200 deep": (b"a: " + b"[" * 200 + b"]" * 200, "I104", ("#/a/0/0", "deeper than 100")),
    "an alias bomb": (_bomb(9).encode(), "I104", ("#/a6", "aliases written out")),
    "an alias that leads to itself": (b"a: &a [*a]", "I104", ("#/a/0", "leads to what contains it")),
    "an alias without an anchor": (b"a: *nowhere", "I104", ("#/a", "declared nowhere above")),
    "a key that is a list": (b"? [a]\n: b", "I104", ("keys are texts",)),
    "two documents": (b"a: 1\n---\nb: 2", "I103", ("second document",)),
    "a tag of Python": (b"a: !!python/object/apply:os.system [ls]", "I104", ("#/a", "core schema")),
    "a merge of a text": (b"a: {<<: b}", "I104", ("#/a", "takes a mapping")),
    "an invisible control": (b"a: \x01", "I103", ()),
}


@pytest.mark.parametrize(("data", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(data: bytes, code: str, words: tuple[str, ...]) -> None:
    with pytest.raises(AuthoringError) as refused:
        read_document(data, "api.yaml")
    assert refused.value.code == code, refused.value.detail
    assert refused.value.detail.startswith("api.yaml")
    for word in words:
        assert word in refused.value.detail
    assert len(refused.value.detail) < 1000


def test_refuses_a_document_over_the_limit() -> None:
    with pytest.raises(AuthoringError) as refused:
        read_document(b" " * (32 * 1024 * 1024 + 1), "api.json")
    assert refused.value.code == "I101"


MERGED = "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}"
READ: dict[str, tuple[str, Json]] = {
    "plain scalars by the core schema": ("a: no\nb: true\nc: 12\nd: 0x1F", {"a": "no", "b": True, "c": 12, "d": 31}),
    "fractions and null": ("e: 1.5\nf: ~", {"e": 1.5, "f": None}),
    "dates and quoted digits are texts": ("g: 2026-01-01\nh: '1'", {"g": "2026-01-01", "h": "1"}),
    "a number that is not finite is a text": ("i: .inf\nj: 1e999", {"i": ".inf", "j": "1e999"}),
    "keys are texts whatever they look like": ("200: a\ntrue: b", {"200": "a", "true": "b"}),
    "an alias is what it names": ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
    "a merge adds what is missing": (MERGED, {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
    "flow style that begins like JSON": ("{a: b}", {"a": "b"}),
    "a byte order mark": ("\ufeff{}", {}),
    "an integer beyond 64 bits": ('{"a": 99999999999999999999999}', {"a": 99999999999999999999999}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ.values(), ids=READ.keys())
def test_reads(text: str, value: Json) -> None:
    assert read_document(text.encode(), "api.yaml") == value


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=6), JSONS, max_size=4))
def test_json_is_what_json_is(value: dict[str, Json]) -> None:
    assert read_document(json.dumps(value).encode(), "api.json") == value


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: ("openapi: 3.0.0\n" + text).encode()))
def test_any_bytes_are_a_mapping_or_a_refusal(data: bytes) -> None:
    try:
        value: Json = read_document(data, "api.yaml")
    except AuthoringError:
        return
    assert isinstance(value, dict)


HOSTILE = {
    "one key after the other": lambda size: b"".join(b"k%d: v\n" % i for i in range(size // 8)),
    "brackets": lambda size: b"a: " + b"[" * size,
    "one long key, deep": lambda size: (b'{"' + b"k" * (size // 80) + b'":') * 80 + b"1" + b"}" * 80,
    "one character": lambda size: b"a" * size,
    "colons": lambda size: b": " * (size // 2),
    "dashes": lambda size: b"- " * (size // 2),
    "anchors": lambda size: b"".join(b"k%d: &a%d x\n" % (i, i) for i in range(size // 14)),
    "long digits": lambda size: b"a: " + b"9" * size,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_64_kib_of_anything_take_no_longer_than_they_may(make: object) -> None:
    assert callable(make)
    data = make(64 * 1024)
    began = time.process_time()
    with contextlib.suppress(AuthoringError):
        read_document(data, "api.yaml")
    assert time.process_time() - began < 0.4


# ---------------------------------------------------------------- references

ROOT: dict[str, Json] = {
    "a": {"b/c": {"$ref": "#/list/1"}},
    "list": [1, {"x": 2}],
    "loop": {"$ref": "#/loop"},
    "one": {"$ref": "#/two"},
    "two": {"$ref": "#/one"},
    "far": {"$ref": "other.yaml#/a"},
    "url": {"$ref": "https://api.example/a"},
    "odd": {"$ref": 3},
    "nowhere": {"$ref": "#/a/missing"},
    "anchor": {"$ref": "#name"},
    "past": {"$ref": "#/list/7"},
    "escaped": {"$ref": "#/a/b~1c"},
    "percent": {"$ref": "#/a/b%7E1c"},
    **{f"hop{i}": {"$ref": f"#/hop{i + 1}"} for i in range(MOST_HOPS + 2)},
}

LEADS = {
    "an escaped step": ("escaped", {"x": 2}),
    "a step in percent": ("percent", {"x": 2}),
}


@pytest.mark.parametrize(("name", "value"), LEADS.values(), ids=LEADS.keys())
def test_a_reference_leads(name: str, value: Json) -> None:
    found = follow(ROOT, Located(ROOT[name], f"#/{name}"))
    assert isinstance(found, Located)
    assert found.value == value
    assert found.pointer == "#/list/1"


LEADS_NOWHERE = {
    "a reference to itself": ("loop", "leads back to itself"),
    "a cycle of two": ("one", "leads back to itself"),
    "another file": ("far", "in another file"),
    "a URL": ("url", "in another file"),
    "no text": ("odd", "no text"),
    "a missing member": ("nowhere", "leads nowhere"),
    "an anchor": ("anchor", "leads nowhere"),
    "an index past the end": ("past", "leads nowhere"),
    "a chain without end": ("hop0", "in a row"),
}


@pytest.mark.parametrize(("name", "words"), LEADS_NOWHERE.values(), ids=LEADS_NOWHERE.keys())
def test_a_bad_reference_is_named(name: str, words: str) -> None:
    found = follow(ROOT, Located(ROOT[name], f"#/{name}"))
    assert isinstance(found, BadReference)
    assert words in found.why

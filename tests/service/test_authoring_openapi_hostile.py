"""OpenAPI documents that are large, hostile or nonsense: read or refused, in time linear in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.authoring.model import AuthoringError, Imported
from pdp.authoring.openapi import read_openapi
from policy_lang.syntax.grammar import Tree, read
from policy_lang.verdict import Json
from tests.support.authoring import UUID, document, imported, text_of


def _many(count: int) -> Json:
    paths: dict[str, Json] = {}
    for number in range(count):
        parameters: Json = [{"$ref": "#/components/parameters/Id"}, {"name": "q", "in": "query"}]
        paths[f"/things{number}/{{id}}"] = {"get": {"operationId": "same", "parameters": parameters, "tags": ["t"]}}
    return paths


ID: Json = {"parameters": {"Id": {"name": "id", "in": "path", "schema": UUID}}}


def _calls_made(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls: the same on every machine."""
    made = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal made
        made += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def test_many_paths_take_work_linear_in_them() -> None:
    made: list[int] = []
    for count in (400, 2_000):
        data = document(_many(count), components=ID)
        found: list[Imported] = []
        made.append(_calls_made(lambda data=data, found=found: found.append(read_openapi(data, "api.json"))))
        assert len(found[0].operations) == count
        assert len({each.name for each in found[0].operations}) == count
    assert made[1] < 5.5 * made[0]


def _paths_with(reference: str, count: int) -> Json:
    parameter: Json = {"name": "a", "in": "query", "schema": {"$ref": reference}}
    return {f"/p{number}": {"get": {"parameters": [parameter]}} for number in range(count)}


def _deep_references(count: int) -> bytes:
    schemas: dict[str, Json] = {f"S{i}": {"$ref": f"#/components/schemas/S{i + 1}"} for i in range(count)}
    return document(_paths_with("#/components/schemas/S0", count), components={"schemas": schemas})


def _wide_schemas(count: int) -> bytes:
    wide: Json = {"oneOf": [{"allOf": [{"$ref": "#/components/schemas/W"}] * 20}] * 20}
    return document(_paths_with("#/components/schemas/W", count), components={"schemas": {"W": wide}})


def _shared_lists(count: int) -> bytes:
    listed: Json = [{"name": f"p{i}", "in": "query"} for i in range(count)]
    item: Json = {"get": {"parameters": listed}}
    shared: Json = {f"/p{i}": {"$ref": "#/components/pathItems/Big"} for i in range(count)}
    return document(shared, components={"pathItems": {"Big": item}})


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "chains of references": _deep_references,
    "schemas within each other": _wide_schemas,
    "one long list under many paths": _shared_lists,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_documents_end_in_time(make: Callable[[int], bytes]) -> None:
    data = make(600)
    began = time.process_time()
    try:
        read_openapi(data, "api.json")
    except AuthoringError as refused:
        assert refused.code == "I108"
    assert time.process_time() - began < 2.5


WORDS = st.sampled_from(
    [
        "$ref",
        "name",
        "in",
        "schema",
        "type",
        "items",
        "allOf",
        "oneOf",
        "get",
        "parameters",
        "security",
        "style",
        "url",
        "servers",
        "tags",
        "enum",
        "minimum",
        "format",
    ]
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(item=JSONS, parameter=JSONS, schema=JSONS, servers=JSONS, security=JSONS, components=JSONS)
def test_whatever_a_document_holds_it_is_read_or_refused(
    item: Json, parameter: Json, schema: Json, servers: Json, security: Json, components: Json
) -> None:
    paths: Json = {
        "/a/{x}": item,
        "/b/{x}": {
            "get": {"parameters": [parameter, {"name": "x", "in": "path", "schema": schema}], "security": security}
        },
    }
    try:
        read_in = imported(paths, servers=servers, components=components)
    except AuthoringError:
        return
    assert isinstance(read(text_of(read_in), "start"), Tree)

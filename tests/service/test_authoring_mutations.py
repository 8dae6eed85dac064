"""Whole documents with something else in some of their places: read or refused, and nothing lost without a word."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pdp.authoring.document import read_document
from pdp.authoring.merge import Wishes, merged
from pdp.authoring.model import AuthoringError, GrpcRoute, Imported
from pdp.authoring.openapi import read_openapi
from pdp.authoring.proto import read_descriptors
from pdp.authoring.protoc import descriptors_of
from policy_lang.syntax.grammar import Tree, read
from policy_lang.verdict import Json
from tests.support.process import ROOT

DATA = ROOT / "tests" / "data" / "authoring"

Place = tuple[str | int, ...]


def _places(value: Json, way: Place = ()) -> Iterator[Place]:
    """Every place of a document but the whole."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in members:
        yield (*way, name)
        yield from _places(each, (*way, name))


LIBRARY = read_document((DATA / "library.yaml").read_bytes(), "library.yaml")
PLACES = sorted(_places(LIBRARY), key=str)
FRESH = merged(None, "library.pol", read_openapi(json.dumps(LIBRARY).encode(), "library.yaml"), Wishes()).text
OTHERS: list[Json] = [
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "x",
    "/",
    "/{a}/{a}",
    "\u202e",
    "#/paths",
    [],
    ["a"],
    [[]],
    {},
    {"a": 1},
    {"$ref": "#/components"},
    {"$ref": "#/nowhere"},
    {"$ref": 5},
    {"type": ["null", "integer"]},
    {"type": ["a"]},
]


def _mutated(changes: list[tuple[Place, Json]]) -> dict[str, Json]:
    """The library with other values; a place that an earlier change took away is passed over."""
    whole = copy.deepcopy(LIBRARY)
    for place, value in changes:
        here: Json = whole
        for step in place[:-1]:
            here = _member(here, step)
        if isinstance(here, dict) and place[-1] in here:
            here[str(place[-1])] = copy.deepcopy(value)
        elif isinstance(here, list) and isinstance(place[-1], int) and place[-1] < len(here):
            here[place[-1]] = copy.deepcopy(value)
    return whole


def _member(value: Json, step: str | int) -> Json:
    if isinstance(value, dict):
        return value.get(str(step))
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None


def _at(root: Json, pointer: str) -> Json:
    here = root
    for step in pointer.removeprefix("#/").split("/"):
        here = _member(here, step.replace("~1", "/").replace("~0", "~"))
    return here


def _asked_for(security: Json) -> set[str]:
    """Every text that stands in a list below an alternative, whatever its scheme is."""
    found: set[str] = set()
    for alternative in security if isinstance(security, list) else []:
        for listed in alternative.values() if isinstance(alternative, dict) else ():
            found |= {str(each) for each in listed if isinstance(each, str)} if isinstance(listed, list) else set()
    return found


def _check_scopes(root: dict[str, Json], read_in: Imported) -> None:
    """What an operation asks for is a scope of its endpoint, or a finding names it."""
    said = " ".join(each.message for each in read_in.findings)
    for operation in read_in.operations:
        raw = _at(root, operation.place)
        own = raw["security"] if isinstance(raw, dict) and "security" in raw else root.get("security")
        for lost in _asked_for(own) - set(operation.scopes):
            assert f"`{lost}` is asked for" in said, (lost, operation)


def _check_vanished(root: dict[str, Json], vanished: tuple[str, ...]) -> None:
    """Only what the document does not have is called gone."""
    paths = root.get("paths")
    before = read_openapi(json.dumps(LIBRARY).encode(), "library.yaml")
    for operation in before.operations:
        *_, path, method = operation.place.split("/")
        item = _member(paths, path.replace("~1", "/").replace("~0", "~"))
        present = isinstance(paths, dict) and path.replace("~1", "/") in paths
        still = present and (not isinstance(item, dict) or method in item)
        assert not (still and f"{operation.name}: not in library.yaml any more" in vanished), operation


def _check(changes: list[tuple[Place, Json]]) -> None:
    root = _mutated(changes)
    try:
        read_in = read_openapi(json.dumps(root).encode(), "library.yaml")
    except AuthoringError:
        return
    _check_scopes(root, read_in)
    assert isinstance(read(merged(None, "library.pol", read_in, Wishes()).text, "start"), Tree)
    result = merged(FRESH, "library.pol", read_in, Wishes(service="library_loans"))
    assert isinstance(read(result.text, "start"), Tree)
    if not any(place[0] == "servers" for place, _ in changes):  # with another base path every route is another
        _check_vanished(root, result.report.vanished)


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(OTHERS)), min_size=1, max_size=3))
def test_an_openapi_document_with_other_values_is_read_or_refused(changes: list[tuple[Place, Json]]) -> None:
    """A scope that is lost is named, and so is an operation; nothing that is there is called gone."""
    _check(changes)


@pytest.mark.parametrize("other", OTHERS, ids=json.dumps)
def test_whatever_stands_where_a_security_scheme_does(other: Json) -> None:
    for place in PLACES:
        if place[0] in {"security", "securityDefinitions"} or "securitySchemes" in place or "security" in place:
            _check([(place, other)])


def test_the_document_that_is_changed_has_what_can_be_lost() -> None:
    read_in = read_openapi(json.dumps(LIBRARY).encode(), "library.yaml")
    assert {scope for each in read_in.operations for scope in each.scopes}
    assert any("securitySchemes" in place for place in PLACES)
    assert len(PLACES) > 100


# ---------------------------------------------------------------- protobuf


@pytest.fixture(scope="module")
def orders() -> bytes:
    data, _ = descriptors_of([DATA / "protos" / "orders" / "orders.proto"], [DATA / "protos"])
    return data


def _text(value: str | bytes) -> str:
    """Protobuf gives as bytes what is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _check_methods(data: bytes) -> None:
    """A method is an endpoint or left out by name, and what comes of all of them is a policy."""
    try:
        read_in = read_descriptors(data, "orders.binpb", None)
    except AuthoringError:
        return
    routes = {each.route.method for each in read_in.operations if isinstance(each.route, GrpcRoute)}
    left_out = {each.place for each in read_in.findings if each.left_out}
    for file in FileDescriptorSet.FromString(data).file:
        for service in file.service:
            for method in service.method:
                within = f"{_text(file.package)}." if file.package else ""
                path = f"{within}{_text(service.name)}/{_text(method.name)}"
                assert path in routes or path[:200] in left_out
    assert isinstance(read(merged(None, "orders.pol", read_in, Wishes()).text, "start"), Tree)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_descriptor_set_with_other_bytes_is_read_or_refused(orders: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(orders)
    for at, byte in changes:
        data[at % len(data)] = byte
    _check_methods(bytes(data))


TYPES = st.sampled_from(sorted(FieldDescriptorProto.Type.values()))
LABELS = st.sampled_from(sorted(FieldDescriptorProto.Label.values()))
NAMES = st.sampled_from(["", "a", "name", "A.b", "\u202e", '"', "x" * 300, ".acme.orders.v1.Window", ".no.Such"])


@given(changes=st.lists(st.tuples(st.integers(0, 20), TYPES, LABELS, NAMES, NAMES), min_size=1, max_size=4), own=NAMES)
def test_messages_with_other_fields_are_read_or_refused(
    orders: bytes, changes: list[tuple[int, int, int, str, str]], own: str
) -> None:
    whole = FileDescriptorSet.FromString(orders)
    fields = [each for file in whole.file for message in file.message_type for each in message.field]
    for at, type_, label, name, type_name in changes:
        each = fields[at % len(fields)]
        each.type = type_  # type: ignore[assignment]
        each.label = label  # type: ignore[assignment]
        each.name, each.type_name = name, type_name
    whole.file[-1].service[0].method[0].input_type = own or ".acme.orders.v1.Order"
    _check_methods(whole.SerializeToString())


def test_the_set_that_is_changed_is_one(orders: bytes) -> None:
    with pytest.raises(DecodeError):
        FileDescriptorSet.FromString(orders[:-1])
    read_in = read_descriptors(orders, "orders.binpb", None)
    assert any(each.parameters for each in read_in.operations)

"""Protobuf services: every method is an endpoint, every binding that a pattern can say is one too."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from pdp.authoring.merge import Wishes, merged
from pdp.authoring.model import AuthoringError, GrpcRoute, HttpRoute, Imported
from pdp.authoring.proto import read_descriptors
from pdp.authoring.protoc import descriptors_of
from policy_lang.syntax.grammar import Tree, read
from tests.support.process import ROOT

PROTOS = ROOT / "tests" / "data" / "authoring" / "protos"
ORDERS = PROTOS / "orders" / "orders.proto"
HTTP_OPTION = 72295728


def described(package: str = "a.b", **services: tuple[str, ...]) -> bytes:
    """A descriptor set of these services with these methods."""
    file = FileDescriptorProto(name="x.proto", package=package)
    for name, methods in services.items():
        service = file.service.add(name=name)
        for method in methods:
            service.method.add(name=method, input_type=".a.M", output_type=".a.M")
    return FileDescriptorSet(file=[file]).SerializeToString()


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field on the wire."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def bound(rule: bytes) -> Imported:
    """What a method with this annotation becomes."""
    file = FileDescriptorProto(name="x.proto", package="a")
    method = file.service.add(name="S").method.add(name="Do", input_type=".a.M", output_type=".a.M")
    method.options.MergeFromString(_field(HTTP_OPTION, rule))
    return read_descriptors(FileDescriptorSet(file=[file]).SerializeToString(), "x.binpb", None)


def routes(read_in: Imported) -> list[str]:
    return [
        f"{each.route.method} {each.route.pattern}" for each in read_in.operations if isinstance(each.route, HttpRoute)
    ]


@pytest.fixture(scope="module")
def orders() -> Imported:
    data, names = descriptors_of([ORDERS], [PROTOS])
    return read_descriptors(data, "orders.proto", names)


def test_the_sources_become_the_policy_they_became(orders: Imported) -> None:
    text = merged(None, "policy.pol", orders, Wishes()).text
    assert text == (PROTOS / "orders.pol").read_text()
    assert merged(text, "policy.pol", orders, Wishes()).text == text


def test_what_no_pattern_says_is_left_out_by_name(orders: Imported) -> None:
    messages = [each.message for each in orders.findings if each.left_out]
    assert len(messages) == 2
    assert "`{name_2}:cancel` is one only in part" in messages[0]
    assert "LINK /v1/links: the language has no such method" in messages[1]


def test_imported_files_give_no_endpoints(orders: Imported) -> None:
    assert not any("Hidden" in each.place for each in orders.operations)
    data, _ = descriptors_of([ORDERS], [PROTOS])
    whole = read_descriptors(data, "orders.binpb", None)
    assert GrpcRoute("acme.orders.v1.Hidden/Peek") in [each.route for each in whole.operations]


def test_a_name_that_two_services_have_is_said_with_its_service() -> None:
    read_in = read_descriptors(described(One=("Get", "Watch"), Two=("Watch",)), "x", None)
    assert [each.name for each in read_in.operations] == ["get", "one_watch", "two_watch"]


def test_a_file_without_a_package() -> None:
    (operation,) = read_descriptors(described(package="", Greeter=("SayHello",)), "x", None).operations
    assert operation.route == GrpcRoute("Greeter/SayHello")


def test_a_method_that_became_another_loses_nothing_that_its_author_wrote() -> None:
    text = merged(None, "p", read_descriptors(described(Shop=("Get", "Put")), "x", None), Wishes()).text
    text = text.replace("endpoint get  grpc a.b.Shop/Get  closed", "endpoint fetch  grpc a.b.Shop/Get  # open")
    result = merged(text, "p", read_descriptors(described(Shop=("Get", "Delete")), "x", None), Wishes())
    assert "endpoint fetch  grpc a.b.Shop/Get  # open" in result.text
    assert result.report.new == ("delete",)
    assert [line.split(":")[0] for line in result.report.vanished] == ["put"]


def test_http_endpoints_are_none_of_the_business_of_services_without_bindings() -> None:
    text = merged(None, "p", read_descriptors(described(Shop=("Get",)), "x", None), Wishes()).text
    text = text.replace("\n}", "\n  endpoint web GET /x closed\n}")
    assert merged(text, "p", read_descriptors(described(Shop=("Get",)), "x", None), Wishes()).report.vanished == ()


GET, PUT, POST, CUSTOM, MORE = 2, 3, 4, 8, 11
BINDINGS: dict[str, tuple[bytes, list[str]]] = {
    "a literal": (_field(GET, b"/v1/things"), ["GET /v1/things"]),
    "a variable": (_field(GET, b"/v1/{thing_id}"), ["GET /v1/{thing_id}"]),
    "a variable within a message": (_field(PUT, b"/v1/{book.name}"), ["PUT /v1/{book_name}"]),
    "a variable of one segment": (_field(GET, b"/v1/{name=*}"), ["GET /v1/{name}"]),
    "a variable of several segments": (_field(GET, b"/v1/{name=a/*/b/*}"), ["GET /v1/a/{name}/b/{name_2}"]),
    "the rest of the path": (_field(GET, b"/v1/{name=a/**}"), ["GET /v1/a/**"]),
    "a segment without a name": (_field(GET, b"/v1/*/x"), ["GET /v1/*/x"]),
    "a verb behind a literal": (_field(POST, b"/v1/things:merge"), ["POST /v1/things:merge"]),
    "a method by its name": (_field(CUSTOM, _field(1, b"HEAD") + _field(2, b"/x")), ["HEAD /x"]),
    "every method": (_field(CUSTOM, _field(1, b"*") + _field(2, b"/x")), ["ANY /x"]),
    "two bindings": (_field(GET, b"/a") + _field(MORE, _field(POST, b"/b")), ["GET /a", "POST /b"]),
}


@pytest.mark.parametrize(("rule", "wanted"), BINDINGS.values(), ids=BINDINGS.keys())
def test_a_binding_is_an_endpoint(rule: bytes, wanted: list[str]) -> None:
    read_in = bound(rule)
    assert routes(read_in) == wanted
    assert isinstance(read(merged(None, "p", read_in, Wishes()).text, "start"), Tree)


NO_BINDINGS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "begin with `/`"),
    "no slash": (_field(GET, b"v1"), "begin with `/`"),
    "a verb behind a variable": (_field(GET, b"/v1/{name}:go"), "only in part"),
    "the rest in the middle": (_field(GET, b"/{name=**}/x"), "only last"),
    "a star within a segment": (_field(GET, b"/a*"), "only in part"),
    "an unknown method": (_field(CUSTOM, _field(1, b"LINK") + _field(2, b"/x")), "no such method"),
    "no protobuf": (b"\xff\xff", "cannot be read"),
    "a template without end": (_field(GET, b"/" + b"a" * 10_000), "too long"),
}


@pytest.mark.parametrize(("rule", "words"), NO_BINDINGS.values(), ids=NO_BINDINGS.keys())
def test_a_binding_that_no_pattern_says_is_left_out(rule: bytes, words: str) -> None:
    read_in = bound(rule)
    assert routes(read_in) == []
    (finding,) = [each for each in read_in.findings if each.left_out]
    assert words in finding.message


def test_of_two_bindings_of_one_route_the_first_stands() -> None:
    read_in = bound(_field(GET, b"/a/{x}") + _field(MORE, _field(GET, b"/a/{y}")))
    assert routes(read_in) == ["GET /a/{x}"]
    assert sum(each.left_out for each in read_in.findings) == 1


REFUSED: dict[str, tuple[bytes, str]] = {
    "bytes that are none": (b"\xff\xff\xff", "I111"),
    "an empty set": (b"", "I112"),
    "a set without services": (described(), "I112"),
    "a set over the limit": (b"\0" * (32 * 1024 * 1024 + 1), "I111"),
    "methods without end": (described(S=tuple(f"M{i}" for i in range(20_001))), "I113"),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(data: bytes, code: str) -> None:
    with pytest.raises(AuthoringError) as refused:
        read_descriptors(data, "x.binpb", None)
    assert refused.value.code == code


@given(st.binary(max_size=200))
def test_any_annotation_is_read_or_left_out(rule: bytes) -> None:
    assert isinstance(read(merged(None, "p", bound(rule), Wishes()).text, "start"), Tree)


SOURCES = {
    "no such file": ("missing.proto", "", "I122"),
    "no protobuf": ("x.proto", "what is this", "I122"),
    "an import that is not there": ("x.proto", 'syntax = "proto3"; import "https://a.example/x.proto";', "I122"),
    "a name that protoc takes for an option": ("-x.proto", 'syntax = "proto3";', "I123"),
    "a name that protoc takes for a list": ("@x.proto", 'syntax = "proto3";', "I123"),
}


@pytest.mark.parametrize(("name", "text", "code"), SOURCES.values(), ids=SOURCES.keys())
def test_refuses_sources(name: str, text: str, code: str, tmp_path: Path) -> None:
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(AuthoringError) as refused:
        descriptors_of([tmp_path / name], [])
    assert refused.value.code == code


def test_refuses_a_source_outside_of_the_folders_given(tmp_path: Path) -> None:
    with pytest.raises(AuthoringError) as refused:
        descriptors_of([ORDERS], [tmp_path])
    assert refused.value.code == "I123"


@pytest.mark.parametrize("mark", [":", "="])
@pytest.mark.parametrize("named", [True, False], ids=["named by -I", "that of the source"])
def test_refuses_a_folder_whose_name_protoc_divides(mark: str, named: bool, tmp_path: Path) -> None:
    folder = tmp_path / f"a{mark}b" / "c"
    folder.mkdir(parents=True)
    (folder / "x.proto").write_text('syntax = "proto3";')
    with pytest.raises(AuthoringError) as refused:
        descriptors_of([folder / "x.proto"], [folder] if named else [])
    assert refused.value.code == "I123"
    assert f"`{mark}`" in refused.value.detail

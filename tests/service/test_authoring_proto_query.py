"""Query parameters of HTTP bindings: each field that the language reads, and a word on every other."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from pdp.authoring.model import AuthoringError, HttpRoute, Imported
from pdp.authoring.proto import read_descriptors
from pdp.authoring.proto_query import DEEPEST, MOST_FIELDS, messages_of, query_of
from policy_lang.typesystem import INT_MAX

F = FieldDescriptorProto
Field = tuple[str, int] | tuple[str, int, str] | tuple[str, int, str, int]


def listed(**messages: list[Field]) -> FileDescriptorSet:
    """A set with these messages of package `a`: fields are name, type, name of a type, label."""
    file = FileDescriptorProto(name="x.proto", package="a")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, each in enumerate(fields, start=1):
            field = message.field.add(name=each[0], type=each[1], number=number)  # type: ignore[arg-type]
            field.type_name = each[2] if len(each) > 2 else ""  # type: ignore[misc]
            field.label = each[3] if len(each) > 3 else F.LABEL_OPTIONAL  # type: ignore[misc,assignment]
    return FileDescriptorSet(file=[file])


def types(query_fields: list[Field], **others: list[Field]) -> dict[str, str]:
    found = query_of(messages_of(listed(M=query_fields, **others)), ".a.M", frozenset())
    assert all(each.kind == "query" and each.optional for each in found.parameters)
    return {each.source: each.type for each in found.parameters}


READ: dict[str, tuple[Field, str]] = {
    "a text": (("x", F.TYPE_STRING), "string"),
    "an integer": (("x", F.TYPE_INT32), "int"),
    "a zigzag integer of 64 bits": (("x", F.TYPE_SINT64), "int"),
    "one without a sign": (("x", F.TYPE_UINT32), "int 0..4294967295"),
    "one without a sign, of 64 bits": (("x", F.TYPE_FIXED64), f"int 0..{INT_MAX}"),
    "a truth": (("x", F.TYPE_BOOL), "bool"),
    "a fraction": (("x", F.TYPE_DOUBLE), "string"),
    "an enumeration": (("x", F.TYPE_ENUM, ".a.Kind"), "string"),
    "several texts": (("x", F.TYPE_STRING, "", F.LABEL_REPEATED), "set of string"),
    "several truths": (("x", F.TYPE_BOOL, "", F.LABEL_REPEATED), "set of bool"),
    "a time": (("x", F.TYPE_MESSAGE, ".google.protobuf.Timestamp"), "string"),
    "a wrapped integer": (("x", F.TYPE_MESSAGE, ".google.protobuf.Int64Value"), "int"),
    "a wrapped truth": (("x", F.TYPE_MESSAGE, ".google.protobuf.BoolValue"), "bool"),
}


@pytest.mark.parametrize(("field", "type_"), READ.values(), ids=READ.keys())
def test_a_field_is_a_parameter(field: Field, type_: str) -> None:
    assert types([field]) == {"x": type_}


NOT_READ: dict[str, tuple[Field, str]] = {
    "several messages": (("x", F.TYPE_MESSAGE, ".a.N", F.LABEL_REPEATED), "repeats a message"),
    "anything": (("x", F.TYPE_MESSAGE, ".google.protobuf.Struct"), "may hold anything"),
    "a message within itself": (("x", F.TYPE_MESSAGE, ".a.M"), "within itself"),
    "a message that is nowhere": (("x", F.TYPE_MESSAGE, ".b.M"), ".b.M is not in the descriptor set"),
    "a group": (("x", F.TYPE_GROUP, ".a.N"), "a group"),
    "a name that is none": (("x y", F.TYPE_STRING), "no field has such a name"),
    "a name without end": (("x" * 201, F.TYPE_STRING), "longer than 200"),
}


@pytest.mark.parametrize(("field", "words"), NOT_READ.values(), ids=NOT_READ.keys())
def test_a_field_that_is_not_read_is_named(field: Field, words: str) -> None:
    found = query_of(messages_of(listed(M=[field], N=[("y", F.TYPE_STRING)])), ".a.M", frozenset())
    assert found.parameters == ()
    (note,) = found.notes
    assert note.startswith(f"query parameter `{field[0][:200]}` left out: ")
    assert words in note


def test_fields_of_messages_have_dotted_names_and_what_stands_elsewhere_is_not_asked_for() -> None:
    book: list[Field] = [("name", F.TYPE_STRING), ("by", F.TYPE_MESSAGE, ".a.Author")]
    author: list[Field] = [("name", F.TYPE_STRING), ("born_in", F.TYPE_INT32)]
    whole: list[Field] = [("book", F.TYPE_MESSAGE, ".a.Book"), ("page_size", F.TYPE_INT32), ("body", F.TYPE_STRING)]
    messages = messages_of(listed(M=whole, Book=book, Author=author))
    found = query_of(messages, ".a.M", frozenset(("book.name", "body")))
    assert [each.source for each in found.parameters] == ["book.by.name", "book.by.born_in", "page_size"]
    assert found.respelt == ("book.by.born_in", "book.by.bornIn")
    assert found.met == 5


def test_a_message_declared_within_another_is_found() -> None:
    file = FileDescriptorProto(name="x.proto")
    file.message_type.append(DescriptorProto(name="Outer", nested_type=[DescriptorProto(name="Inner")]))
    assert list(messages_of(FileDescriptorSet(file=[file]))) == [".Outer", ".Outer.Inner"]


def test_fields_without_end_are_cut_and_that_is_said() -> None:
    found = query_of(
        messages_of(listed(M=[(f"f{n}", F.TYPE_STRING) for n in range(MOST_FIELDS + 10)])), ".a.M", frozenset()
    )
    assert len(found.parameters) == MOST_FIELDS
    assert found.notes == (f"query parameters beyond the first {MOST_FIELDS}: too many",)


def test_messages_that_multiply_end_soon() -> None:
    wide: dict[str, list[Field]] = {
        f"M{n}": [(f"f{k}", F.TYPE_MESSAGE, f".a.M{n + 1}") for k in range(50)] for n in range(DEEPEST + 4)
    }
    found = query_of(messages_of(listed(**wide)), ".a.M0", frozenset())
    assert found.met <= MOST_FIELDS + DEEPEST
    assert any("beyond the first" in each for each in found.notes)


def test_messages_too_deep_are_named() -> None:
    deep: dict[str, list[Field]] = {f"M{n}": [("f", F.TYPE_MESSAGE, f".a.M{n + 1}")] for n in range(DEEPEST + 4)}
    found = query_of(messages_of(listed(**deep)), ".a.M0", frozenset())
    assert [f"within more than {DEEPEST - 1} others" in each for each in found.notes] == [True]


# ---------------------------------------------------------------- bindings


def _option(number: int, data: bytes) -> bytes:
    head = number << 3 | 2
    out = b""
    for value in (head, len(data)):
        rest = value
        while rest > 127:
            out += bytes([rest & 127 | 128])
            rest >>= 7
        out += bytes([rest])
    return out + data


def bound(rule: bytes, times: int = 1) -> Imported:
    """What methods become that take a message of two fields, with this annotation."""
    whole = listed(M=[("page_size", F.TYPE_INT32), ("kind", F.TYPE_STRING)])
    service = whole.file[0].service.add(name="S")
    for number in range(times):
        method = service.method.add(name=f"Do{number}", input_type=".a.M", output_type=".a.M")
        method.options.MergeFromString(_option(72295728, rule))
    return read_descriptors(whole.SerializeToString(), "x.binpb", None)


GET, POST, BODY = 2, 4, 7
BINDINGS: dict[str, tuple[bytes, list[str]]] = {
    "neither in the path nor the body": (_option(GET, b"/v1"), ["page_size", "kind"]),
    "one in the path": (_option(GET, b"/v1/{kind}"), ["page_size"]),
    "one in the body": (_option(POST, b"/v1") + _option(BODY, b"kind"), ["page_size"]),
    "all in the body": (_option(POST, b"/v1/{kind}") + _option(BODY, b"*"), []),
}


@pytest.mark.parametrize(("rule", "names"), BINDINGS.values(), ids=BINDINGS.keys())
def test_a_binding_takes_the_rest_from_the_query(rule: bytes, names: list[str]) -> None:
    (operation,) = [each for each in bound(rule).operations if isinstance(each.route, HttpRoute)]
    assert [each.source for each in operation.parameters] == names


def test_that_a_gateway_may_take_another_spelling_is_said_once() -> None:
    said = [each.message for each in bound(_option(GET, b"/v1"), times=3).findings if "pageSize" in each.message]
    assert len(said) == 1
    assert "`page_size`" in said[0]


def test_parameters_without_end_are_refused() -> None:
    fields: list[Field] = [(f"f{n}", F.TYPE_STRING) for n in range(MOST_FIELDS)]
    whole = listed(M=fields)
    service = whole.file[0].service.add(name="S")
    for number in range(201):
        method = service.method.add(name=f"Do{number}", input_type=".a.M", output_type=".a.M")
        method.options.MergeFromString(_option(72295728, _option(GET, b"/v%d" % number)))
    with pytest.raises(AuthoringError) as refused:
        read_descriptors(whole.SerializeToString(), "x.binpb", None)
    assert refused.value.code == "I113"


def test_a_binding_that_is_left_out_has_not_vanished() -> None:
    read_in = bound(_option(GET, b"/v1/{kind}:go"))
    assert read_in.refused == {("GET", "/v1/{}")}


def test_where_a_binding_cannot_be_read_no_http_endpoint_is_called_gone() -> None:
    assert bound(b"\xff\xff").kinds == {"grpc"}

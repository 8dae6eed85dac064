"""What an HTTP binding of a gRPC method takes from the query: the fields that are neither in its path nor its body.

The messages of a descriptor set, a request message and the fields that stand elsewhere go in; parameters come out, with
a note for every field that the language does not read. Bounded: at most `MOST_FIELDS` fields are looked at for one
binding, at most `DEEPEST` messages within each other.
Specification: google/api/http.proto ("HttpRule", transcoding); proto3 JSON (how texts of scalars are written);
policy_lang/meaning/schema.py (how they are read).

Decision: 2026-11-21. Every parameter is optional, as fields are. One of 64 bits without a sign is an `int` from 0 on:
what is beyond the language's integers is refused. Fractions, bytes, enumerations (by name or by number), times and
durations are strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from msgspec import Struct, field

from pdp.authoring.model import Parameter
from policy_lang.typesystem import INT_MAX

MOST_FIELDS = 500
DEEPEST = 8
LONGEST_NAME = 200

_F = FieldDescriptorProto
_SCALARS: Mapping[int, str] = {
    **dict.fromkeys((_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32), "int"),
    **dict.fromkeys((_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64), "int"),
    **dict.fromkeys((_F.TYPE_UINT32, _F.TYPE_FIXED32), "int 0..4294967295"),
    **dict.fromkeys((_F.TYPE_UINT64, _F.TYPE_FIXED64), f"int 0..{INT_MAX}"),
    _F.TYPE_BOOL: "bool",
    **dict.fromkeys((_F.TYPE_STRING, _F.TYPE_BYTES, _F.TYPE_ENUM, _F.TYPE_FLOAT, _F.TYPE_DOUBLE), "string"),
}
_WELL_KNOWN: Mapping[str, str] = {
    **dict.fromkeys((".google.protobuf.Int32Value", ".google.protobuf.Int64Value"), "int"),
    ".google.protobuf.UInt32Value": "int 0..4294967295",
    ".google.protobuf.UInt64Value": f"int 0..{INT_MAX}",
    ".google.protobuf.BoolValue": "bool",
    **{
        f".google.protobuf.{name}": "string"
        for name in ("StringValue", "BytesValue", "FloatValue", "DoubleValue", "Timestamp", "Duration", "FieldMask")
    },
}
"""Messages whose JSON is a single value."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_STRUCTURED = frozenset(f".google.protobuf.{name}" for name in ("Any", "Struct", "Value", "ListValue"))


class Query(Struct, frozen=True):
    """`respelt` is a parameter with the name that proto3 JSON gives it where that is another; `met` counts fields."""

    parameters: tuple[Parameter, ...]
    notes: tuple[str, ...]
    respelt: tuple[str, str] | None
    met: int


def text_of(value: str | bytes) -> str:
    """A text of a descriptor set, which protobuf gives as bytes where it is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def messages_of(listed: FileDescriptorSet) -> dict[str, DescriptorProto]:
    """Every message of a set by its full name, which begins with a dot; of two of one name the first."""
    found: dict[str, DescriptorProto] = {}
    for file in listed.file:
        within = f".{text_of(file.package)}" if file.package else ""
        todo = [(within, message) for message in reversed(file.message_type)]
        while todo:
            outer, message = todo.pop()
            name = f"{outer}.{text_of(message.name)}"
            found.setdefault(name, message)
            todo += ((name, nested) for nested in reversed(message.nested_type))
    return found


def query_of(messages: Mapping[str, DescriptorProto], request: str, elsewhere: frozenset[str]) -> Query:
    """The parameters that fields of `request` are, but for those whose dotted name is `elsewhere`."""
    look = _Look(messages, elsewhere)
    _message(look, request, (), (request,))
    return Query(tuple(look.parameters.values()), tuple(look.notes), look.respelt, look.met)


class _Look(Struct):
    """The set, and what was found of one binding so far."""

    messages: Mapping[str, DescriptorProto]
    elsewhere: frozenset[str]
    parameters: dict[str, Parameter] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    respelt: tuple[str, str] | None = None
    met: int = 0

    def leave_out(self, name: str, why: str) -> None:
        self.notes.append(f"query parameter `{name[:LONGEST_NAME]}` left out: {why}")


def _message(look: _Look, type_: str, way: tuple[FieldDescriptorProto, ...], within: tuple[str, ...]) -> None:
    """The fields of a message at the end of `way`; the recursion ends, `within` being at most `DEEPEST`."""
    message = look.messages.get(type_)
    if message is None:
        name = ".".join(text_of(each.name) for each in way)
        look.leave_out(name or "*", f"the message {type_[:LONGEST_NAME]} is not in the descriptor set: add its file")
        return
    for each in message.field:
        here = (*way, each)
        name = ".".join(text_of(step.name) for step in here)
        if name in look.elsewhere:
            continue
        look.met += 1
        if look.met > MOST_FIELDS:
            if look.met == MOST_FIELDS + 1:
                look.notes.append(f"query parameters beyond the first {MOST_FIELDS}: too many")
            return
        _field(look, here, name, within)


def _field(look: _Look, way: tuple[FieldDescriptorProto, ...], name: str, within: tuple[str, ...]) -> None:
    each = way[-1]
    repeated = each.label == _F.LABEL_REPEATED
    named = text_of(each.type_name)
    if not _NAME.fullmatch(name):
        look.leave_out(name, "no field has such a name")
    elif len(name) > LONGEST_NAME:
        look.leave_out(name, f"its name is longer than {LONGEST_NAME} characters")
    elif each.type != _F.TYPE_MESSAGE:
        type_ = _SCALARS.get(each.type)
        if type_ is None:
            look.leave_out(name, "it is a group, or of a type that is not known")
        else:
            _take(look, way, name, f"set of {type_}" if repeated else type_)
    elif repeated:
        look.leave_out(name, "it repeats a message, or is a map, and the language reads single values and sets")
    elif named in _WELL_KNOWN:
        _take(look, way, name, _WELL_KNOWN[named])
    elif named in _STRUCTURED:
        look.leave_out(name, "it may hold anything, and the language reads single values and sets")
    elif named in within:
        look.leave_out(name, "it is a message within itself")
    elif len(within) == DEEPEST:
        look.leave_out(name, f"it is a message within more than {DEEPEST - 1} others")
    else:
        _message(look, named, way, (*within, named))


def _take(look: _Look, way: tuple[FieldDescriptorProto, ...], name: str, type_: str) -> None:
    look.parameters.setdefault(name, Parameter("query", name, type_, optional=True))
    respelt = ".".join(_json_names(way))
    if look.respelt is None and respelt != name:
        look.respelt = (name, respelt[:LONGEST_NAME])


def _json_names(way: tuple[FieldDescriptorProto, ...]) -> Iterator[str]:
    """The names that proto3 JSON has for fields; protoc writes them, other compilers may not."""
    for each in way:
        if each.json_name:
            yield text_of(each.json_name)
        else:
            first, *rest = text_of(each.name).split("_")
            yield first + "".join(word[:1].upper() + word[1:] for word in rest)

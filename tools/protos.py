"""The descriptors of our wire formats: made from `proto/`, compared, and held to the compatibility promise.

`proto/**/*.proto` go in; a serialised FileDescriptorSet comes out, every file after those it imports, without the
files of `google/protobuf/` (each protobuf runtime brings its own). Equal sources give equal bytes. The client of the
native API gets a set of its own, with the files of that API alone: it imports nothing else of the service.

    python tools/protos.py [--check | --breaking | --accept]

Exit codes: 0 written or sound, 1 different or breaking (named on standard error), 2 the sources do not compile.
The promise stands in proto/README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "proto"
DESCRIPTORS = ROOT / "pdp" / "transports" / "descriptors.binpb"
CLIENT_DESCRIPTORS = ROOT / "pdp" / "client" / "descriptors.binpb"
BASELINE = SOURCES / "baseline.binpb"

NATIVE = "portcullis/v1/"
RUNTIME = "google/protobuf/"


class SourceError(Exception):
    """The .proto files do not compile; protoc has said why on standard error."""


def compile_sources(sources: Path) -> bytes:
    """The serialised FileDescriptorSet of every .proto file below `sources`. Errors: SourceError."""
    names = sorted(path.relative_to(sources).as_posix() for path in sources.rglob("*.proto"))
    if not names:
        raise SourceError(f"no .proto file below {sources}")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.binpb"
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{sources}", "--include_imports"]
        if subprocess.run([*protoc, f"--descriptor_set_out={out}", *names], check=False).returncode != 0:
            raise SourceError(f"the files below {sources} do not compile")
        whole = FileDescriptorSet.FromString(out.read_bytes())
    ours = FileDescriptorSet(file=[file for file in whole.file if not file.name.startswith(RUNTIME)])
    return ours.SerializeToString(deterministic=True)


def native_only(descriptors: bytes) -> bytes:
    """Of a serialised FileDescriptorSet the files of the native API, which import no others."""
    whole = FileDescriptorSet.FromString(descriptors)
    native = FileDescriptorSet(file=[file for file in whole.file if file.name.startswith(NATIVE)])
    return native.SerializeToString(deterministic=True)


def breaking_changes(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """What `after` takes away from who relied on `before`: one sentence a change, sorted; empty means none."""
    return sorted(
        [
            *_compare_messages(_messages(before), _messages(after)),
            *_compare_enums(_enums(before), _enums(after)),
            *_compare_services(_services(before), _services(after)),
        ]
    )


def _messages(descriptors: FileDescriptorSet) -> dict[str, DescriptorProto]:
    found: dict[str, DescriptorProto] = {}
    for file in descriptors.file:
        for message in file.message_type:
            found.update(_nested(file.package, message))
    return found


def _nested(scope: str, message: DescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    name = f"{scope}.{message.name}"
    yield name, message
    for inner in message.nested_type:
        yield from _nested(name, inner)


def _enums(descriptors: FileDescriptorSet) -> dict[str, EnumDescriptorProto]:
    top = {f"{file.package}.{enum.name}": enum for file in descriptors.file for enum in file.enum_type}
    inner = {
        f"{name}.{enum.name}": enum for name, message in _messages(descriptors).items() for enum in message.enum_type
    }
    return top | inner


def _services(descriptors: FileDescriptorSet) -> dict[str, ServiceDescriptorProto]:
    return {f"{file.package}.{service.name}": service for file in descriptors.file for service in file.service}


def _compare_messages(before: Mapping[str, DescriptorProto], after: Mapping[str, DescriptorProto]) -> Iterator[str]:
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"message {name} is gone"
            continue
        now = {field.number: field for field in new.field}
        for field in old.field:
            where = f"field {name}.{field.name} = {field.number}"
            if field.number in now:
                yield from _compare_fields(where, _shape(old, field), _shape(new, now[field.number]))
            else:
                yield f"{where} is gone"


def _shape(message: DescriptorProto, field: FieldDescriptorProto) -> dict[str, str]:
    """Everything about a field that a reader or writer of it relies on, by what it is called in a report."""
    alone = field.proto3_optional or not field.HasField("oneof_index")
    return {
        "name": field.name,
        "JSON name": field.json_name,
        "type": field.type_name or FieldDescriptorProto.Type.Name(field.type),
        "label": FieldDescriptorProto.Label.Name(field.label) + (" optional" if field.proto3_optional else ""),
        "oneof": "none" if alone else message.oneof_decl[field.oneof_index].name,
    }


def _compare_fields(where: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for aspect, was in old.items():
        if new[aspect] != was:
            yield f"{where} has another {aspect}: {was} became {new[aspect]}"


def _compare_enums(
    before: Mapping[str, EnumDescriptorProto], after: Mapping[str, EnumDescriptorProto]
) -> Iterator[str]:
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"enumeration {name} is gone"
            continue
        now = {value.name: value.number for value in new.value}
        for value in old.value:
            if now.get(value.name) != value.number:
                yield f"value {name}.{value.name} = {value.number} is gone or has another number"


def _compare_services(
    before: Mapping[str, ServiceDescriptorProto], after: Mapping[str, ServiceDescriptorProto]
) -> Iterator[str]:
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            yield f"service {name} is gone"
            continue
        now = {method.name: _signature(method) for method in new.method}
        for method in old.method:
            if method.name not in now:
                yield f"method {name}/{method.name} is gone"
            elif now[method.name] != _signature(method):
                yield f"method {name}/{method.name} has another signature"


def _signature(method: MethodDescriptorProto) -> tuple[str, str, bool, bool]:
    return method.input_type, method.output_type, method.client_streaming, method.server_streaming


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; its exit code."""
    parser = argparse.ArgumentParser(description="make, compare and judge the descriptors of proto/")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="exit 1 when the committed descriptors are not current")
    mode.add_argument("--breaking", action="store_true", help="exit 1 on a change that breaks the baseline")
    mode.add_argument("--accept", action="store_true", help="write the baseline anew")
    chosen = parser.parse_args(arguments)
    try:
        current = compile_sources(SOURCES)
    except SourceError as error:
        return _report([str(error)], 2)
    made = {DESCRIPTORS: current, CLIENT_DESCRIPTORS: native_only(current)}
    if chosen.check:
        return _report([_stale(path) for path, data in made.items() if not _holds(path, data)], 1)
    if chosen.breaking:
        baseline = FileDescriptorSet.FromString(BASELINE.read_bytes())
        return _report(breaking_changes(baseline, FileDescriptorSet.FromString(current)), 1)
    for path, data in ({BASELINE: current} if chosen.accept else made).items():
        path.write_bytes(data)
    return 0


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _stale(path: Path) -> str:
    return f"{path.relative_to(ROOT)} is not what proto/ gives: run `python tools/protos.py`"


def _report(lines: Sequence[str], code: int) -> int:
    """Print the lines; the exit code: `code`, 0 where there is nothing to print."""
    for line in lines:
        print(line, file=sys.stderr)
    return code if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

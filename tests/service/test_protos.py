"""The committed descriptors are current, keep the promise, and every way to break it is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from tools.protos import (
    BASELINE,
    CLIENT_DESCRIPTORS,
    DESCRIPTORS,
    ROOT,
    SOURCES,
    SourceError,
    breaking_changes,
    compile_sources,
    native_only,
)

EXTERNAL = "envoy/service/auth/v3/external_auth.proto"


def current() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def part(whole: FileDescriptorSet, file: str, *names: str) -> Any:
    """A message of `file` by its name, and the names of those it is nested in before it."""
    found: Any = next(f for f in whole.file if f.name == file)
    for depth, name in enumerate(names):
        inner = found.message_type if depth == 0 else found.nested_type
        found = next(message for message in inner if message.name == name)
    return found


def field(whole: FileDescriptorSet, message: str, name: str) -> Any:
    return next(f for f in part(whole, EXTERNAL, message).field if f.name == name)


def drop(repeated: Any, name: str) -> None:
    kept = [item for item in repeated if item.name != name]
    assert len(kept) == len(repeated) - 1
    del repeated[:]
    repeated.extend(kept)


def test_the_committed_descriptors_are_what_the_sources_give() -> None:
    assert DESCRIPTORS.read_bytes() == compile_sources(SOURCES), "run `python tools/protos.py`"


def test_the_client_has_the_native_api_and_nothing_else() -> None:
    assert CLIENT_DESCRIPTORS.read_bytes() == native_only(DESCRIPTORS.read_bytes()), "run `python tools/protos.py`"
    files = FileDescriptorSet.FromString(CLIENT_DESCRIPTORS.read_bytes()).file
    assert [file.name for file in files] == ["portcullis/v1/decisions.proto"]
    assert list(files[0].dependency) == []


def test_what_is_no_allow_is_the_default_of_an_outcome() -> None:
    (native,) = FileDescriptorSet.FromString(CLIENT_DESCRIPTORS.read_bytes()).file
    outcome = next(enum for enum in native.enum_type if enum.name == "Outcome")
    assert {value.name: value.number for value in outcome.value} == {
        "OUTCOME_UNSPECIFIED": 0,
        "OUTCOME_ALLOW": 1,
        "OUTCOME_DENY": 2,
        "OUTCOME_STEP_UP": 3,
    }


def test_the_sources_break_nothing_of_the_baseline() -> None:
    assert breaking_changes(FileDescriptorSet.FromString(BASELINE.read_bytes()), current()) == []


@pytest.mark.parametrize("mode", ["--check", "--breaking"])
def test_the_command_agrees(mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "tools/protos.py", mode], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_source_that_does_not_compile_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message {}')
    with pytest.raises(SourceError):
        compile_sources(tmp_path)
    assert "broken.proto" in capfd.readouterr().err


def test_a_folder_without_sources_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        compile_sources(tmp_path)


def test_the_two_fields_that_must_never_be_written_are_reserved() -> None:
    whole = current()
    assert "error_response" in part(whole, EXTERNAL, "CheckResponse").reserved_name
    assert "dynamic_metadata" in part(whole, EXTERNAL, "OkHttpResponse").reserved_name


def _field_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, EXTERNAL, "DeniedHttpResponse").field, "body")


def _field_renumbered(whole: FileDescriptorSet) -> None:
    field(whole, "DeniedHttpResponse", "body").number = 9


def _field_renamed(whole: FileDescriptorSet) -> None:
    field(whole, "DeniedHttpResponse", "body").name = "text"


def _field_of_another_json_name(whole: FileDescriptorSet) -> None:
    field(whole, "DeniedHttpResponse", "body").json_name = "text"


def _field_retyped(whole: FileDescriptorSet) -> None:
    field(whole, "DeniedHttpResponse", "body").type = FieldDescriptorProto.TYPE_BYTES


def _field_of_another_message(whole: FileDescriptorSet) -> None:
    field(whole, "DeniedHttpResponse", "status").type_name = ".google.rpc.Status"


def _field_repeated(whole: FileDescriptorSet) -> None:
    field(whole, "DeniedHttpResponse", "body").label = FieldDescriptorProto.LABEL_REPEATED


def _field_single(whole: FileDescriptorSet) -> None:
    field(whole, "OkHttpResponse", "headers").label = FieldDescriptorProto.LABEL_OPTIONAL


def _field_with_presence(whole: FileDescriptorSet) -> None:
    denied = part(whole, EXTERNAL, "DeniedHttpResponse")
    denied.oneof_decl.add(name="_body")
    body = field(whole, "DeniedHttpResponse", "body")
    body.proto3_optional, body.oneof_index = True, 0


def _field_out_of_its_oneof(whole: FileDescriptorSet) -> None:
    field(whole, "CheckResponse", "ok_response").ClearField("oneof_index")


def _message_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, EXTERNAL).message_type, "OkHttpResponse")


def _nested_message_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, "envoy/service/auth/v3/attribute_context.proto", "AttributeContext").nested_type, "TLSSession")


def _enum_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, "envoy/type/v3/http_status.proto").enum_type, "StatusCode")


def _nested_enum_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, "envoy/config/core/v3/base.proto", "HeaderValueOption").enum_type, "HeaderAppendAction")


def _enum_value_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, "envoy/type/v3/http_status.proto").enum_type[0].value, "Gone")


def _enum_value_renumbered(whole: FileDescriptorSet) -> None:
    part(whole, "envoy/type/v3/http_status.proto").enum_type[0].value[1].number = 201


def _service_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, EXTERNAL).service, "Authorization")


def _method_gone(whole: FileDescriptorSet) -> None:
    drop(part(whole, EXTERNAL).service[0].method, "Check")


def _method_streams(whole: FileDescriptorSet) -> None:
    part(whole, EXTERNAL).service[0].method[0].server_streaming = True


def _method_returns_another(whole: FileDescriptorSet) -> None:
    part(whole, EXTERNAL).service[0].method[0].output_type = ".google.rpc.Status"


def _package_renamed(whole: FileDescriptorSet) -> None:
    part(whole, "google/rpc/status.proto").package = "google.rpc2"


BREAKING: dict[Callable[[FileDescriptorSet], None], str] = {
    _field_gone: "field envoy.service.auth.v3.DeniedHttpResponse.body = 3 is gone",
    _field_renumbered: "DeniedHttpResponse.body = 3 is gone",
    _field_renamed: "another name: body became text",
    _field_of_another_json_name: "another JSON name: body became text",
    _field_retyped: "another type: TYPE_STRING became TYPE_BYTES",
    _field_of_another_message: "another type: .envoy.type.v3.HttpStatus became .google.rpc.Status",
    _field_repeated: "another label: LABEL_OPTIONAL became LABEL_REPEATED",
    _field_single: "another label: LABEL_REPEATED became LABEL_OPTIONAL",
    _field_with_presence: "another label: LABEL_OPTIONAL became LABEL_OPTIONAL optional",
    _field_out_of_its_oneof: "another oneof: http_response became none",
    _message_gone: "message envoy.service.auth.v3.OkHttpResponse is gone",
    _nested_message_gone: "message envoy.service.auth.v3.AttributeContext.TLSSession is gone",
    _enum_gone: "enumeration envoy.type.v3.StatusCode is gone",
    _nested_enum_gone: "enumeration envoy.config.core.v3.HeaderValueOption.HeaderAppendAction is gone",
    _enum_value_gone: "value envoy.type.v3.StatusCode.Gone = 410 is gone",
    _enum_value_renumbered: "value envoy.type.v3.StatusCode.OK = 200 is gone or has another number",
    _service_gone: "service envoy.service.auth.v3.Authorization is gone",
    _method_gone: "method envoy.service.auth.v3.Authorization/Check is gone",
    _method_streams: "method envoy.service.auth.v3.Authorization/Check has another signature",
    _method_returns_another: "method envoy.service.auth.v3.Authorization/Check has another signature",
    _package_renamed: "message google.rpc.Status is gone",
}


@pytest.mark.parametrize("mutate", BREAKING, ids=lambda mutate: mutate.__name__.strip("_"))
def test_a_breaking_change_is_named(mutate: Callable[[FileDescriptorSet], None]) -> None:
    changed = current()
    mutate(changed)
    found = breaking_changes(current(), changed)
    assert any(BREAKING[mutate] in sentence for sentence in found), found


def _field_added(whole: FileDescriptorSet) -> None:
    part(whole, EXTERNAL, "DeniedHttpResponse").field.add(name="more", number=9, label=1, type=9, json_name="more")


def _message_added(whole: FileDescriptorSet) -> None:
    part(whole, EXTERNAL).message_type.add(name="More")


def _enum_value_added(whole: FileDescriptorSet) -> None:
    part(whole, "envoy/type/v3/http_status.proto").enum_type[0].value.add(name="Teapot", number=418)


def _method_added(whole: FileDescriptorSet) -> None:
    part(whole, EXTERNAL).service[0].method.add(name="More", input_type=".a", output_type=".b")


@pytest.mark.parametrize(
    "mutate",
    [_field_added, _message_added, _enum_value_added, _method_added],
    ids=lambda mutate: mutate.__name__.strip("_"),
)
def test_an_addition_breaks_nothing(mutate: Callable[[FileDescriptorSet], None]) -> None:
    changed = current()
    mutate(changed)
    assert breaking_changes(current(), changed) == []
    assert breaking_changes(changed, current()) != []


def test_a_new_world_keeps_nothing_of_the_old() -> None:
    gone = breaking_changes(current(), FileDescriptorSet())
    assert any("service" in sentence for sentence in gone)
    assert breaking_changes(FileDescriptorSet(), current()) == []

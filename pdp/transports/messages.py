"""The messages of ext_authz and of the native API: classes made from `descriptors.binpb`, in a pool of their own.

In: the descriptors that `tools/protos.py` makes from `proto/`. Out: one class for each message that we read or write.
INVARIANT: nothing is registered in protobuf's default pool, so that other stubs of the same file names (those of
grpcio-status, of an Envoy client) may be imported before or after, in any order.
The well-known types come from the protobuf runtime in use; their classes here have its conveniences, but are other
classes than those of the default pool.
Design: architecture.md "Why these dependencies".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2, descriptor_pool, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

AUTHORIZATION = "envoy.service.auth.v3.Authorization"
DECISIONS = "portcullis.v1.Decisions"
"""The full names of the services."""

Wire = Any
"""A message, or the class of one: their fields exist at run time only, out of sight of a type checker."""


def descriptor_files() -> tuple[bytes, ...]:
    """Every file of our own wire formats and what they import, serialised, each after those it imports."""
    runtime = (any_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
    ours = FileDescriptorSet.FromString((Path(__file__).parent / "descriptors.binpb").read_bytes())
    return (
        *(module.DESCRIPTOR.serialized_pb for module in runtime),
        *(file.SerializeToString() for file in ours.file),
    )


def new_pool(files: tuple[bytes, ...]) -> descriptor_pool.DescriptorPool:
    """A descriptor pool that holds these files and no other. TypeError where one does not fit the others."""
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file)
    return pool


_FILES = descriptor_files()
POOL = new_pool(_FILES)


def _classes() -> Iterator[Wire]:
    """The class of every message, and of every message within."""
    files = [POOL.FindFileByName(FileDescriptorProto.FromString(each).name) for each in _FILES]
    waiting = [each for file in files for each in file.message_types_by_name.values()]
    while waiting:
        descriptor = waiting.pop()
        waiting.extend(descriptor.nested_types)
        yield GetMessageClass(descriptor)


_KEPT = tuple(_classes())
"""A class that nobody holds is made anew by the next message that holds one of its messages."""


def _message(name: str) -> Wire:
    return GetMessageClass(POOL.FindMessageTypeByName(name))


CheckRequest: Wire = _message("envoy.service.auth.v3.CheckRequest")
CheckResponse: Wire = _message("envoy.service.auth.v3.CheckResponse")
HeaderValueOption: Wire = _message("envoy.config.core.v3.HeaderValueOption")

DecideRequest: Wire = _message("portcullis.v1.DecideRequest")
DecideResponse: Wire = _message("portcullis.v1.DecideResponse")
DecideBatchRequest: Wire = _message("portcullis.v1.DecideBatchRequest")
DecideBatchResponse: Wire = _message("portcullis.v1.DecideBatchResponse")
ExplainRequest: Wire = _message("portcullis.v1.ExplainRequest")
ExplainResponse: Wire = _message("portcullis.v1.ExplainResponse")
DecisionMessage: Wire = _message("portcullis.v1.Decision")
ExplanationMessage: Wire = _message("portcullis.v1.Explanation")

OVERWRITE: int = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
"""The `append_action` by which a header of ours replaces the client's."""

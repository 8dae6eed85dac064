"""Our messages stand beside any other stubs, whatever order they are loaded in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool

from pdp.transports.messages import (
    AUTHORIZATION,
    OVERWRITE,
    POOL,
    CheckRequest,
    CheckResponse,
    descriptor_files,
    new_pool,
)

ROOT = Path(__file__).resolve().parent.parent.parent

FOREIGN = """
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

def register(name, package, message):
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    field = file.message_type.add(name=message).field.add(name="theirs", number=900, label=1, type=9)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())

register("google/rpc/status.proto", "google.rpc", "Status")
register("envoy/service/auth/v3/external_auth.proto", "envoy.service.auth.v3", "CheckResponse")
register("envoy/config/core/v3/base.proto", "envoy.config.core.v3", "HeaderValue")
theirs = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName("google.rpc.Status"))
"""

OURS = """
from pdp.transports.messages import CheckResponse
"""

USE = """
ours = CheckResponse()
ours.status.code = 7
assert CheckResponse.FromString(ours.SerializeToString()).status.code == 7
assert theirs(theirs="x").theirs == "x"
assert not hasattr(ours.status, "theirs")
"""

ORDERS = {
    "theirs before ours": FOREIGN + OURS + USE,
    "ours before theirs": OURS + FOREIGN + USE,
}


@pytest.mark.parametrize("sentence", ORDERS)
def test_other_stubs_of_the_same_names_do_no_harm(sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ORDERS[sentence]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_of_ours_is_in_the_default_pool() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName("envoy/service/auth/v3/external_auth.proto")


def test_our_pool_knows_the_service() -> None:
    method = POOL.FindServiceByName(AUTHORIZATION).methods_by_name["Check"]
    assert method.input_type.full_name == CheckRequest.DESCRIPTOR.full_name
    assert method.output_type.full_name == CheckResponse.DESCRIPTOR.full_name


def test_a_header_is_overwritten_by_the_number_that_envoy_knows() -> None:
    assert OVERWRITE == 2


def test_well_known_types_work_in_our_pool() -> None:
    response = CheckResponse()
    response.dynamic_metadata["rule"] = "orders.own"
    assert dict(CheckResponse.FromString(response.SerializeToString()).dynamic_metadata) == {"rule": "orders.own"}


def test_an_empty_pool_knows_nothing_and_a_full_one_all() -> None:
    with pytest.raises(KeyError):
        new_pool(()).FindServiceByName(AUTHORIZATION)
    assert new_pool(descriptor_files()).FindServiceByName(AUTHORIZATION).full_name == AUTHORIZATION


def test_fields_we_do_not_declare_are_skipped() -> None:
    """Field 999 of CheckRequest and of its attributes, as an Envoy to come may send them."""
    unknown = b"\xba\x3e\x03new"
    known = CheckRequest()
    known.attributes.request.http.method = "GET"
    inner = known.attributes.SerializeToString() + unknown
    data = b"\x0a" + bytes([len(inner)]) + inner + unknown
    assert CheckRequest.FromString(data).attributes.request.http.method == "GET"

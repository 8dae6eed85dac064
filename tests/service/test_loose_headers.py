"""A policy that is newer than the files of its gateway: they set no header that they do not know, and none passes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pdp.runtime.acceptance import loose_headers
from pdp.runtime.bundle import bundle_of
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from tests.service.test_principals import CLAIMS, NOTES, again, decide

POLICY = """module m
token user { issuer "https://id.example"  claim sub: string }
service desk {
  audience "desk"
  host "desk.example"
  endpoint note GET /notes/u1
  endpoint plain GET /plain
}
allow all_of_it
  for any user
  on desk.note, desk.plain
  because "Users may"
require who_it_is
  for any user
  on desk.note
  must set header "x-user" to token.sub
  because "The desk asks who"
require nobody_else
  for any user
  on desk.note
  must remove header "x-role"
  because "The desk has its own"
"""
CALL = replace(NOTES, verified=CLAIMS)
PLAIN = replace(CALL, path="/plain")
SENT = (("x-role", "admin"),)

CALLS = {
    "any header is carried": (CALL, None, ("allow", "rule")),
    "both are carried": (CALL, {"x-user", "x-role"}, ("allow", "rule")),
    "both are carried, and one is sent": (replace(CALL, headers=SENT), {"x-user", "x-role"}, ("allow", "rule")),
    "one that is set is not": (CALL, {"x-role"}, ("deny", "capability.set_header")),
    "one that is removed is not": (CALL, {"x-user"}, ("deny", "capability.set_header")),
    "none is carried": (CALL, set(), ("deny", "capability.set_header")),
    "none is carried, where none is set": (PLAIN, set(), ("allow", "rule")),
    "none is carried, and a client sends one": (replace(PLAIN, headers=SENT), set(), ("deny", "header.loose")),
    "one is carried, and a client sends the other": (
        replace(PLAIN, headers=SENT), {"x-user"}, ("deny", "header.loose"),
    ),
    "one is carried, and a client sends it": (
        replace(PLAIN, headers=(("x-user", "root"),)), {"x-user"}, ("allow", "rule"),
    ),
    "one is sent in another spelling": (
        replace(PLAIN, headers=(("x.role", "admin"),)), {"x-user"}, ("deny", "header.alias"),
    ),
}  # fmt: skip


def _engine() -> Engine:
    return engine_of(bundle_of({"m.pol": POLICY.encode()}), planned=True)


@pytest.mark.parametrize("sentence", CALLS)
def test_it_is_decided(sentence: str) -> None:
    call, carried, wanted = CALLS[sentence]
    carries = None if carried is None else frozenset(carried)
    decision, record, _ = decide(replace(call, carries=carries), _engine())
    assert (decision.outcome, decision.reason) == wanted
    assert again(record, _engine()) == ("undecidable" if wanted[1].startswith("header.") else "same")


def test_it_is_said_of_each_gateway_which_headers_its_files_do_not_know() -> None:
    guarded = _engine().vocabulary.guarded_headers
    gateways = [("new", {"x-role", "x-user", "x-more"}), ("any", None), ("old", {"x-user"}), ("older", set())]
    assert loose_headers(guarded, gateways) == [
        "the files of the gateway old do not know the headers x-role: write them anew",
        "the files of the gateway older do not know the headers x-role, x-user: write them anew",
    ]

"""What `pdp decide` is asked: slips of the command line and of written requests, and what stands in for what lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Pdp

POLICY = """module mesh
token customer { issuer "https://id.example" claim sub: string }
token employee { issuer "https://staff.example" claim sub: string }
subject robot { type "robot" }
network office = 10.0.0.0/8
workload front = "spiffe://example/front"
service s {
  audience "s"
  host "s.example", "t.example"
  endpoint one GET /one
  endpoint near GET /near
  endpoint inner GET /inner
}
allow customers for any customer on s.one because "Customers read"
allow near_callers for any customer on s.near when request.ip in office because "From the office"
allow insiders for workload front on s.inner because "The front asks"
"""
CUSTOMER = ("--as", "customer", "--set", "sub=u1", "--set", "aud=s")
PRINCIPAL = {"kind": "token", "name": "customer", "claims": {"sub": "u1", "aud": "s"}}


@pytest.fixture
def decide(pdp: Pdp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pdp:
    """`pdp decide` in the folder of the policy."""
    (tmp_path / "mesh.pol").write_text(POLICY)
    monkeypatch.chdir(tmp_path)

    return lambda *arguments: pdp("decide", *arguments)


def _requested(**form: object) -> tuple[str, str]:
    Path("request.json").write_text(json.dumps(form))
    return "--request", "request.json"


def test_the_address_and_the_peer_of_a_call(decide: Pdp) -> None:
    near = ("GET", "https://s.example/near", *CUSTOMER)
    assert decide(*near, "--ip", "10.1.2.3").code == 0
    assert decide(*near, "--ip", "192.0.2.1").code == 1
    assert decide(*near).code == 1
    inner = ("GET", "https://s.example/inner")
    assert decide(*inner, "--peer", "spiffe://example/front").code == 0
    assert decide(*inner, "--peer", "spiffe://example/back").code == 1
    assert "address.peer" in decide(*inner, "--peer", "front").out


SLIPS: dict[str, tuple[tuple[str, ...], str]] = {
    "a kind that is none": (
        ("--as", "nobody"),
        "--as: no token kind `nobody`; there are `customer`, `employee` (C204)",
    ),
    "a subject, which is no token": (("--as", "robot"), "no token kind `robot`"),
    "a kind that is empty": (("--as", ""), "no token kind ``"),
}


@pytest.mark.parametrize(("words", "said"), SLIPS.values(), ids=SLIPS.keys())
def test_a_slip_is_bad_input_and_no_decision(words: tuple[str, ...], said: str, decide: Pdp) -> None:
    done = decide("GET", "https://s.example/one", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_written_request_with_a_kind_that_is_none_is_bad_input(decide: Pdp) -> None:
    for kind, said in (("token", "there are `customer`, `employee`"), ("subject", "there is `robot`")):
        asked = _requested(service="s", method="GET", path="/one", principal={"kind": kind, "name": "x"})
        done = decide(*asked)
        assert (done.code, done.out) == (2, "")
        assert f"request.json: `principal`: no {kind} kind `x`; {said}" in done.err


def test_a_policy_without_subjects_says_so(decide: Pdp) -> None:
    Path("mesh.pol").write_text(POLICY.replace('subject robot { type "robot" }\n', ""))
    done = decide(*_requested(action="read", principal={"kind": "subject", "name": "x"}))
    assert "no subject kind `x`; this policy declares none" in done.err


def test_a_request_without_a_host_has_the_first_of_its_service(decide: Pdp) -> None:
    call = {"method": "GET", "path": "/one", "principal": PRINCIPAL}
    assert decide(*_requested(service="s", **call)).code == 0
    assert decide(*_requested(service="s", host="t.example", **call)).code == 0
    assert "deny by route" in decide(*_requested(service="s", host="u.example", **call)).out


MISSING: dict[str, tuple[dict[str, object], str]] = {
    "a path": ({"service": "s", "method": "GET"}, "The request has no `path`."),
    "a method and a path": ({"service": "s"}, "The request has no `method` and no `path`."),
    "a host that no service stands for": ({"method": "GET", "path": "/one"}, "The request has no `host`."),
    "a service that is none": ({"service": "x", "method": "GET", "path": "/one"}, "The request has no `host`."),
    "a resource": ({"action": "read"}, "The request has no `resource.type` and no `resource.id`."),
    "the id of a resource": ({"action": "read", "resource": {"type": "a"}}, "The request has no `resource.id`."),
    "a resource of another form": (
        {"action": "read", "resource": {"type": "a", "id": "b", "c": 1}},
        "The resource of the request is no mapping of type, id and properties.",
    ),
}


@pytest.mark.parametrize(("form", "said"), MISSING.values(), ids=MISSING.keys())
def test_what_a_request_lacks_is_named(form: dict[str, object], said: str, decide: Pdp) -> None:
    done = decide(*_requested(**form))
    assert done.code == 1
    assert done.out.startswith("deny by path (request.missing)\n")
    assert said in done.out.splitlines()


def test_an_instant_of_yaml_needs_no_quotes(decide: Pdp) -> None:
    Path("request.yaml").write_text(
        "service: s\nmethod: GET\npath: /one\nnow: 2026-12-20T10:00:00Z\n"
        "principal: { kind: token, name: customer, claims: { sub: u1, aud: s } }\n"
    )
    done = decide("--request", "request.yaml", "--explain", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["at"] == "2026-12-20T10:00:00.000Z"


@pytest.mark.parametrize("beside", [("--service", "s"), ("--ip", "10.0.0.1"), ("--set", "a=b"), ("GET", "https://s/")])
def test_nothing_stands_beside_a_whole_request(beside: tuple[str, ...], decide: Pdp) -> None:
    done = decide(*_requested(service="s", method="GET", path="/one"), *beside)
    assert (done.code, "--request holds the whole request" in done.err) == (2, True)


UNREADABLE: dict[str, tuple[tuple[str, ...], str]] = {
    "a token": (
        ("GET", "https://s.example/one", "--token", "nosuch"),
        "error: cannot read the token in nosuch: No such file or directory (C207)\n",
    ),
    "a token that is a folder": (
        ("GET", "https://s.example/one", "--token", "."),
        "error: cannot read the token in .: Is a directory (C207)\n",
    ),
    "a request": (
        ("--request", "nosuch.json"),
        "error: cannot read the request in nosuch.json: No such file or directory (C203)\n",
    ),
}


@pytest.mark.parametrize(("words", "said"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_cannot_be_read_is_told_in_words(words: tuple[str, ...], said: str, decide: Pdp) -> None:
    done = decide(*words)
    assert (done.code, done.err) == (2, said)

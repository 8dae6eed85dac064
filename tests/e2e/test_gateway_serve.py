"""From `pdp new --gateway` to a call: a real gateway with the files as they are written, and a real service.

Each gateway in turn has its folder, with the tables that its `gateway.toml` says for `pdp.toml`; one service answers
all of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest
from msgspec import Struct

from pdp.cli import main
from pdp.gateway_files.files import Kind
from tests.support.command import run_pdp
from tests.support.gateways import Answer, Edge, await_routes, binary, running
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ServedPdp
from tests.support.raw_server import RawServer

PROGRAMS: dict[Kind, Path | None] = {
    "caddy": binary("PORTCULLIS_CADDY", "caddy"),
    "envoy": binary("PORTCULLIS_ENVOY", "envoy"),
    "haproxy": binary("PORTCULLIS_HAPROXY", "haproxy"),
    "nginx": binary("PORTCULLIS_NGINX", "nginx"),
    "traefik": binary("PORTCULLIS_TRAEFIK", "traefik"),
}
POLICY = """\
language 1
module shelf

token user {
  issuer "https://issuer.example"
  claim sub: string
  claim suspended: bool optional
}

service ledger {
  audience "ledger"
  host "ledger.example"
  endpoint read GET|POST /books/{book}
  endpoint old GET /old
  endpoint private GET /private/{book} scope "books.read"
  endpoint open GET /open
}

service other {
  audience "other"
  host "other.example"
  endpoint read GET /books/{book}
}

allow readers for any user on any endpoint because "-"

allow visitors for anyone on ledger.open because "-"

deny suspended for any user on any endpoint when token has suspended and token.suspended because "-"

deny gone for any user on ledger.old must answer 404 because "-"

require who for any user on any endpoint
  must set header "x-subject" to token.sub
  must remove header "x-mask"
  because "-"

require own for any user on ledger.private must issue token because "-"
"""
MINTING = "https://pdp.example"


class Shelf(Struct, frozen=True):
    """The running parts; `edges` by the kind of gateway."""

    served: ServedPdp
    issuer: TestIssuer
    edges: dict[Kind, Edge]

    def bearer(self, **claims: object) -> bytes:
        token = self.issuer.mint({"sub": "u1", "aud": "ledger", **claims}, int(time.time()))
        return b"authorization: Bearer " + token.encode()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("shelf")
    policies, issuer = folder / "policies", TestIssuer()
    policies.mkdir()
    (policies / "shelf.pol").write_text(POLICY.replace("https://issuer.example", issuer.url))
    served = ServedPdp(folder, policies, [issuer])
    with ExitStack() as stack:
        ledger, other = stack.enter_context(RawServer()), stack.enter_context(RawServer())
        edges: dict[Kind, Edge] = {}
        for kind, program in PROGRAMS.items():
            if program is not None:
                edges[kind] = Edge(free_port(), ledger, {"ledger": ledger, "other": other})
                _new(served, kind, folder / kind, edges[kind])
        with served.config.open("a") as config:
            config.write(f'\n[minting]\nurl = "{MINTING}"\n')
        stack.callback(served.stop)
        served.start()
        for kind, edge in edges.items():
            stack.enter_context(running(_command(kind, folder / kind), edge.port, folder / kind))
            await_routes(edge)
        yield Shelf(served, issuer, edges)


def _new(served: ServedPdp, kind: Kind, place: Path, edge: Edge) -> None:
    """The folder of a gateway, and its tables in the configuration of the service."""
    upstreams = [f"--upstream={name}=127.0.0.1:{each.port}" for name, each in edge.upstreams.items()]
    addresses = [f"--listen=127.0.0.1:{edge.port}", f"--pdp=127.0.0.1:{free_port()}", f"--name=edge-{kind}"]
    policies = f"--policies={served.folder / 'policies'}"
    with pytest.raises(SystemExit) as end, contextlib.redirect_stdout(io.StringIO()):
        main(["new", str(place), "--gateway", kind, policies, *addresses, *upstreams])
    assert not end.value.code
    with served.config.open("a") as config:
        config.write("\n" + (place / "gateway.toml").read_text())


def _command(kind: Kind, folder: Path) -> list[str]:
    program = str(PROGRAMS[kind])
    match kind:
        case "caddy":
            return [program, "run", "--config", "Caddyfile"]
        case "envoy":
            return [program, "-c", "envoy.json", "--concurrency", "1", "--use-dynamic-base-id"]
        case "haproxy":
            return [program, "-f", "haproxy.cfg"]
        case "nginx":
            as_root = "user root;" if os.geteuid() == 0 else ""
            return [program, "-p", str(folder), "-c", "nginx.conf", "-g", f"daemon off; {as_root}"]
        case _:
            return [program, "--configFile=traefik.yml"]


@pytest.fixture(params=PROGRAMS)
def kind(request: pytest.FixtureRequest) -> Kind:
    name: Kind = request.param
    if PROGRAMS[name] is None:
        pytest.skip(f"no {name}: make test installs what there is for this platform, and PORTCULLIS_* name others")
    return name


def ask(shelf: Shelf, kind: Kind, target: bytes, *lines: bytes, host: bytes = b"ledger.example") -> Answer:
    edge = shelf.edges[kind]
    edge.clear()
    return edge.call(target, *lines, host=host)


def test_an_allowed_call_passes_with_what_the_policy_sets(
    shelf: Shelf, kind: Kind, capfd: pytest.CaptureFixture[str]
) -> None:
    forged = (b"x-subject: evil", b"x-mask: evil", b"x-portcullis-decision: evil", b"x-forwarded-uri: /evil")
    answer = ask(shelf, kind, b"/books/b%20one?page=2", shelf.bearer(), *forged)
    assert answer.status == 200
    (passed,) = shelf.edges[kind].upstreams["ledger"].taken()
    assert passed.target == b"/books/b%20one?page=2"
    assert passed.all("x-subject") == ["u1"]
    assert passed.all("x-mask") == []
    (decision,) = passed.all("x-portcullis-decision")
    shown = run_pdp(capfd, "audit", "show", decision, "--config", shelf.served.config, "--json")
    assert shown.code == 0, shown.err
    assert f"edge-{kind}" in shown.out


REFUSED: dict[str, tuple[bytes, dict[str, object] | None, int, str]] = {
    "no credential": (b"/books/one", None, 401, "Bearer"),
    "a credential for another service": (b"/books/one", {"aud": "other"}, 403, ""),
    "what the policy denies": (b"/books/one", {"suspended": True}, 403, ""),
    "a path that is not declared": (b"/shelves", {}, 403, ""),
    "a path that can be read in two ways": (b"/books/one%2f..%2ftwo", {}, 403, ""),
    "a segment that is none": (b"/books/%2e%2e/two", {}, 403, ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_call_reaches_nothing(shelf: Shelf, kind: Kind, case: str) -> None:
    target, claims, status, challenge = REFUSED[case]
    lines = () if claims is None else (shelf.bearer(**claims),)
    answer = ask(shelf, kind, target, *lines)
    ours = answer.all("content-type") == ["application/problem+json"]
    assert answer.status == status if ours else answer.status == 400, answer
    assert not any(each.taken() for each in shelf.edges[kind].upstreams.values())
    if ours:
        assert json.loads(answer.body)["decision"] == answer.all("x-portcullis-decision")[0]
        assert answer.all("www-authenticate") == ([challenge] if challenge else [])


def test_an_answer_of_the_policy_is_given_where_the_gateway_can(shelf: Shelf, kind: Kind) -> None:
    assert ask(shelf, kind, b"/old", shelf.bearer()).status == (403 if kind == "nginx" else 404)


def credential(shelf: Shelf, kind: Kind) -> str | None:
    """The credential that the service behind was shown; None without one."""
    (passed,) = shelf.edges[kind].upstreams["ledger"].taken()
    found = passed.all("authorization")
    assert len(found) < 2
    return found[0] if found else None


def test_a_service_that_has_tokens_made_for_it_gets_one_and_not_the_callers(shelf: Shelf, kind: Kind) -> None:
    broad = shelf.bearer(scope="books.read books.write")
    assert ask(shelf, kind, b"/private/one", broad).status == 200
    scheme, _, token = (credential(shelf, kind) or "").partition(" ")
    assert scheme == "Bearer"
    with urllib.request.urlopen(f"http://127.0.0.1:{shelf.served.http_port}/.well-known/jwks.json") as published:
        keys = jwt.PyJWKSet.from_json(published.read().decode())
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, keys[header["kid"]], ["ES256"], issuer=MINTING, audience="ledger")
    assert header["typ"] == "at+jwt"
    assert (claims["scope"], claims["client_id"]) == ("books.read", "portcullis")
    assert claims["sub"] not in {"u1", ""}
    assert claims.keys() == {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope"}


def test_elsewhere_the_same_service_gets_the_callers_own(shelf: Shelf, kind: Kind) -> None:
    own = shelf.bearer()
    assert ask(shelf, kind, b"/books/one", own).status == 200
    assert credential(shelf, kind) == own.decode().removeprefix("authorization: ")


def test_an_anonymous_call_goes_on_without_a_credential(shelf: Shelf, kind: Kind) -> None:
    assert ask(shelf, kind, b"/open", b"x-portcullis-authorization: Bearer evil").status == 200
    assert credential(shelf, kind) is None


NOT_THEIRS: dict[str, tuple[str, dict[str, object], int]] = {
    "of an issuer that only says so": ("forged", {"scope": "books.read"}, 401),
    "as if it were made here": ("made", {"iss": MINTING, "scope": "books.read"}, 401),
    "for another service": ("good", {"aud": "other", "scope": "books.read"}, 403),
    "without the scope": ("good", {}, 403),
    "none": ("none", {}, 401),
}


@pytest.mark.parametrize("case", NOT_THEIRS)
def test_no_credential_that_is_not_the_callers_own_gets_a_token(shelf: Shelf, kind: Kind, case: str) -> None:
    how, claims, status = NOT_THEIRS[case]
    forger = TestIssuer(shelf.issuer.url)
    signed = (forger if how in {"forged", "made"} else shelf.issuer).mint(
        {"sub": "u1", "aud": "ledger", **claims}, int(time.time())
    )
    lines = () if how == "none" else (b"authorization: Bearer " + signed.encode(),)
    assert ask(shelf, kind, b"/private/one", *lines).status == status
    assert not any(each.taken() for each in shelf.edges[kind].upstreams.values())


def test_two_credentials_reach_nothing(shelf: Shelf, kind: Kind) -> None:
    assert ask(shelf, kind, b"/books/one", shelf.bearer(), shelf.bearer(sub="u2")).status in {400, 401}
    assert not any(each.taken() for each in shelf.edges[kind].upstreams.values())


@pytest.mark.parametrize("host", [b"elsewhere.example", b"other.example.evil.example"])
def test_a_host_of_no_service_is_refused_and_recorded(shelf: Shelf, kind: Kind, host: bytes) -> None:
    assert ask(shelf, kind, b"/books/one", shelf.bearer(), host=host).status in {401, 403}
    assert not any(each.taken() for each in shelf.edges[kind].upstreams.values())


def test_without_the_service_nothing_passes(shelf: Shelf) -> None:
    shelf.served.stop()
    try:
        for edge in shelf.edges.values():
            edge.clear()
            assert edge.call(b"/books/one", shelf.bearer()).status in {500, 502, 503, 504}
            assert not any(each.taken() for each in edge.upstreams.values())
    finally:
        shelf.served.start()

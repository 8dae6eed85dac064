"""Where tokens are made for services: each gateway's upstream gets the credential of the answer, and no other.

The gateways are real and have the files of `pdp new --gateway`; what answers them is what the service would write
(`forward_auth`), with a decision that the beginning of the path asks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from pdp.gateway_files.files import Kind, gateway_files
from pdp.gateway_files.setting import CREDENTIAL, Setting
from pdp.gateways import Gateway
from pdp.model import Decision, Minted
from pdp.transports import forward_auth
from policy_lang.verdict import Duties, Header
from tests.support.gateway_trials import PREFIX
from tests.support.gateways import GUARDED, Edge, binary
from tests.support.gateways import edge as running_edge
from tests.support.raw_server import RawServer, Received, Reply

PROGRAMS: dict[Kind, Path | None] = {
    "caddy": binary("PORTCULLIS_CADDY", "caddy"),
    "haproxy": binary("PORTCULLIS_HAPROXY", "haproxy"),
    "nginx": binary("PORTCULLIS_NGINX", "nginx"),
    "traefik": binary("PORTCULLIS_TRAEFIK", "traefik"),
}
EDGE = Gateway("edge", None, headers=frozenset({*GUARDED, CREDENTIAL}))
OLD = replace(EDGE, headers=frozenset(GUARDED))
"""The same gateway under tables that do not say that it takes the credential from the answer."""

ALLOW = Decision("allow", ("m.r",), "rule", id="d-1", duties=Duties(headers=(Header("x-subject", "u1"),)))
MADE = Minted("made.for.ledger", "j-1", "k-1", "ledger", 0, "d-1")
DECISIONS: dict[str, Decision] = {
    "/issues": replace(ALLOW, minted=MADE),
    "/refused": Decision("deny", ("m.d",), "rule", id="d-2", authenticated=True),
    "/failed": Decision("deny", ("internal",), "mint.no_key", id="d-3"),
}


def decide(received: Received) -> Reply:
    """What the service writes; `/old` is asked by the gateway of the older tables."""
    service = received.target.decode("latin-1").removeprefix(PREFIX).partition("?")[0]
    inquiry = forward_auth.read(received.headers, service, EDGE)
    path = inquiry.path or "/refused"
    if path.startswith("/old"):
        inquiry = forward_auth.read(received.headers, service, OLD)
    decision = next((each for begin, each in DECISIONS.items() if path.startswith(begin)), ALLOW)
    reply = forward_auth.write(decision, inquiry, {})
    return Reply(reply.status, reply.headers, reply.body)


def command(kind: Kind, folder: Path) -> list[str]:
    program = str(PROGRAMS[kind])
    match kind:
        case "caddy":
            return [program, "run", "--config", "Caddyfile"]
        case "haproxy":
            return [program, "-f", "haproxy.cfg"]
        case "nginx":
            as_root = "user root;" if os.geteuid() == 0 else ""
            return [program, "-p", str(folder), "-c", "nginx.conf", "-g", f"daemon off; {as_root}"]
        case _:
            return [program, "--configFile=traefik.yml"]


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Kind, Edge]]:
    with ExitStack() as stack:
        found: dict[Kind, Edge] = {}
        for kind, program in PROGRAMS.items():
            if program is None:
                continue

            def configured(setting: Setting, folder: Path, kind: Kind = kind) -> list[str]:
                for name, text in gateway_files(kind, replace(setting, credential=True), str(folder)).files.items():
                    (folder / name).write_text(text)
                return command(kind, folder)

            folder = tmp_path_factory.mktemp(kind)
            found[kind] = stack.enter_context(running_edge(configured, folder, RawServer(decide)))
        yield found


@pytest.fixture(params=PROGRAMS)
def kind(request: pytest.FixtureRequest) -> Kind:
    name: Kind = request.param
    if PROGRAMS[name] is None:
        pytest.skip(f"no {name}: make test installs what there is for this platform, and PORTCULLIS_* name others")
    return name


@pytest.fixture
def edge(edges: dict[Kind, Edge], kind: Kind) -> Edge:
    edges[kind].clear()
    return edges[kind]


def passed(edge: Edge) -> Received:
    (received,) = edge.upstreams["ledger"].taken()
    return received


def asked(edge: Edge) -> Received:
    (received,) = edge.asked.taken()
    return received


def test_the_made_token_takes_the_place_of_the_callers_which_the_check_sees(edge: Edge) -> None:
    assert edge.call(b"/issues", b"authorization: Bearer broad").status == 200
    assert asked(edge).all("authorization") == ["Bearer broad"]
    received = passed(edge)
    assert received.all("authorization") == ["Bearer made.for.ledger"]
    assert not any("broad" in value for _, value in received.headers)
    assert received.all("x-subject") == ["u1"]
    assert received.all("x-mask") == []


CREDENTIALS: dict[str, str] = {
    "a token": "Bearer broad",
    "a long one": f"Bearer {'a' * 6_000}",
    "another scheme": "Basic dTpw",
    "what a configuration language would read": "Bearer {header.host}$host%[src]${host}{{host}}\\1'",
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_the_callers_own_goes_on_as_it_was_sent_where_none_is_made(edge: Edge, case: str) -> None:
    value = CREDENTIALS[case]
    assert edge.call(b"/own", b"authorization: " + value.encode()).status == 200
    assert asked(edge).all("authorization") == [value]
    received = passed(edge)
    assert received.all("authorization") == [value]
    assert received.all("x-portcullis-authorization") == []


@pytest.mark.parametrize("size", [12_000, 16_000, 60_000])
def test_a_very_long_one_goes_on_whole_or_is_refused(edge: Edge, size: int) -> None:
    value = f"Bearer {'a' * size}"
    answer = edge.call(b"/own", b"authorization: " + value.encode())
    through = [each.all("authorization") for each in edge.upstreams["ledger"].taken()]
    assert (answer.status, through) == (200, [[value]]) or (answer.status >= 400 and not through)


def test_where_the_client_sends_none_none_goes_on(edge: Edge) -> None:
    assert edge.call(b"/own").status == 200
    assert asked(edge).all("authorization") == []
    assert passed(edge).all("authorization") == []


def test_where_the_answer_has_none_the_callers_stays_behind(edge: Edge) -> None:
    assert edge.call(b"/old", b"authorization: Bearer broad").status == 200
    assert asked(edge).all("authorization") == ["Bearer broad"]
    assert not any("broad" in value for _, value in passed(edge).headers)


FORGED: dict[str, bytes] = {
    "in capitals": b"AUTHORIZATION: Bearer evil",
    "a blank before the colon": b"authorization : Bearer evil",
    "folded": b"x-note: a\r\n authorization: Bearer evil",
    "a name of ours": b"x-portcullis-authorization: Bearer evil",
    "a name of ours with underscores": b"x_portcullis_authorization: Bearer evil",
    "a name of ours with dots": b"x.portcullis.authorization: Bearer evil",
    "a name of ours in capitals": b"X-PORTCULLIS-AUTHORIZATION: Bearer evil",
}


@pytest.mark.parametrize("case", FORGED)
@pytest.mark.parametrize("path", [b"/issues", b"/old"])
def test_no_forged_credential_reaches_a_service(edge: Edge, case: str, path: bytes) -> None:
    wanted = ["Bearer made.for.ledger"] if path == b"/issues" else []
    assert edge.call(path, FORGED[case]).status in {200, 400}
    for received in edge.upstreams["ledger"].taken():
        assert received.all("authorization") == wanted


@pytest.mark.parametrize("named", [b"authorization", b"Authorization", b"x-portcullis-authorization"])
def test_no_client_takes_the_made_token_away(edge: Edge, named: bytes) -> None:
    lines = (b"GET /issues HTTP/1.1", b"host: ledger.example", b"authorization: Bearer broad")
    edge.send(b"\r\n".join((*lines, b"connection: %s, close" % named)) + b"\r\n\r\n")
    assert asked(edge).all("authorization") in (["Bearer broad"], [])  # Traefik takes it from both
    assert passed(edge).all("authorization") == ["Bearer made.for.ledger"]


@pytest.mark.parametrize("path", [b"/refused", b"/failed"])
def test_a_refused_call_reaches_nothing(edge: Edge, path: bytes) -> None:
    assert edge.call(path, b"authorization: Bearer broad").status in {403, 503}
    assert asked(edge).all("authorization") == ["Bearer broad"]
    assert not any(each.taken() for each in edge.upstreams.values())


def test_two_credentials_arrive_as_two_or_not_at_all(edge: Edge) -> None:
    lines = (b"authorization: Bearer broad", b"authorization: Bearer evil")
    answer = edge.call(b"/own", *lines)
    questions = [each.all("authorization") for each in edge.asked.taken()]
    assert answer.status == 400 or questions == [["Bearer broad", "Bearer evil"]]
    for received in edge.upstreams["ledger"].taken():
        assert received.all("authorization") == []

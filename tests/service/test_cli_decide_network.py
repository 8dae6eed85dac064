"""`pdp decide --token`, also with --reach, where the keys of the token's issuer are asked for over a network."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pdp.config_identity import IssuerConfig
from pdp.errors import ConfigError
from pdp.identity.issuers import read_issuers
from pdp.identity.jwks import KeySet
from pdp.identity.network import Outside, trusted
from pdp.identity.once import KeysOnce, keys_once
from tests.support.certificates import TestAuthority
from tests.support.command import Done, Pdp
from tests.support.issuer_server import HOST, Answer, IssuerServer, certificate_for, saying, silent
from tests.support.issuing import TestIssuer
from tests.support.ports import free_port
from tests.support.process import ROOT
from tests.support.tokens import signer, token_of

ISSUER = "https://id.example"
CALL = ("GET", "https://s.example/open")
POLICY = """module m
token user {{
  issuer "{issuer}"
  claim sub: string
}}
service s {{
  audience "s"
  host "s.example"
  endpoint open GET /open
}}
allow users for any user on s.open because "Users may"
"""
MAX_STALE_S = 600
DOCUMENT = "/.well-known/openid-configuration"


class Served:
    """An issuer on a port, in a thread with a loop of its own: a command has one, too."""

    def __init__(self) -> None:
        self.server = IssuerServer({}, None)
        self._ready, self._thread = threading.Event(), threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.server:
            self._ready.set()
            await self._stop.wait()

    def up(self) -> None:
        self._thread.start()
        assert self._ready.wait(5)

    def down(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def publishes(self, *issuers: TestIssuer) -> None:
        keys = [key for issuer in issuers for key in issuer.key_set()["keys"]]
        self.server.answers["/keys"] = saying(json.dumps({"keys": keys}).encode())

    def asked(self) -> list[str]:
        return [each.target for each in self.server.asked]


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    made.up()
    yield made
    made.down()


class Place:
    """A configuration, a policy, and the state of a service that may have run on it."""

    def __init__(self, folder: Path, pdp: Pdp, served: Served, issuer: str, keys: str) -> None:
        self.folder, self.state = folder, folder / "state"
        self._pdp, self._served = pdp, served
        (folder / "policy").mkdir()
        (folder / "policy" / "m.pol").write_text(POLICY.format(issuer=issuer))
        table = f'[[issuers]]\nurl = "{issuer}"\nalgorithms = ["ES256"]\nmax_stale_s = {MAX_STALE_S}\n{keys}\n'
        (folder / "pdp.toml").write_text(f'state = "state"\npolicies = "policy"\n{table}')

    def decide(self, token: str, *more: str | Path, call: Sequence[str] = CALL) -> Done:
        return self._pdp(*self.words(token, *more, call=call))

    def words(self, token: str, *more: str | Path, call: Sequence[str] = CALL) -> list[str | Path]:
        file = self.folder / "token.jwt"
        file.write_text(token)
        return ["decide", *call, "--token", file, "--config", self.folder / "pdp.toml", *more]

    def keep(self, age_s: float) -> Path:
        """The file of the keys that a service fetched so long ago."""
        self.state.mkdir(mode=0o700)
        configured = [IssuerConfig(ISSUER, ("ES256",), jwks_url=f"{self._served.url}/keys")]

        async def run() -> None:
            issuers = read_issuers(configured)
            async with trusted(configured, issuers, self.state / "issuers", lambda *_: None) as trust:
                running = asyncio.ensure_future(trust.run())
                await trust.settled(5)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

        asyncio.run(run())
        (file,) = (self.state / "issuers").iterdir()
        self._served.server.asked.clear()
        set_age(file, age_s)
        return file


def set_age(file: Path, age_s: float) -> None:
    at = time.time() - age_s
    os.utime(file, (at, at))


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer(ISSUER)


@pytest.fixture
def place(tmp_path: Path, pdp: Pdp, served: Served, issuer: TestIssuer) -> Place:
    """An issuer whose keys are at a URL, which publishes them."""
    served.publishes(issuer)
    return Place(tmp_path, pdp, served, ISSUER, f'jwks_url = "{served.url}/keys"')


def mint(issuer: TestIssuer, **claims: Any) -> str:
    return issuer.mint({"sub": "u1", "aud": "s", **claims}, int(time.time()))


# ---------------------------------------------------------------- where keys come from


def test_without_anything_kept_the_issuer_is_asked_once(place: Place, served: Served, issuer: TestIssuer) -> None:
    done = place.decide(mint(issuer))
    assert (done.code, done.err) == (0, "")
    assert "allow by m.users (rule)" in done.out
    assert f"keys of {ISSUER}: asked for just now\n" in done.out
    assert served.asked() == ["/keys"]


def test_nothing_that_was_fetched_is_kept(place: Place, served: Served, issuer: TestIssuer) -> None:
    place.decide(mint(issuer))
    place.decide(mint(issuer))
    assert served.asked() == ["/keys", "/keys"]
    assert not place.state.exists()


def test_what_the_service_kept_is_used_and_nobody_is_asked(place: Place, served: Served, issuer: TestIssuer) -> None:
    file = place.keep(35)
    kept = file.read_bytes()
    done = place.decide(mint(issuer), "--json")
    assert (done.code, done.err) == (0, "")
    told = done.json["keys"]
    assert 35 <= told.pop("age_s") < 60
    assert told == {"issuer": ISSUER, "source": "kept", "failure": ""}
    assert served.asked() == []
    assert file.read_bytes() == kept


def test_with_an_issuer_that_is_down_what_the_service_kept_is_used(
    place: Place, served: Served, issuer: TestIssuer
) -> None:
    place.keep(35)
    served.down()
    done = place.decide(mint(issuer))
    assert (done.code, done.err) == (0, "")
    assert f"keys of {ISSUER}: kept by the service, 3" in done.out


def test_another_state_is_looked_into_where_it_is_named(place: Place, served: Served, issuer: TestIssuer) -> None:
    place.keep(35)
    elsewhere = place.folder / "elsewhere"
    place.state.rename(elsewhere)
    assert place.decide(mint(issuer), "--state", elsewhere, "--json").json["keys"]["source"] == "kept"
    assert place.decide(mint(issuer), "--json").json["keys"]["source"] == "asked"


NOT_USABLE: dict[str, Callable[[Path], object]] = {
    "too old": lambda file: set_age(file, MAX_STALE_S + 5),
    "of a time to come": lambda file: set_age(file, -60),
    "rubbish": lambda file: file.write_bytes(b"<html>"),
    "empty": lambda file: file.write_bytes(b""),
    "a set of no keys": lambda file: file.write_bytes(b'{"keys": []}'),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("why", NOT_USABLE)
def test_the_issuer_is_asked_where_what_was_kept_is(why: str, place: Place, served: Served, issuer: TestIssuer) -> None:
    file = place.keep(1)
    NOT_USABLE[why](file)
    before = file.read_bytes() if file.exists() else None
    done = place.decide(mint(issuer), "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["keys"] == {"issuer": ISSUER, "source": "asked", "age_s": 0, "failure": ""}
    assert served.asked() == ["/keys"]
    assert (file.read_bytes() if file.exists() else None) == before


def test_a_key_that_came_since_is_looked_for(place: Place, served: Served, issuer: TestIssuer) -> None:
    place.keep(35)
    later = TestIssuer(ISSUER, "k2")
    served.publishes(issuer, later)
    done = place.decide(mint(later), "--json")
    assert (done.code, done.json["keys"]["source"]) == (0, "asked")
    assert served.asked() == ["/keys"]


def test_a_key_that_nobody_has_refuses_after_one_question(place: Place, served: Served) -> None:
    place.keep(35)
    done = place.decide(mint(TestIssuer(ISSUER, "k2")), "--json")
    assert (done.code, done.json["reason"], done.json["keys"]["source"]) == (1, "token.key", "asked")
    assert served.asked() == ["/keys"]


def test_where_it_cannot_be_looked_for_what_was_kept_counts_and_that_is_said(place: Place, served: Served) -> None:
    place.keep(35)
    served.down()
    done = place.decide(mint(TestIssuer(ISSUER, "k2")))
    assert (done.code, done.err) == (1, "")
    assert "deny by token (token.key)" in done.out
    assert " s old; the issuer was asked in vain (fetch.unreachable)\n" in done.out


def test_a_forged_token_stays_refused_with_keys_at_hand(place: Place, served: Served) -> None:
    done = place.decide(mint(TestIssuer(ISSUER)), "--json")
    assert (done.code, done.json["reason"]) == (1, "token.signature")


def test_an_explained_decision_says_it_too(place: Place, issuer: TestIssuer) -> None:
    assert f"keys of {ISSUER}: asked for just now" in place.decide(mint(issuer), "--explain").out
    assert place.decide(mint(issuer), "--explain", "--json").json["keys"]["source"] == "asked"


def test_the_token_of_a_written_request_is_verified_like_any(place: Place, pdp: Pdp, issuer: TestIssuer) -> None:
    request = place.folder / "request.json"
    form = {"service": "s", "method": "GET", "path": "/open", "authorization": f"Bearer {mint(issuer)}"}
    request.write_text(json.dumps(form))
    done = pdp("decide", "--request", request, "--config", place.folder / "pdp.toml", "--json")
    assert (done.code, done.json["keys"]["source"]) == (0, "asked")


def test_keys_are_found_by_discovery(tmp_path: Path, pdp: Pdp, served: Served) -> None:
    issuer = TestIssuer(served.url)
    served.publishes(issuer)
    said = {"issuer": served.url, "jwks_uri": f"{served.url}/keys"}
    served.server.answers[DOCUMENT] = saying(json.dumps(said).encode())
    place = Place(tmp_path, pdp, served, served.url, "discovery = true")
    done = place.decide(mint(issuer))
    assert (done.code, done.err) == (0, "")
    assert f"keys of {served.url}: asked for just now" in done.out
    assert served.asked() == [DOCUMENT, "/keys"]


# ---------------------------------------------------------------- what asks nobody

UNASKED: dict[str, str] = {
    "of an issuer that is not configured": mint(TestIssuer("https://evil.example")),
    "of another algorithm": token_of(signer("EdDSA")),
    "of another type": token_of(signer("ES256"), {"typ": "JWT"}),
    "that brings a URL for its key": token_of(signer("ES256"), {"jku": "http://127.0.0.1/keys"}),
    "that names its key by a URL that is no name": token_of(signer("ES256"), {"kid": "http://127.0.0.1/\n"}),
    "that is none": "hello",
    "that is empty": "",
}


@pytest.mark.parametrize("what", UNASKED)
def test_nobody_is_asked_for_a_token(what: str, place: Place, served: Served) -> None:
    done = place.decide(UNASKED[what], "--json")
    assert (done.code, done.json["by"]) == (1, ["token"])
    assert "keys" not in done.json
    assert served.asked() == []


def test_nobody_is_asked_for_a_caller_that_is_only_said(place: Place, pdp: Pdp, served: Served) -> None:
    said = ("--as", "user", "--set", "sub=u1", "--set", "aud=s")
    done = pdp("decide", *CALL, *said, "--config", place.folder / "pdp.toml")
    assert done.code == 0
    assert "keys of" not in done.out
    assert served.asked() == []


# ---------------------------------------------------------------- reach


def test_reach_says_where_the_keys_came_from(place: Place, served: Served, issuer: TestIssuer) -> None:
    done = place.decide(mint(issuer), "--reach", call=())
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:3] == ["verified", f"issuer    {ISSUER}", "keys      asked for just now"]
    assert served.asked() == ["/keys"]


def test_reach_says_it_as_json_and_help_names_its_members(place: Place, pdp: Pdp, issuer: TestIssuer) -> None:
    place.keep(35)
    told = place.decide(mint(issuer), "--reach", "--json", call=()).json
    assert told["verified"] is True
    assert (told["keys"]["source"], told["keys"]["failure"]) == ("kept", "")
    assert 35 <= told["keys"]["age_s"] < 60
    words = set(pdp("decide", "--help").out.replace(",", " ").replace(":", " ").replace("(", " ").split())
    assert {"keys", *told["keys"], "kept", "asked"} <= words


def test_reach_asks_nobody_for_what_is_no_token_at_all(place: Place, served: Served) -> None:
    done = place.decide("hello", "--reach", call=())
    assert (done.code, done.out) == (2, "")
    assert "(C207)" in done.err
    assert served.asked() == []


# ---------------------------------------------------------------- no keys at all


@pytest.mark.parametrize("more", [(), ("--json",), ("--reach",), ("--reach", "--json")])
def test_without_keys_an_error_names_the_issuer_and_what_to_do(
    more: tuple[str, ...], place: Place, served: Served, issuer: TestIssuer
) -> None:
    served.down()
    done = place.decide(mint(issuer), *more, call=() if "--reach" in more else CALL)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: the keys of the issuer {ISSUER} cannot be had from {served.url}/keys (fetch.unreachable), and the "
        f"service has kept none in {place.state / 'issuers'} that count: see that {served.url}/keys answers with them, "
        "or name the state of the service with --state (C104)\n"
    )


IN_VAIN: dict[str, tuple[Answer, str]] = {
    "HTML": (saying(b"<html>"), "set.json"),
    "no keys": (saying(b'{"keys": []}'), "set.empty"),
    "an error": (saying(b"{}", 500), "fetch.status"),
    "a redirect": (saying(b"", 302, location="http://127.0.0.1/keys"), "fetch.redirect"),
}


@pytest.mark.parametrize("answer", IN_VAIN)
def test_an_issuer_is_asked_in_vain_that_answers(answer: str, place: Place, served: Served, issuer: TestIssuer) -> None:
    served.server.answers["/keys"], reason = IN_VAIN[answer]
    done = place.decide(mint(issuer))
    assert (done.code, done.out) == (2, "")
    assert f"({reason})" in done.err
    assert ISSUER in done.err
    assert served.asked() == ["/keys"]


def test_an_error_is_one_line_and_nothing_is_logged_beside_it(place: Place, served: Served, issuer: TestIssuer) -> None:
    place.keep(MAX_STALE_S + 5).write_bytes(b"rubbish")
    served.down()
    words = [str(word) for word in place.words(mint(issuer))]
    done = subprocess.run([sys.executable, "-m", "pdp", *words], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: the keys of the issuer {ISSUER} cannot be had from ")


# ---------------------------------------------------------------- the world it is asked in

AUTHORITY = TestAuthority()
A = json.dumps(TestIssuer(ISSUER).key_set()).encode()


async def loopback(_: str, __: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def private(_: str, __: int) -> Sequence[str]:
    return ["10.1.2.3"]


async def ask(
    configured: IssuerConfig, folder: Path, world: Outside, *, enough: bool = True, within_s: float = 5
) -> KeysOnce:
    return await keys_once(configured, folder, world, lambda _: enough, within_s)


def during(answers: Mapping[str, Answer], work: Callable[[IssuerServer], Awaitable[None]], *, tls: bool) -> None:
    async def run() -> None:
        async with IssuerServer(answers, certificate_for(AUTHORITY, HOST) if tls else None) as server:
            await work(server)

    asyncio.run(run())


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    file = tmp_path / "authorities.pem"
    file.write_bytes(AUTHORITY.pem)
    return file


def test_over_tls_the_rules_of_the_configuration_hold(tmp_path: Path, authorities: Path) -> None:
    async def work(server: IssuerServer) -> None:
        whole = IssuerConfig(
            ISSUER, ("ES256",), jwks_url=server.url("/keys"), networks=("127.0.0.0/8",), authorities=authorities
        )
        found = await ask(whole, tmp_path, Outside(resolve=loopback))
        assert (found.source, isinstance(found.keys, KeySet)) == ("asked", True)
        refused: dict[str, tuple[Outside, dict[str, Any]]] = {
            "(fetch.address), ": (Outside(resolve=private), {}),
            "`networks` of the issuer": (Outside(resolve=loopback), {"networks": ()}),
            "`authorities` of the issuer": (Outside(resolve=loopback), {"authorities": None}),
        }
        for words, (world, changes) in refused.items():
            fewer = IssuerConfig(**{name: getattr(whole, name) for name in IssuerConfig.__slots__} | changes)
            with pytest.raises(ConfigError) as raised:
                await ask(fewer, tmp_path, world)
            assert (raised.value.code, words in raised.value.detail) == ("C104", True), raised.value.detail
        assert len(server.asked) == 1

    during({"/keys": saying(A)}, work, tls=True)


def test_a_document_does_not_lead_to_a_host_that_is_not_named(tmp_path: Path, authorities: Path) -> None:
    async def work(server: IssuerServer) -> None:
        url = server.url("")
        said = {"issuer": url, "jwks_uri": server.url("/keys", "elsewhere.example")}
        server.answers[DOCUMENT] = saying(json.dumps(said).encode())
        configured = IssuerConfig(url, ("ES256",), discovery=True, networks=("127.0.0.0/8",), authorities=authorities)
        with pytest.raises(ConfigError, match=r"\(fetch\.host\).*`hosts` of the issuer"):
            await ask(configured, tmp_path, Outside(resolve=loopback))
        assert [each.target for each in server.asked] == [DOCUMENT]

    during({}, work, tls=True)


def test_an_issuer_that_says_nothing_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    async def work(server: IssuerServer) -> None:
        configured = IssuerConfig(ISSUER, ("ES256",), jwks_url=f"http://127.0.0.1:{server.port}/keys")
        began = time.monotonic()
        with pytest.raises(ConfigError, match=r"\(fetch\.timeout\)"):
            await ask(configured, tmp_path, Outside(), within_s=0.05)
        assert time.monotonic() - began < 4
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in left if "KeySource" in repr(task)]

    during({"/keys": silent}, work, tls=False)


def test_how_old_kept_keys_are_is_told_by_the_clock_of_the_host(tmp_path: Path) -> None:
    """They count for all ages from 0 to `max_stale_s`, and for no other."""

    async def work(server: IssuerServer) -> None:
        configured = IssuerConfig(
            ISSUER, ("ES256",), jwks_url=f"http://127.0.0.1:{server.port}/keys", max_stale_s=MAX_STALE_S
        )
        world = Outside()
        async with trusted([configured], read_issuers([configured]), tmp_path / "issuers", lambda *_: None) as trust:
            running = asyncio.ensure_future(trust.run())
            await trust.settled(5)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        (file,) = (tmp_path / "issuers").iterdir()
        written_s = file.stat().st_mtime
        for age_s, source in ((0, "kept"), (MAX_STALE_S - 1, "kept"), (MAX_STALE_S + 1, "asked"), (-1, "asked")):
            at = replace(world, wall_s=lambda age_s=age_s: written_s + age_s)
            found = await ask(configured, tmp_path / "issuers", at)
            assert (found.source, round(found.age_s)) == (source, age_s if source == "kept" else 0)

    during({"/keys": saying(A)}, work, tls=False)


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    port = free_port()
    configured = IssuerConfig(
        ISSUER, ("ES256",), jwks_url=f"https://{HOST}:{port}/keys", authorities=tmp_path / "nosuch.pem"
    )
    with pytest.raises(ConfigError, match=r"authorities .*nosuch\.pem of the issuer https://id\.example"):
        asyncio.run(ask(configured, tmp_path, Outside(resolve=loopback)))

"""The parts of the demo that show zero trust: keys that change, and what a service makes of the token it gets."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.demo.cast import EARLIER_STAFF_TOKEN, STAFF_TOKEN
from pdp.demo.files import Stage
from pdp.demo.issuer import Issuer, key_id, key_set, mint, new_issuer
from pdp.demo.ports import Ports, claim
from pdp.demo.prepare import Plan, write_files, write_staff_tokens
from pdp.demo.rotating import CLOCKS_DIFFER_S, KeyRing, StaffIssuer, first_ring, life_s, page, turned
from pdp.demo.service_token import ServiceSide, published_keys
from pdp.demo.upstream import running_upstream
from pdp.demo.web import Answered, Asked, serving
from pdp.identity.jwks import MOST_KEYS, KeySet, read_key_set
from pdp.model import Json

ROOT = Path(__file__).resolve().parents[2]
HOSTS = {"orders": "orders.shop.example", "payments": "payments.shop.example"}
MINTER = "https://pdp.shop.example"
KEYS_URL = "http://127.0.0.1:1/.well-known/jwks.json"


def kids(ring: KeyRing) -> set[str]:
    return {key["kid"] for key in json.loads(ring.published)["keys"]}


def rings(times: list[float], every_s: int) -> list[KeyRing]:
    """The keys at each of these times."""
    found = [first_ring(0, every_s)]
    for now in times:
        found.append(turned(found[-1], now))
    return found


class TestRotation:
    def test_the_key_that_follows_is_published_for_a_whole_period_before_it_signs(self) -> None:
        first = first_ring(0, 60)
        assert key_id(first.following) in kids(first)
        assert turned(first, 59.9) is first
        second = turned(first, 60)
        assert second.signer == first.following
        assert second.turns_at == 120

    def test_a_key_stays_published_until_its_last_token_is_over_for_clocks_that_differ_too(self) -> None:
        first = first_ring(0, 60)
        over = 60 + life_s(60) + CLOCKS_DIFFER_S
        ring = turned(first, 60)
        assert key_id(first.signer) in kids(ring)
        for now in range(120, over, 60):
            ring = turned(ring, now)
        assert key_id(first.signer) in kids(ring)
        assert key_id(first.signer) not in kids(turned(ring, over + 60))

    def test_a_turn_that_comes_hours_late_is_one(self) -> None:
        first = first_ring(0, 60)
        late = turned(first, 36_000)
        assert late.signer == first.following
        assert late.turns_at == 36_060

    @given(st.lists(st.floats(0, 400), min_size=1, max_size=12), st.integers(8, 120))
    def test_whatever_the_times_what_signs_was_published_before(self, steps: list[float], every_s: int) -> None:
        times = [sum(steps[: index + 1]) for index in range(len(steps))]
        for earlier, later in pairwise(rings(times, every_s)):
            assert key_id(later.signer) in kids(earlier) & kids(later)
            assert key_id(earlier.signer) in kids(later)
            assert later.before

    @pytest.mark.parametrize("every_s", [8, 60, 120])
    def test_the_set_is_one_that_the_service_takes_whole_however_long_it_goes_on(self, every_s: int) -> None:
        ring = rings([float(every_s * turn) for turn in range(1, 40)], every_s)[-1]
        read = read_key_set(ring.published)
        assert isinstance(read, KeySet)
        assert not read.refused
        assert len(read.usable) == len(kids(ring)) < MOST_KEYS / 2

    def test_the_page_names_every_published_key_once(self) -> None:
        ring = rings([60.0, 120.0, 180.0], 60)[-1]
        text = page(ring, 190, "http://127.0.0.1:1/keys")
        assert all(text.count(kid) == 1 for kid in kids(ring))
        assert f"signs now    {key_id(ring.signer)}  for 50 s more\n" in text
        assert f"signs next   {key_id(ring.following)}  published 10 s ago\n" in text

    def test_the_issuer_gives_the_page_and_the_set_and_nothing_else(self) -> None:
        now = [0.0]
        issuer = StaffIssuer(1, 60, lambda: now[0])
        assert not issuer.turn()
        now[0] = 61
        assert issuer.turn()
        assert issuer.answer(Asked("GET", "/keys", ())) == Answered(
            issuer.ring.published.decode(), "application/jwk-set+json"
        )
        assert key_id(issuer.ring.signer) in issuer.answer(Asked("GET", "/", ())).text
        assert issuer.answer(Asked("GET", "/keys/../private", ())).status == 404

    def test_after_a_turn_a_token_of_before_is_kept_and_the_new_ones_are_of_the_new_key(self, tmp_path: Path) -> None:
        stage, now = Stage(tmp_path / "s"), int(time.time())
        first = first_ring(0, 60)
        write_files(Plan(stage, ROOT / "policies" / "shop", None, Ports()), first, now)
        assert _kid(stage.tokens / EARLIER_STAFF_TOKEN) == key_id(first.before[0].issuer)
        told = (stage.tokens / STAFF_TOKEN).read_bytes()
        second = turned(first, 60)
        write_staff_tokens(stage, second, now + 60)
        assert (stage.tokens / EARLIER_STAFF_TOKEN).read_bytes() == told
        assert _kid(stage.tokens / EARLIER_STAFF_TOKEN) == key_id(first.signer)
        assert _kid(stage.tokens / STAFF_TOKEN) == _kid(stage.tokens / "sam-second-factor") == key_id(second.signer)


def _kid(path: Path) -> str:
    return str(jwt.get_unverified_header(path.read_text())["kid"])


MINTED = new_issuer(MINTER)


def token(issuer: Issuer = MINTED, *, life: int = 60, **claims: Json) -> str:
    now = int(time.time())
    named: Mapping[str, Json] = {"sub": "pairwise", "aud": "orders", "scope": "orders.read", **claims}
    return mint(issuer, named, now + min(0, life - 1), now + life, bytes)


def services(fetch: Callable[[], bytes] = lambda: key_set(MINTED)) -> ServiceSide:
    return ServiceSide(HOSTS, MINTER, KEYS_URL, fetch, time.time)


def refusing(error: Exception) -> Callable[[], bytes]:
    def fetch() -> bytes:
        raise error

    return fetch


class TestServiceSide:
    def test_a_token_for_the_service_is_shown_and_worth_nothing_at_another(self) -> None:
        title, *shown = services().told("orders.shop.example", f"Bearer {token()}")
        assert title == f"its token, verified by {KEYS_URL}:"
        assert shown[:4] == [f"  iss   {MINTER}", "  aud   orders", "  scope orders.read", "  sub   pairwise"]
        assert shown[4].startswith("  exp   20")
        assert shown[4].endswith((" in 60 s", " in 59 s"))
        assert shown[5:] == ["at orders: taken", "at payments: refused (audience doesn't match)"]

    def test_the_host_says_whose_token_it_should_be(self) -> None:
        assert services().told("Payments.shop.example:443", f"Bearer {token()}") == (
            "at payments: refused (audience doesn't match)",
            "at orders: taken",
        )

    @pytest.mark.parametrize(
        "wrong",
        {
            "the token of the caller's own issuer": lambda: token(new_issuer("https://id.shop.example")),
            "our name on a key that is not ours": lambda: token(new_issuer(MINTER)),
            "our key under another name": lambda: token(Issuer("https://evil.example", MINTED.key)),
            "one that is over": lambda: token(life=-60),
            "one without a name": lambda: token(sub=None),
            "unsigned": lambda: jwt.encode({"iss": MINTER, "aud": "orders"}, "", algorithm="none"),
            "cut off": lambda: token()[:-20],
            "nothing": lambda: "",
            "rubbish": lambda: "a.b.c",
        }.items(),
        ids=lambda each: each[0],
    )
    def test_of_a_token_that_is_not_verified_no_claim_is_shown(self, wrong: tuple[str, Callable[[], str]]) -> None:
        told = services().told("orders.shop.example", f"Bearer {wrong[1]()}")
        assert len(told) == 2
        assert all(line.startswith(("at orders: refused (", "at payments: refused (")) for line in told)

    @pytest.mark.parametrize(
        "fetch",
        {
            "nobody is there": refusing(ConnectionRefusedError("refused")),
            "no HTTP is spoken there": refusing(http.client.BadStatusLine("x")),
            "HTML": lambda: b"<html>",
            "a list": lambda: b"[]",
            "an object without keys": lambda: b"{}",
            "no keys": lambda: b'{"keys": []}',
            "keys that are none": lambda: b'{"keys": [1]}',
        }.items(),
        ids=lambda each: each[0],
    )
    def test_without_a_key_set_nothing_is_verified(self, fetch: tuple[str, Callable[[], bytes]]) -> None:
        (line,) = services(fetch[1]).told("orders.shop.example", f"Bearer {token()}")
        assert line.startswith(f"its token: nobody can verify it without the keys at {KEYS_URL}: ")

    @given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
    def test_nothing_that_a_header_can_hold_is_taken_or_raises(self, host: str, value: str) -> None:
        assert all(line.startswith("at ") and ": refused (" in line for line in services().told(host, value))

    def test_the_keys_are_asked_for_where_the_service_publishes_them(self) -> None:
        asked: list[Asked] = []

        def answer(call: Asked) -> Answered:
            asked.append(call)
            return Answered(key_set(MINTED).decode()) if len(asked) == 1 else Answered("later", status=503)

        with serving("the service", 0, answer) as port:
            fetch = published_keys(port)
            assert fetch() == key_set(MINTED)
            with pytest.raises(OSError, match="503"):
                fetch()
        assert [(call.method, call.target) for call in asked] == [("GET", "/.well-known/jwks.json")] * 2
        with pytest.raises(OSError, match="refused"):
            published_keys(claim(Ports(0, 0, 0, 0, 0)).http)()


class TestUpstream:
    def test_it_says_what_a_service_makes_of_the_token_and_does_not_show_it(self) -> None:
        value = f"Bearer {token()}"
        with running_upstream(0, services().told) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/x", headers={"Host": "orders.shop.example", "Authorization": value})
            shown = connection.getresponse().read().decode()
            connection.request("GET", "/x", headers={"Host": "orders.shop.example"})
            without = connection.getresponse().read().decode()
            connection.close()
        assert "\n\nits token, verified by " in shown
        assert shown.endswith("at orders: taken\nat payments: refused (audience doesn't match)\n")
        assert value not in shown
        assert "token" not in without

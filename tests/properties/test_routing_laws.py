"""Routing is what it says: the tree and its quick way find, of all patterns asked one by one, the most specific."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec.structs import replace

from policy_lang.ir import AnySegment, Capture, Endpoint, Fixed, Grpc, Http, Rest, Segment, Value
from policy_lang.meaning.patterns import capture_value
from policy_lang.meaning.routing import Router, RouteRefusal
from policy_lang.request import Path, canonical_path
from policy_lang.verdict import HttpCall
from tests.lang.programs import build, endpoint, service

INVENTORIES = 60
CALLS = 60

WORDS = ("a", "b", "17")
UUID = "6f1c7c1e-3f0e-4a57-9d5f-0d6c8c7c2b11"
ORDER = ("literal", "typed", "text", "opaque", "any", "rest")


def _pattern(rng: random.Random, *, plain: bool) -> tuple[Segment, ...]:
    """The segments of a pattern; of a plain one, words and captures of text."""
    segments: list[Segment] = []
    for place in range(rng.randint(0, 3)):
        match rng.randrange(5 if plain else 8):
            case 0 | 1 | 2:
                segments.append(Fixed(rng.choice(WORDS)))
            case 3 | 4:
                segments.append(Capture(f"c{place}", "string"))
            case 5:
                segments.append(Capture(f"c{place}", rng.choice(("int", "uuid", "opaque"))))
            case 6:
                segments.append(AnySegment())
            case _:
                return (*segments, Rest())
    return tuple(segments)


def _inventory(rng: random.Random) -> list[Endpoint]:
    """Endpoints of one service, none of which is as specific as another for one method and path."""
    found: dict[object, Endpoint] = {}
    alike = rng.random() < 0.5
    for number in range(rng.randint(1, 12)):
        empty = endpoint(f"s.e{number}", "/")
        segments, slash = _pattern(rng, plain=alike), rng.random() < 0.2
        kinds = tuple(each.text if isinstance(each, Fixed) else _kind(each) for each in segments)
        if rng.random() < 0.25:
            made = replace(empty, route=Grpc("p.S", rng.choice("MN")))
            found.setdefault(made.route, made)
            continue
        for methods in (("ANY",),) if rng.random() < 0.15 else ((m,) for m in rng.sample(("GET", "POST", "HEAD"), 2)):
            taken = {m for (_, k, s, m) in (key for key in found if isinstance(key, tuple)) if (k, s) == (kinds, slash)}
            if not taken & {"ANY", *methods} and not (taken and methods == ("ANY",)):
                made = replace(empty, id=f"{empty.id}{methods[0]}", route=Http(methods, segments, slash))
                found[("http", kinds, slash, methods[0])] = made
    return list(found.values())


def _kind(segment: Segment) -> str:
    match segment:
        case Fixed():
            return "literal"
        case Capture(_, "int" | "uuid"):
            return "typed"
        case Capture(_, "string"):
            return "text"
        case Capture():
            return "opaque"
        case AnySegment():
            return "any"
        case Rest():
            return "rest"


def _call(rng: random.Random) -> HttpCall:
    words = (*WORDS, "x", "-4", UUID)
    text = "/" + "/".join(rng.choice(words) for _ in range(rng.randint(0, 4)))
    if text != "/" and rng.random() < 0.15:
        text += "/"
    headers: dict[str, tuple[str, ...]] = {}
    if rng.random() < 0.25:
        text = f"/p.S/{rng.choice('MNO')}"
        headers = {"content-type": ("application/grpc",)} if rng.random() < 0.6 else {}
    path = canonical_path(text)
    assert isinstance(path, Path)
    return HttpCall(rng.choice(("GET", "GET", "POST", "HEAD", "PUT")), path, "", headers)


def _wanted(inventory: list[Endpoint], call: HttpCall) -> tuple[str, dict[str, Value]] | None:
    """The endpoint of a call by asking all of them; None where there is none."""
    grpc = call.headers.get("content-type") == ("application/grpc",) and call.method == "POST"
    best: tuple[object, str, dict[str, Value]] | None = None
    for each in inventory:
        found = _fit(each, call, grpc=grpc)
        if found is not None and (best is None or found[0] < best[0]):  # type: ignore[operator]
            best = (found[0], each.id, found[1])
    if best is None or best[2].get("refused"):
        return None
    return best[1], best[2]


def _fit(each: Endpoint, call: HttpCall, *, grpc: bool) -> tuple[object, dict[str, Value]] | None:
    """How specific a fitting endpoint is, least first, and its captures."""
    path = call.path
    if isinstance(each.route, Grpc):
        if path.segments != (each.route.service, each.route.method) or path.trailing_slash:
            return None
        return ((0, 0), not grpc, False), {} if grpc else {"refused": True}
    assert isinstance(each.route, Http)
    methods, segments = each.route.methods, each.route.segments
    if each.route.trailing_slash != path.trailing_slash:
        return None
    if not (call.method in methods or "ANY" in methods or (call.method == "HEAD" and "GET" in methods)):
        return None
    open_end = bool(segments) and isinstance(segments[-1], Rest)
    fixed = segments[:-1] if open_end else segments
    if len(path.segments) < len(fixed) or (not open_end and len(path.segments) != len(fixed)):
        return None
    captures: dict[str, Value] = {}
    for segment, written in zip(fixed, path.segments, strict=False):
        match segment:
            case Fixed(text) if text != written:
                return None
            case Capture(name, kind):
                value = capture_value(kind, written)
                if value is None:
                    return None
                captures[name] = value
    ranks = tuple(ORDER.index(_kind(segment)) for segment in segments)
    return (ranks, grpc, not (call.method in methods or "ANY" in methods)), captures


@pytest.mark.parametrize("number", range(INVENTORIES))
def test_a_call_is_routed_as_asking_every_pattern_would(number: int) -> None:
    rng = random.Random(f"routing {number}")
    inventory = _inventory(rng)
    router = Router.of(build([service("s")], inventory, []))
    for _ in range(CALLS):
        call = _call(rng)
        routed = router.route("s", call)
        found = None if isinstance(routed, RouteRefusal) else (inventory[routed[0]].id, dict(routed[1]))
        assert found == _wanted(inventory, call), (call.method, call.path.text, inventory)


def test_the_calls_of_the_law_find_endpoints_and_none_by_the_quick_way_and_the_other() -> None:
    met: Counter[str] = Counter()
    for number in range(INVENTORIES):
        rng = random.Random(f"routing {number}")
        inventory = _inventory(rng)
        for _ in range(CALLS):
            wanted = _wanted(inventory, _call(rng))
            if wanted is None:
                met["none"] += 1
                continue
            route = next(each.route for each in inventory if each.id == wanted[0])
            met[type(route).__name__] += 1
            met["captures" if wanted[1] else "no captures"] += 1
    assert min(met[word] for word in ("none", "Http", "Grpc", "captures", "no captures")) >= 20, met

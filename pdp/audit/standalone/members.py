"""The inputs of a record, every member of them: what the record says around its box is not said again in it.

A record and the inputs from its box come in, the inputs as if they said all themselves come out. What the absence of
a member means is written in pdp/audit/inputs.py; where it means nothing, it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdp.audit.standalone.reading import Json, ReceiptError, items

LETTERS = {
    "a": "answer", "d": "redact", "i": "issue_token", "r": "remove_header", "s": "set_header", "u": "step_up",
}  # fmt: skip
"""What a gateway can do, by its letter in `can`."""
OVER_HTTP, OTHERWISE = "airsu", "adirsu"
"""What it can do where nothing is said: of a call with a path, and of an action."""
OF_QUESTIONS = frozenset(
    {
        *("act", "at", "can", "claims", "ends", "facts", "headers", "kind", "multi", "now", "origin", "properties"),
        *("signals", "unread"),
    }
)
"""Members of a call that became a question, and of no other."""


def whole_members(leaf: Mapping[str, Json], inputs: Mapping[str, Json]) -> dict[str, Json]:
    """All members: `act` and `at` with the service before them, neither where the call never became a question;
    `ends` in Unix milliseconds; `can` in words. Errors: ReceiptError.
    """
    found, service, method = {**inputs}, leaf.get("sv"), leaf.get("m")
    if found.setdefault("service", service) is None:
        del found["service"]
        if service is None and "service" in inputs:
            raise ReceiptError("`service` of the inputs leaves to the record what it does not say")
    if method is not None and found.setdefault("method", method) == "other" and "method" not in inputs:
        raise ReceiptError("`method` of the inputs is absent, and the record shows none")
    asked_about = found.pop("for", service)
    if asked_about is not None:
        return found | of_question(asked_about, found, leaf)
    for name in sorted(OF_QUESTIONS & found.keys()):
        raise ReceiptError(f"`{name}` of the inputs is of a question, and the call never became one")
    return found


def of_question(service: Json, found: Mapping[str, Json], leaf: Mapping[str, Json]) -> dict[str, Json]:
    """The members that are not as they stand among the inputs, or do not stand there."""
    instant_us, ends = leaf.get("t"), found.get("ends")
    if type(instant_us) is not int or not isinstance(service, str):
        raise ReceiptError("the record has no instant, or `for` of the inputs is no service")
    if "multi" in found and found["multi"] is not True:
        raise ReceiptError("`multi` of the inputs is there, and not true")
    usual: dict[str, Json] = {
        "now": instant_us // 1000,
        "kind": leaf.get("pk"),
        "multi": False,
        "claims": {},
        "unread": [],
        "facts": [],
    }
    asked = {name: found.get(name, value) for name, value in usual.items()}
    if "act" in found:
        asked["act"] = [service, *items(found["act"])]
    else:
        host = found.get("at", found.get("host"))
        if not isinstance(host, str):
            raise ReceiptError("`at` of the inputs is no host, nor is the `host` that would stand for it")
        asked["at"] = [service, host]
    asked["can"] = able(found.get("can", OTHERWISE if "act" in found else OVER_HTTP))
    asked["origin"] = origin_of(found, leaf)
    if type(ends) is int:
        asked["ends"] = (instant_us // 1_000_000 + ends) * 1000
    return asked


def able(letters: Json) -> list[Json]:
    """What a row of letters says a gateway can do."""
    if not isinstance(letters, str) or [*letters] != sorted({*letters} & LETTERS.keys()):
        raise ReceiptError("`can` of the inputs is no row of letters that each stand for an ability")
    return [LETTERS[each] for each in letters]


def origin_of(found: Mapping[str, Json], leaf: Mapping[str, Json]) -> dict[str, Json]:
    """Where the call came from; true is what stands beside it, or in the record."""
    origin = found.get("origin", {})
    beside = {"ip": found.get("ip"), "peer": found.get("peer"), "gateway": leaf.get("gw")}
    if not isinstance(origin, dict):
        raise ReceiptError("`origin` of the inputs is no object")
    meant = {name: beside[name] if given is True and name in beside else given for name, given in origin.items()}
    for name in beside:
        if name in meant and not isinstance(meant[name], str):
            raise ReceiptError(f"`{name}` of the origin is not said")
    return meant

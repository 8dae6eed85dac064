"""Leaf and box read together: what is of another form, and what neither of them says, is an error by name."""

from __future__ import annotations

import json

import pytest

from pdp.audit.leaf import Leaf
from pdp.audit.replay import ReplayError, agrees, replay
from pdp.audit.replay_stated import Stated
from pdp.model import Json
from policy_lang.verdict import Verdict
from tests.support.replays import asks, engine, recorded


def _recorded() -> tuple[dict[str, Json], dict[str, Json]]:
    """The clear fields and the opened box of the record of a call."""
    entry = recorded(asks(), engine())
    return dict(entry.clear), json.loads(entry.inputs or b"")


def test_as_it_was_written_it_is_read() -> None:
    clear, sealed = _recorded()
    leaf, opened = Leaf("decision", "0" * 32, clear, None), json.dumps(sealed).encode()
    again = replay(leaf, opened, engine())
    assert isinstance(again, Verdict)
    assert agrees(leaf, opened, again)


NO_INPUTS = {"nothing": b"", "no JSON": b"{", "a list": b"[]", "a text": b'"x"', "a number": b"7", "null": b"null"}


@pytest.mark.parametrize("opened", NO_INPUTS.values(), ids=NO_INPUTS.keys())
def test_what_is_no_object_is_no_inputs(opened: bytes) -> None:
    with pytest.raises(ReplayError, match="the inputs are no"):
        Stated(opened, _recorded()[0])


BROKEN: dict[str, tuple[dict[str, Json], str]] = {
    "headers that are a list": ({"headers": []}, "`headers` of the inputs is no object"),
    "a header that is a text": ({"headers": {"x-device": "emu"}}, "the header `x-device`"),
    "a reading that is an object": ({"signals": {"shop.risk": {}}}, "the signal `shop.risk`"),
    "an origin whose peer is a number": ({"origin": {"peer": 1}}, "peer or gateway"),
    "an origin whose encryption is a word": ({"origin": {"tls": "yes"}}, "ip or tls"),
    "an origin whose peer nobody said": ({"peer": None, "origin": {"peer": True}}, "`peer` of the origin"),
    "capabilities that are numbers": ({"can": [1]}, "`can` of the inputs is no string"),
    "a capability that is none": ({"can": "ax"}, "`can` of the inputs"),
    "capabilities in another order": ({"can": "ia"}, "`can` of the inputs"),
    "a capability twice": ({"can": "aa"}, "`can` of the inputs"),
    "an action of two parts": ({"act": ["read", "document"]}, "`act` of the inputs"),
    "an action that is a text": ({"act": "read"}, "`act` of the inputs"),
    "an action of numbers": ({"act": [1, 2, 3]}, "`act` of the inputs"),
    "claims that are a list": ({"claims": []}, "kind, claims or facts"),
    "facts that are an object": ({"facts": {}}, "kind, claims or facts"),
    "a fact of two parts": ({"facts": [["shop.owns", []]]}, "a fact of the inputs"),
    "claims that were not read, as a text": ({"unread": "amr"}, "`unread` of the inputs"),
    "a kind that is a number": ({"kind": 1}, "kind, claims or facts"),
    "several audiences that are denied": ({"multi": False}, "`multi` of the inputs"),
    "several audiences in a word": ({"multi": "yes"}, "`multi` of the inputs"),
    "an instant that is a text": ({"now": "1"}, "`now` of the inputs"),
    "an instant that is a truth": ({"now": True}, "`now` of the inputs"),
    "a host that is a number": ({"at": 1}, "`at` of the inputs"),
    "a service that is a number": ({"for": 1}, "`for` of the inputs"),
    "a method that is a number": ({"method": 1}, "`method` of the inputs"),
    "what belongs to a question, where none was asked": ({"for": None}, "`claims` of the inputs stands there"),
}


@pytest.mark.parametrize(("changed", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_inputs_of_another_form_are_refused(changed: dict[str, Json], said: str) -> None:
    clear, sealed = _recorded()
    with pytest.raises(ReplayError, match=said):
        replay(Leaf("decision", "0" * 32, clear, None), json.dumps(sealed | changed).encode(), engine())


LACKING: dict[str, tuple[dict[str, Json], str, str]] = {
    "no host, nor a canonical one": ({}, "host", "`at` of the inputs"),
    "no instant anywhere": ({"t": None}, "", "no instant"),
    "an instant that is a text": ({"t": "1"}, "", "no instant"),
    "no method but that of another's invention": ({"m": "other"}, "", "`method` of the inputs is absent"),
    "no service, of a call that had a question": (
        {"sv": None},
        "",
        "stands there, of a call that never became a question",
    ),
    "no service, though it is left to the clear part": ({"sv": None}, "service", "`service` of the inputs"),
}


@pytest.mark.parametrize(("fields", "without", "said"), LACKING.values(), ids=LACKING.keys())
def test_what_neither_leaf_nor_box_says_is_an_error_by_name(fields: dict[str, Json], without: str, said: str) -> None:
    clear, sealed = _recorded()
    clear = {name: value for name, value in (clear | fields).items() if value is not None}
    kept = {name: value for name, value in sealed.items() if name != without}
    kept |= {"service": None} if without == "service" else {}
    with pytest.raises(ReplayError, match=said):
        replay(Leaf("decision", "0" * 32, clear, None), json.dumps(kept).encode(), engine())

"""The record: what is said in clear, what is sealed, and that it can always be written."""

from __future__ import annotations

import json

import pytest

from pdp.audit.leaf import encode
from pdp.audit.record import LONGEST, Evidence, context_entry, decision_entry, inputs_of, shape_of
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import Inquiry, Principal
from tests.support.cases import NOW, engine

SECRETS = {
    "sub": "canary-subject-1",
    "accounts": ["canary-account-2"],
    "email": "canary@example.org",
    "aud": "ledger",
    "jti": "canary-token-3",
}
SHAPES = {
    "literals of the inventory in clear": (("accounts", "a1", "entries"), "/accounts/{word}/entries"),
    "integers and ids by kind": (("7", "-7", "0b0a8f7e-1111-4222-8333-444455556666"), "/{int}/{int}/{uuid}"),
    "text that only looks like a number": (("7a", "\u0667", "1e3"), "/{word}/{word}/{word}"),
    "the root": ((), "/"),
    "no more than sixteen segments": (("x",) * 20, "/" + "/".join(["{word}"] * 16) + "/…"),
}


@pytest.mark.parametrize(("segments", "shape"), SHAPES.values(), ids=SHAPES.keys())
def test_an_undeclared_path_is_shown_by_shape(segments: tuple[str, ...], shape: str) -> None:
    assert shape_of(segments, engine()) == shape


def _asked(path: str, **changes: object) -> Inquiry:
    whole: dict[str, object] = {
        "service": "ledger",
        "method": "GET",
        "path": path,
        "host": "ledger.example",
        "headers": (),
        "gateway": "edge",
        "ip": "203.0.113.77",
        "request_id": "canary-request-4",
        "principal": Principal("token", "user", SECRETS, credential=b"x" * 32),
        **changes,
    }
    return Inquiry(**whole)  # type: ignore[arg-type]  # the members are an Inquiry's


def _entry(inquiry: Inquiry) -> tuple[str, bytes | None]:
    evaluation = Evaluator(engine, Identity(Verifier([])), service_from_host=False).evaluate(inquiry, NOW * 1_000_000)
    entry = decision_entry(evaluation.decision, evaluation.evidence, engine(), NOW * 1_000_000, "edge", None)
    return encode(entry.kind, "0" * 32, entry.clear, None).decode(), entry.inputs


PATHS = ("/accounts/canary-account-2", "/canary-path-5", "/accounts/canary-account-2/entries?limit=canary-6", "/a%2fb")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_that_came_with_the_call_stands_in_clear(path: str) -> None:
    clear, _ = _entry(_asked(path))
    assert "canary" not in clear
    assert "203.0.113" not in clear


def test_a_method_and_a_service_of_the_callers_own_invention_are_not_shown() -> None:
    clear, sealed = _entry(_asked("/health", method="CANARY", service="canary-service"))
    assert "anary" not in clear.lower().replace('"other"', "")
    assert b"canary-service" in (sealed or b"")


def test_who_calls_is_sealed_in_the_context_leaf() -> None:
    entry = context_entry(Principal("token", "user", SECRETS), _asked("/health"), 1)
    assert "canary" not in json.dumps(entry.clear)
    assert json.loads(entry.inputs or b"")["sub"] == "canary-subject-1"


def test_only_claims_that_the_cell_may_read_are_kept() -> None:
    _, sealed = _entry(_asked("/accounts/canary-account-2"))
    kept = json.loads(sealed or b"")
    assert "email" not in kept["claims"]
    assert "jti" not in kept["claims"]
    assert "email" in kept["unread"]


def test_bytes_that_are_no_text_and_texts_that_never_end_can_be_recorded() -> None:
    inquiry = _asked("/" + "x" * 100_000, host="h\udcff", request_id="r" * 100_000)
    stated = inputs_of(Evidence(inquiry, None, None, None))
    assert len(str(stated["path"])) == LONGEST["path"]
    assert stated["cut"] == ["host", "path", "rq"]
    assert json.dumps(stated).encode("utf-8")
    clear, sealed = _entry(inquiry)
    assert "path.too_long" in clear
    assert sealed is not None
    assert len(sealed) < 60_000 * 3 // 4 - 200


WORST = {
    "three bytes a character": "\u20ac",
    "four bytes": "\U0001f600",
    "a control": "\x01",
    "a quote": '"',
    "a backslash": "\\",
}


@pytest.mark.parametrize("character", WORST.values(), ids=WORST.keys())
def test_a_refusal_can_be_recorded_whatever_its_path_is_made_of(character: str) -> None:
    clear, sealed = _entry(_asked("/" + character * 16_000, host=character * 600, request_id=character * 600))
    assert '"by":["path"]' in clear
    assert sealed is not None
    assert len(sealed) < 40_000
    assert "path" in json.loads(sealed)["cut"]

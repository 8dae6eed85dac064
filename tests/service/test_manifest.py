"""pdp.audit.manifest: who the keys of a log are, as the anchor or a key before them says, and nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from pdp.audit.checkpoint import (
    CheckpointError,
    Verifier,
    open_checkpoint,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    verifier_of,
)
from pdp.audit.manifest import (
    ManifestError,
    Period,
    Statement,
    extended_manifest,
    first_manifest,
    open_statement,
    parse_manifest,
    sign_statement,
    statement_text,
)
from tests.support import second_tlog as tlog
from tests.support.logs import ORIGIN

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 6)]
ROOT_KEY = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
ROOT = verifier_of("root.example", ROOT_KEY)


def verifier(number: int, name: str = ORIGIN) -> Verifier:
    return verifier_of(name, KEYS[number])


def chained(number: int, from_s: int, signer: int | None = None, **changed: Any) -> bytes:
    """The statement about a key, by the key before it."""
    statement = structs.replace(Statement(ORIGIN, number, verifier(number), from_s, None), **changed)
    return sign_statement(statement, ORIGIN, KEYS[max(number - 1, 0) if signer is None else signer])


def rooted(number: int, from_s: int, until_s: int | None, key: Ed25519PrivateKey = ROOT_KEY) -> bytes:
    return sign_statement(Statement(ORIGIN, number, verifier(number), from_s, until_s), "root.example", key)


def seal(number: int, size: int, origin: str = ORIGIN) -> bytes:
    """The last checkpoint by a key."""
    return sign_checkpoint(origin, size, bytes([size]) * 32, KEYS[number])


CHAIN = extended_manifest(
    extended_manifest(first_manifest(chained(0, 100)), chained(1, 200), seal(0, 10)), chained(2, 300), seal(1, 20)
)
FROM_ROOT = extended_manifest(first_manifest(rooted(0, 100, 250)), rooted(1, 200, 350), seal(0, 10))


def test_without_a_manifest_the_anchor_is_the_one_key() -> None:
    found = parse_manifest(None, verifier(0))
    assert (found.origin, found.rooted) == (ORIGIN, False)
    assert found.periods == (Period(0, verifier(0), None, None, None, None),)


def test_a_chain_of_keys_each_good_until_the_next() -> None:
    found = parse_manifest(CHAIN, verifier(0))
    first, second = open_checkpoint(seal(0, 10), verifier(0)), open_checkpoint(seal(1, 20), verifier(1))
    assert (found.origin, found.rooted) == (ORIGIN, False)
    assert found.periods == (
        Period(0, verifier(0), 100, 200, None, first),
        Period(1, verifier(1), 200, 300, first, second),
        Period(2, verifier(2), 300, None, second, None),
    )


def test_keys_from_a_root_each_good_until_its_stated_end() -> None:
    found = parse_manifest(FROM_ROOT, ROOT)
    assert found.rooted
    assert [(each.from_s, each.until_s) for each in found.periods] == [(100, 250), (200, 350)]


def test_the_text_that_is_signed() -> None:
    statement = Statement(ORIGIN, 1, verifier(1), 200, None)
    key = tlog.vkey(ORIGIN, 1, KEYS[1].public_key().public_bytes_raw())
    assert statement_text(statement) == (
        f"portcullis log key/v1\nlog {ORIGIN}\nnumber 1\nkey {key}\nfrom 200\nuntil open\n"
    )
    note = chained(1, 200)
    assert tlog.is_signed(note, tlog.vkey(ORIGIN, 1, KEYS[0].public_key().public_bytes_raw()))
    assert open_statement(note, verifier(0)) == statement


def test_a_statement_is_no_checkpoint_and_a_checkpoint_no_statement() -> None:
    with pytest.raises(CheckpointError, match="A605"):
        open_checkpoint(chained(1, 200), verifier(0))
    with pytest.raises(ManifestError, match="no statement"):
        open_statement(seal(0, 10), verifier(0))


def test_a_log_named_by_digits_makes_no_difference_to_that() -> None:
    """Another reader takes extension lines: then the second line decides, and it is no number."""
    text, _ = tlog.split(sign_statement(Statement("12", 0, verifier(0, "12"), 1, None), "12", KEYS[0]))
    assert not text.split(b"\n")[1].isdigit()


def test_a_manifest_without_its_last_keys_admits_less() -> None:
    shorter = extended_manifest(first_manifest(chained(0, 100)), chained(1, 200), seal(0, 10))
    found = parse_manifest(shorter, verifier(0))
    assert [each.verifier for each in found.periods] == [verifier(0), verifier(1)]


def first(statement: bytes) -> bytes:
    return first_manifest(statement)


def second(statement: bytes, sealed: bytes | None = None) -> bytes:
    return extended_manifest(first(chained(0, 100)), statement, seal(0, 10) if sealed is None else sealed)


def third(statement: bytes, sealed: bytes) -> bytes:
    return extended_manifest(second(chained(1, 200)), statement, sealed)


def altered(data: bytes, change: Any) -> bytes:
    """The manifest with its JSON changed, in the spelling of ours."""
    value = json.loads(data)
    change(value)
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


REFUSED_CHAINS = {
    "empty": b"",
    "not JSON": b"{",
    "no keys": altered(CHAIN, lambda value: value.update(keys=[])),
    "another format": altered(CHAIN, lambda value: value.update(format=2)),
    "a field too many": altered(CHAIN, lambda value: value.update(more=1)),
    "another spelling": CHAIN + b"\n",
    "a field twice": CHAIN.replace(b'"format": 1', b'"format": 1,\n "format": 1', 1),
    "the first key left out": altered(CHAIN, lambda value: value["keys"].pop(0)),
    "a key in the middle left out": altered(CHAIN, lambda value: value["keys"].pop(1)),
    "keys in another order": altered(CHAIN, lambda value: value["keys"].reverse()),
    "a seal on the first key": altered(CHAIN, lambda value: value["keys"][0].update(seal=seal(0, 1).decode())),
    "no seal on the second key": altered(CHAIN, lambda value: value["keys"][1].update(seal=None)),
    "a first key signed by another": first(chained(0, 100, signer=1)),
    "a first key that states an end": first(chained(0, 100, until_s=900)),
    "a next key that signs for itself": second(chained(1, 200, signer=1)),
    "a next key signed by none of the log": second(chained(1, 200, signer=4)),
    "a third key signed by the first": third(chained(2, 300, signer=0), seal(1, 20)),
    "a key of another log": second(chained(1, 200, origin="other.example", verifier=verifier(1, "other.example"))),
    "a key whose name is not the log's": second(chained(1, 200, verifier=verifier(1, "other.example"))),
    "a number that skips one": second(chained(2, 200, signer=0)),
    "a key that begins with the one before": second(chained(1, 100)),
    "a key that begins before the one before": second(chained(1, 99)),
    "a chained key with a stated end": second(chained(1, 200, until_s=900)),
    "the first key again": third(chained(2, 300, verifier=verifier(0)), seal(1, 20)),
    "a checkpoint for a statement": second(seal(0, 10)),
    "a seal by the new key": second(chained(1, 200), seal(1, 10)),
    "a seal by an older key": third(chained(2, 300), seal(0, 20)),
    "a seal of no records": second(chained(1, 200), seal(0, 0)),
    "a seal no larger than the one before": third(chained(2, 300), seal(1, 10)),
    "a seal with a broken signature": second(chained(1, 200), seal(0, 10).replace(b"\n10\n", b"\n11\n")),
    "the chain of another first key": first(chained(0, 100, signer=3, verifier=verifier(3))),
}


@pytest.mark.parametrize("name", REFUSED_CHAINS)
def test_chains_that_are_not_believed(name: str) -> None:
    with pytest.raises(ManifestError, match="A641"):
        parse_manifest(REFUSED_CHAINS[name], verifier(0))


def test_our_own_changes_of_a_manifest_change_nothing_else() -> None:
    assert altered(CHAIN, lambda _: None) == CHAIN


REFUSED_UNDER_A_ROOT = {
    "a chain": CHAIN,
    "a first key signed by itself": first(chained(0, 100)),
    "a first key signed by another root": first(rooted(0, 100, 900, KEYS[4])),
    "a second key signed by the first": extended_manifest(first(rooted(0, 100, 250)), chained(1, 200), seal(0, 10)),
    "no end": first(rooted(0, 100, None)),
    "an end with the beginning": first(rooted(0, 100, 100)),
    "a key twice": extended_manifest(
        first(rooted(0, 100, 250)),
        sign_statement(Statement(ORIGIN, 1, verifier(0), 200, 350), "root.example", ROOT_KEY),
        seal(0, 10),
    ),
    "the root as a log key": extended_manifest(
        first(rooted(0, 100, 250)),
        sign_statement(Statement(ORIGIN, 1, verifier_of(ORIGIN, ROOT_KEY), 200, 350), "root.example", ROOT_KEY),
        seal(0, 10),
    ),
}


@pytest.mark.parametrize("name", REFUSED_UNDER_A_ROOT)
def test_what_a_root_did_not_sign_is_not_believed(name: str) -> None:
    with pytest.raises(ManifestError, match="A641"):
        parse_manifest(REFUSED_UNDER_A_ROOT[name], ROOT)


def test_a_key_signed_by_the_root_is_not_believed_of_a_chain() -> None:
    with pytest.raises(ManifestError, match="A641"):
        parse_manifest(FROM_ROOT, verifier(0))


def test_every_changed_byte_of_a_manifest_is_found() -> None:
    """Signatures cover the statements and seals, the one spelling the rest."""
    anchor, found = verifier(0), parse_manifest(CHAIN, verifier(0))
    for at in range(0, len(CHAIN), 7):
        changed = CHAIN[:at] + bytes([CHAIN[at] ^ 1]) + CHAIN[at + 1 :]
        with pytest.raises(ManifestError):
            assert parse_manifest(changed, anchor) != found


NEARLY = {
    "a line too many": "from 1\nuntil open\nmore",
    "a zero before a number": "from 01\nuntil open",
    "an end of 0": "from 1\nuntil 0",
    "a negative beginning": "from -1\nuntil open",
    "Arabic digits": "from \u0661\nuntil open",
    "no end": "from 1",
}


@pytest.mark.parametrize("text", NEARLY.values(), ids=NEARLY)
def test_a_signed_note_that_is_nearly_a_statement(text: str) -> None:
    vkey = tlog.vkey(ORIGIN, 1, KEYS[1].public_key().public_bytes_raw())
    note = sign_note(f"portcullis log key/v1\nlog {ORIGIN}\nnumber 1\nkey {vkey}\n{text}\n", ORIGIN, KEYS[0])
    with pytest.raises(ManifestError, match="no statement"):
        open_statement(note, parse_vkey(tlog.vkey(ORIGIN, 1, KEYS[0].public_key().public_bytes_raw())))

"""pdp.audit.policy: the tlog-policy file, read strictly; quorums, and since when they are met."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.checkpoint import CheckpointError, Signature, parse_vkey, sign_checkpoint
from pdp.audit.cosignature import Cosignature, WitnessKey, parse_witness_key
from pdp.audit.manifest import parse_manifest
from pdp.audit.policy import (
    MOST_OF_A_KIND,
    Group,
    Policy,
    TrustPolicyError,
    is_met,
    met_since,
    open_witnessed,
    parse_policy,
    trusts,
)
from tests.support import second_tlog as tlog
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY


def seed(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def vkey(number: int, kind: int = 4, name: str = "") -> str:
    return tlog.vkey(name or f"w{number}.example", kind, seed(number).public_key().public_bytes_raw())


def key(number: int) -> WitnessKey:
    return parse_witness_key(vkey(number))


def cosigned(number: int, time_s: int) -> Cosignature:
    return Cosignature(key(number), time_s, Signature("", b"", b""))


EXAMPLE = f"""# the example of the specification, two levels of groups
log {VKEY}

witness X1 {vkey(1)} https://x1.example/prefix
witness X2 {vkey(2)}
\twitness  X3\t{vkey(3)}\x20
group X-witnesses 2 X1 X2 X3

witness Y1 {vkey(4)}
witness Y2 {vkey(5)}
group Y-witnesses any Y1 Y2

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
POLICY = parse_policy(EXAMPLE.encode())


def test_the_example_of_the_specification() -> None:
    assert [each.verifier for each in POLICY.logs] == [parse_vkey(VKEY)]
    assert [(each.name, each.key, each.url) for each in POLICY.witnesses] == [
        (b"X1", key(1), "https://x1.example/prefix"),
        (b"X2", key(2), None),
        (b"X3", key(3), None),
        (b"Y1", key(4), None),
        (b"Y2", key(5), None),
    ]
    assert POLICY.groups == (
        Group(b"X-witnesses", 2, (b"X1", b"X2", b"X3")),
        Group(b"Y-witnesses", 1, (b"Y1", b"Y2")),
        Group(b"X-and-Y", 2, (b"X-witnesses", b"Y-witnesses")),
    )
    assert POLICY.quorum == b"X-and-Y"


@given(st.sets(st.integers(1, 6)))
def test_a_quorum_is_what_its_sentence_says(numbers: set[int]) -> None:
    """is_met(S) <=> |S n {1, 2, 3}| >= 2 and |S n {4, 5}| >= 1; a key the policy does not name (6) is of no weight."""
    wanted = len(numbers & {1, 2, 3}) >= 2 and len(numbers & {4, 5}) >= 1
    assert is_met(POLICY, {key(number) for number in numbers}) == wanted


def test_nobody_is_a_quorum_only_where_none_is_wanted() -> None:
    assert not is_met(POLICY, set())
    assert is_met(parse_policy(b"quorum none\n"), set())


def test_a_quorum_is_as_old_as_its_oldest_needed_member() -> None:
    assert met_since(POLICY, [cosigned(1, 10), cosigned(2, 30), cosigned(4, 20)]) == 10
    assert met_since(POLICY, [cosigned(1, 10), cosigned(2, 30), cosigned(3, 25), cosigned(4, 20)]) == 20
    assert met_since(POLICY, [cosigned(1, 10), cosigned(2, 30), cosigned(3, 25)]) is None
    assert met_since(POLICY, []) is None
    assert met_since(parse_policy(b"quorum none\n"), []) is None


def test_a_single_witness_is_a_quorum_by_its_name() -> None:
    policy = parse_policy(f"witness a {vkey(1)}\nwitness b {vkey(2)}\nquorum b\n".encode())
    assert is_met(policy, {key(2)})
    assert not is_met(policy, {key(1)})


def test_names_are_bytes() -> None:
    kelvin = f"witness \u212a {vkey(1)}\nwitness K {vkey(2)}\nquorum K\n".encode()
    assert not is_met(parse_policy(kelvin), {key(1)})
    latin = b"witness \xff " + vkey(1).encode() + b"\nquorum \xff\n"
    assert is_met(parse_policy(latin), {key(1)})


def test_a_policy_trusts_the_logs_it_names_or_leaves_that_to_others() -> None:
    assert trusts(POLICY, parse_vkey(VKEY))
    assert not trusts(POLICY, parse_vkey(tlog.vkey(ORIGIN, 1, OTHER_KEY.public_key().public_bytes_raw())))
    assert trusts(parse_policy(b"quorum none\n"), parse_vkey(VKEY))


W1 = f"witness a {vkey(1)}\n"
W2 = f"witness b {vkey(2)}\n"
REFUSED = {
    "empty": b"",
    "only a comment": b"# nothing\n",
    "no quorum": W1.encode(),
    "two quorums": f"{W1}quorum a\nquorum a\n".encode(),
    "a last line that was cut": f"{W1}quorum a".encode(),
    "a quorum that was cut to another name": f"{W1}{W2}group ab all a b\nquorum a".encode(),
    "a quorum of a name that comes later": f"quorum a\n{W1}".encode(),
    "a quorum of a name that nobody has": f"{W1}quorum z\n".encode(),
    "a quorum without a name": f"{W1}quorum\n".encode(),
    "a quorum with two names": f"{W1}{W2}quorum a b\n".encode(),
    "a group of nobody": f"{W1}group g all\nquorum g\n".encode(),
    "a group that names itself": f"{W1}group g any g\nquorum g\n".encode(),
    "a group that names a later one": f"{W1}group g any h\ngroup h any a\nquorum g\n".encode(),
    "a group of none": f"{W1}group g any none\nquorum g\n".encode(),
    "a member named twice": f"{W1}group g 2 a a\nquorum g\n".encode(),
    "a member of two groups": f"{W1}{W2}group g any a\ngroup h 2 a g\nquorum h\n".encode(),
    "a threshold of 0": f"{W1}group g 0 a\nquorum g\n".encode(),
    "a threshold above the members": f"{W1}{W2}group g 3 a b\nquorum g\n".encode(),
    "a threshold with a zero before it": f"{W1}group g 01 a\nquorum g\n".encode(),
    "a negative threshold": f"{W1}group g -1 a\nquorum g\n".encode(),
    "a threshold of Arabic digits": f"{W1}group g \u0661 a\nquorum g\n".encode(),
    "a witness named like another": f"{W1}witness a {vkey(2)}\nquorum a\n".encode(),
    "a witness named none": f"witness none {vkey(1)}\nquorum none\n".encode(),
    "a group named like a witness": f"{W1}{W2}group a any b\nquorum a\n".encode(),
    "one key under two names": f"{W1}witness b {vkey(1)}\nquorum a\n".encode(),
    "one key under two key names": f"{W1}witness b {vkey(1, name='other.example')}\nquorum a\n".encode(),
    "a log twice": f"log {VKEY}\nlog {VKEY}\nquorum none\n".encode(),
    "a log key as a witness": f"witness a {VKEY}\nquorum a\n".encode(),
    "a witness key as a log": f"log {vkey(1)}\nquorum none\n".encode(),
    "a key that is none": b"witness a b+c+d\nquorum a\n",
    "a witness without a key": b"witness a\nquorum a\n",
    "a word too many": f"witness a {vkey(1)} https://a.example more\nquorum a\n".encode(),
    "a word that is not known": f"{W1}threshold 1\nquorum a\n".encode(),
    "a keyword in capitals": f"{W1}QUORUM a\n".encode(),
    "a carriage return": f"{W1}quorum a\r\n".encode(),
    "an escape in a comment": f"# \x1b[2J\n{W1}quorum a\n".encode(),
    "a NUL": f"{W1}quorum a\n\0\n".encode(),
    "a DEL": f"{W1}quorum a\x7f\n".encode(),
    "more bytes than are read": b"#" * 300_000 + b"\nquorum none\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_no_policy(name: str) -> None:
    with pytest.raises(TrustPolicyError, match="A640"):
        parse_policy(REFUSED[name])


def test_the_line_is_named() -> None:
    with pytest.raises(TrustPolicyError, match="line 3 of the policy"):
        parse_policy(f"# one\n{W1}group g 9 a\nquorum g\n".encode())


def many(count: int) -> bytes:
    lines = [f"witness w{n} {vkey_of(n)}" for n in range(count)]
    return "\n".join([*lines, "quorum w0", ""]).encode()


def vkey_of(number: int) -> str:
    public = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")).public_key().public_bytes_raw()
    return tlog.vkey(f"w{number}", 4, public)


def test_so_many_witnesses_and_no_more() -> None:
    assert len(parse_policy(many(MOST_OF_A_KIND)).witnesses) == MOST_OF_A_KIND
    with pytest.raises(TrustPolicyError, match="one more than"):
        parse_policy(many(MOST_OF_A_KIND + 1))


CHECKPOINT = sign_checkpoint(ORIGIN, 9, bytes(32), KEY)
TEXT = CHECKPOINT.partition(b"\n\n")[0] + b"\n"
SUCCESSION = parse_manifest(None, parse_vkey(VKEY))
ONE: Policy = parse_policy(f"{W1}{W2}group g all a b\nquorum g\n".encode())


def lines(*times: tuple[int, int]) -> bytes:
    return b"".join(tlog.cosignature(TEXT, f"w{number}.example", seed(number), at) for number, at in times)


def test_a_witnessed_checkpoint_is_met_since_its_quorum() -> None:
    found = open_witnessed(CHECKPOINT + lines((1, 1000), (2, 2000), (3, 500)), SUCCESSION, ONE, now_s=2000)
    assert found.signed.checkpoint.size == 9
    assert [each.time_s for each in found.cosignatures] == [1000, 2000]
    assert found.since_s == 1000


WITHOUT_QUORUM = {
    "no cosignature": b"",
    "one of two": lines((1, 1000)),
    "a witness that is not of the policy": lines((1, 1000), (3, 1000)),
    "one from a time to come": lines((1, 1000), (2, 2301)),
}


@pytest.mark.parametrize("name", WITHOUT_QUORUM)
def test_without_a_quorum_there_is_no_since(name: str) -> None:
    assert open_witnessed(CHECKPOINT + WITHOUT_QUORUM[name], SUCCESSION, ONE, now_s=2000).since_s is None


def test_a_cosignature_over_another_checkpoint_refuses_the_note() -> None:
    other = tlog.cosignature(TEXT.replace(b"\n9\n", b"\n8\n"), "w1.example", seed(1), 1000)
    with pytest.raises(CheckpointError, match="A604"):
        open_witnessed(CHECKPOINT + other, SUCCESSION, ONE, now_s=2000)

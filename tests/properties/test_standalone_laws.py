"""What a stranger runs says what our own evaluator says: answers, paths, queries, routes, values, signatures, proofs.

The standalone program shares no code with the definition, so that each is a check of the other.
Source: policy_lang/meaning/reference.py; pdp/audit/standalone.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.audit.checkpoint import format_vkey, parse_vkey, sign_checkpoint
from pdp.audit.inputs import Evidence
from pdp.audit.leaf import MAX_LEAF_BYTES, LeafError, Sealed, encode, parse
from pdp.audit.manifest import (
    Statement,
    extended_manifest,
    first_manifest,
    parse_manifest,
    sign_statement,
)
from pdp.audit.merkle import inclusion_proof, leaf_hash, subtree_root
from pdp.audit.proof import TlogProof, encode_proof
from pdp.audit.record import decision_entry
from pdp.audit.replay_stated import ReplayError, Stated, whole_inputs
from pdp.audit.rotation import open_signed
from pdp.audit.standalone.derivation import derived, differences
from pdp.audit.standalone.members import whole_members
from pdp.audit.standalone.policy import Policy
from pdp.audit.standalone.reading import ReceiptError, UndecidedError, items
from pdp.audit.standalone.request import read_query, read_target
from pdp.audit.standalone.routing import Http, Paths, Refusal
from pdp.audit.standalone.signature import is_signed
from pdp.audit.standalone.signed_log import Period, index_of, periods_of, read_key, read_leaf, signed_by
from pdp.audit.standalone.typed_inputs import MisfitError, from_json, from_text
from pdp.errors import PdpError
from pdp.model import Decision, Inquiry, Json, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import Engine, load_engine
from policy_lang.ir import codec as ir_codec
from policy_lang.ir.declarations import written_relation
from policy_lang.ir.inventory import Relation
from policy_lang.meaning.facts import load_facts
from policy_lang.meaning.routing import Router, RouteRefusal
from policy_lang.meaning.schema import Misfit
from policy_lang.meaning.schema import from_json as defined_from_json
from policy_lang.meaning.schema import from_text as defined_from_text
from policy_lang.request import PathRefusal, QueryRefusal, canonical_path, decoded_path, parse_query
from policy_lang.typesystem import EnumType, IntType, Scalar, ScalarType, SetType
from policy_lang.verdict import HttpCall, Question, Verdict
from tests.support.generator.policies import draw_bundle
from tests.support.generator.pools import NOW_MS
from tests.support.generator.questions import Questioner

POLICIES, QUESTIONS = 12, 30


# ---------------------------------------------------------------- answers


def _decision(verdict: Verdict) -> Decision:
    return Decision(
        verdict.outcome,
        verdict.by,
        verdict.reason,
        verdict.subject,
        endpoint=verdict.endpoint,
        challenges=verdict.challenges,
        log=verdict.log,
        duties=verdict.duties,
        advice=verdict.advice,
        status=verdict.status,
        shadow=verdict.shadow,
        observed=verdict.observed,
        valid_until_ms=verdict.valid_until_ms,
    )


def _inquiry(question: Question) -> Inquiry:
    call = question.call
    if not isinstance(call, HttpCall):
        return Inquiry(question.service, None, None, None, (), "edge")
    target = call.path.text if call.path.query is None else f"{call.path.text}?{call.path.query}"
    return Inquiry(question.service, call.method, target, call.host, (), "edge")


def _compared(engine: Engine, policy: Policy, question: Question) -> str:
    """The outcome of one question, on which both agree; else why it was not compared."""
    call = engine.admit(question)
    decision = _decision(engine.explain(question, call))
    evidence = Evidence(_inquiry(question), Principal("anonymous"), question, engine.inputs(question, call))
    entry = decision_entry(decision, evidence, engine, NOW_MS * 1_000, "edge", None)
    if entry.inputs is None:
        return "minimal"
    clear, inputs = json.loads(json.dumps(entry.clear)), json.loads(entry.inputs)
    _assert_same_members(clear, inputs)
    try:
        verdict = derived(policy, clear, inputs)
    except UndecidedError as error:
        return "table" if "Casbin" in str(error) else "undecided"
    assert differences(clear, inputs, verdict) == [], f"{question}\n{decision}\n{verdict}"
    other = "deny" if decision.outcome == "allow" else "allow"
    assert differences({**clear, "d": other}, inputs, verdict) != []
    return decision.outcome


def _assert_same_members(clear: dict[str, Json], inputs: dict[str, Json]) -> None:
    """What is absent from the inputs means the same to both."""
    defined, own = whole_inputs(inputs, clear), whole_members(clear, inputs)
    if "at" in defined or "act" in defined:
        able = Stated(json.dumps(inputs).encode(), clear).inputs().capabilities
        defined = {"origin": {}, **defined, "can": [*sorted(able)]}
        own["can"] = [*sorted(map(str, items(own["can"])))]
    assert own == defined


CLEAR: dict[str, Json] = {"t": 1_000_000, "gw": "edge", "sv": "desk", "m": "GET", "pk": "user"}
BOX: dict[str, Json] = {"path": "/notes/7", "host": "desk.example"}
MEANT: dict[str, tuple[dict[str, Json], dict[str, Json]]] = {
    "the usual call": ({}, {}),
    "an action": ({}, {"act": ["read", "document", "7"]}),
    "a call that never became a question": ({}, {"for": None}),
    "a service that the gateway did not say": ({}, {"service": None}),
    "another service": ({}, {"for": "archive", "service": "archive"}),
    "a method of the caller's own": ({"m": "other"}, {"method": "BREW"}),
    "nobody who calls, though somebody is shown": ({}, {"kind": None}),
    "a canonical host, and instants of its own": ({}, {"at": "desk", "now": 7, "ends": -3, "host": "Desk"}),
    "a place that stands elsewhere": ({}, {"origin": {"ip": True, "gateway": True, "tls": True}, "ip": "::1"}),
    "no abilities": ({}, {"can": ""}),
    "all abilities": ({}, {"can": "adirsu", "multi": True}),
}


@pytest.mark.parametrize(("fields", "members"), MEANT.values(), ids=MEANT.keys())
def test_what_is_absent_means_the_same_to_both(fields: dict[str, Json], members: dict[str, Json]) -> None:
    _assert_same_members(CLEAR | fields, BOX | members)


MEANINGLESS: dict[str, tuple[dict[str, Json], dict[str, Json]]] = {
    "no instant": ({"t": None}, {}),
    "an instant that is a truth": ({"t": True}, {}),
    "a method that nothing shows": ({"m": "other"}, {}),
    "a service left to a record that has none": ({"sv": None}, {"service": None}),
    "a service that is a number": ({}, {"for": 7}),
    "no host": ({}, {"host": None}),
    "a canonical host that is a number": ({}, {"at": 7}),
    "claims of a call that never became a question": ({}, {"for": None, "claims": {}}),
    "one audience, stated": ({}, {"multi": False}),
    "an action that is a text": ({}, {"act": "read"}),
    "an ability that is none": ({}, {"can": "x"}),
    "an ability twice": ({}, {"can": "aa"}),
    "abilities in words": ({}, {"can": ["answer"]}),
    "an address that stands nowhere": ({}, {"origin": {"ip": True}}),
    "an origin that is a list": ({}, {"origin": []}),
}


@pytest.mark.parametrize(("fields", "members"), MEANINGLESS.values(), ids=MEANINGLESS.keys())
def test_neither_gives_a_meaning_to(fields: dict[str, Json], members: dict[str, Json]) -> None:
    clear = {name: value for name, value in (CLEAR | fields).items() if value is not None}
    with pytest.raises(ReceiptError):
        whole_members(clear, BOX | members)
    with pytest.raises(ReplayError):
        Stated(json.dumps(BOX | members).encode(), clear).inputs()


def test_the_standalone_evaluator_and_the_definition_agree() -> None:
    """differences(record(q, reference(q)), derived(record(q))) = [], over drawn policies and questions near them."""
    seen: Counter[str] = Counter()
    for seed in range(POLICIES):
        rng = random.Random(f"standalone {seed}")
        bundle = draw_bundle(rng)
        program = bundle.compiled().program
        engine = load_engine(bundle_of(bundle.files()), program, planned=False)
        policy, questioner = Policy(ir_codec.dump(program)), Questioner(program, engine.facts)
        for _ in range(QUESTIONS):
            seen[_compared(engine, policy, questioner.draw(rng))] += 1
            hostile = replace(questioner.hostile(rng), now_ms=NOW_MS)
            seen["hostile " + _compared(engine, policy, hostile)] += 1
    asked = POLICIES * QUESTIONS
    assert seen["allow"] > 0.2 * asked
    assert seen["deny"] > 0.2 * asked
    assert seen["step_up"] > 0.05 * asked
    assert seen["hostile deny"] > 0.2 * asked
    assert seen["table"] + seen["undecided"] + seen["minimal"] < 0.4 * asked


# ---------------------------------------------------------------- records

ID, COMMITMENT = "0123456789abcdef" * 2, "0123456789abcdef" * 4


def _leaf_to_both(data: bytes) -> dict[str, Json] | None:
    """What a leaf says, which is the same to both; None where it is none to either."""
    try:
        read = parse(data)
    except LeafError:
        with pytest.raises(ReceiptError):
            read_leaf(data)
        return None
    sealed = {} if read.sealed is None else {"in": read.sealed.box, "ic": read.sealed.commitment}
    defined = {**read.clear, "k": read.kind, "id": read.id, **sealed}
    assert read_leaf(data) == defined
    return defined


def _nested(depth: int) -> bytes:
    """A leaf with a value of so many lists within each other, of which the innermost is empty."""
    return b'{"a":%s%s,"id":"%s","k":"decision","v":1}' % (b"[" * depth, b"]" * depth, ID.encode())


def _with(written: str) -> bytes:
    """A leaf with a member of that spelling."""
    return f'{{"a":{written},"id":"{ID}","k":"decision","v":1}}'.encode()


LEAVES: dict[str, bytes] = {
    "a plain one": _with("[1,true,null,{}]"),
    "the largest integer": _with("18446744073709551615"),
    "the smallest integer": _with("-9223372036854775808"),
    "every escape": _with(r'"\"\\\b\f\n\r\t\u0000\u001f\u007f\u0080\u20ac\ud83d\ude00"'),
    "as deep as can be": _nested(15),
    "a sealed one": encode("answer.changed", ID, {"of": ID}, Sealed("", COMMITMENT)),
}
NO_LEAVES: dict[str, bytes] = {
    "a float": _with("1.5"),
    "a float that is whole": _with("1.0"),
    "an exponent": _with("1e3"),
    "minus nothing": _with("-0"),
    "no number": _with("NaN"),
    "without bounds": _with("-Infinity"),
    "an integer too large": _with("18446744073709551616"),
    "an integer too small": _with("-9223372036854775809"),
    "an integer of five thousand digits": _with("9" * 5_000),
    "half of a character": _with(r'"\ud83d"'),
    "half of a character in a name": _with(r'{"\ude00":1}'),
    "a letter raw": _with('"é"'),
    "a letter in capital digits": _with(r'"\u00E9"'),
    "a letter escaped for nothing": _with(r'"\u0041"'),
    "a slash escaped": _with(r'"\/"'),
    "DEL raw": _with('"\x7f"'),
    "a space": _with("[1, 2]"),
    "too deep": _nested(16),
    "a thousand deep": _nested(1_000),
    "a hundred thousand deep": _nested(100_000),
    "a member twice": _with('1,"a":1'),
    "members out of order": _with('1,"A":1'),
    "a version that is true": _with("1").replace(b'"v":1', b'"v":true'),
    "a version that is a float": _with("1").replace(b'"v":1', b'"v":1.0'),
    "another version": _with("1").replace(b'"v":1', b'"v":2'),
    "no version": _with("1").replace(b',"v":1', b""),
    "no kind": _with("1").replace(b'"k":"decision",', b""),
    "a kind in capitals": _with("1").replace(b"decision", b"Decision"),
    "a kind that ends in a dot": _with("1").replace(b"decision", b"log."),
    "a kind and a line": _with("1").replace(b"decision", rb"decision\n"),
    "a kind that is a number": _with("1").replace(b'"decision"', b"7"),
    "no id": _with("1").replace(f'"id":"{ID}",'.encode(), b""),
    "an id in capitals": _with("1").replace(b"abcdef", b"ABCDEF"),
    "an id too short": _with("1").replace(ID.encode(), ID[1:].encode()),
    "an id that is a number": _with("1").replace(f'"{ID}"'.encode(), b"7"),
    "a box without a commitment": _with("1").replace(b'"k"', b'"in":"","k"'),
    "a commitment without a box": _with("1").replace(b'"id"', f'"ic":"{COMMITMENT}","id"'.encode()),
    "a commitment too short": encode("decision", ID, {}, Sealed("", COMMITMENT[1:])),
    "a box that is null": encode("decision", ID, {}, Sealed("", COMMITMENT)).replace(b'"in":""', b'"in":null'),
    "too long": _with('"' + "a" * MAX_LEAF_BYTES + '"'),
    "a line at the end": _with("1") + b"\n",
    "a mark at the beginning": b"\xef\xbb\xbf" + _with("1"),
    "in sixteen bits": _with("1").decode().encode("utf-16"),
    "no UTF-8": _with('"').replace(b'""', b'"\xff"'),
    "a list": b"[]",
    "nothing": b"",
}


@pytest.mark.parametrize("data", LEAVES.values(), ids=LEAVES.keys())
def test_a_leaf_is_one_to_both(data: bytes) -> None:
    assert _leaf_to_both(data) is not None


@pytest.mark.parametrize("data", NO_LEAVES.values(), ids=NO_LEAVES.keys())
def test_what_is_no_leaf_is_none_to_both(data: bytes) -> None:
    assert _leaf_to_both(data) is None


def test_the_longest_leaf_is_one_to_both() -> None:
    room = MAX_LEAF_BYTES - len(_with('""'))
    assert _leaf_to_both(_with('"' + "a" * room + '"')) is not None
    assert _leaf_to_both(_with('"' + "a" * (room + 1) + '"')) is None


PLAIN: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SPELLINGS = st.sampled_from(
    [
        *("1", "true", "null", "1.0", "-0", "1e1", "0", "00", "[]", "{}", '""', ",", ":", '"', " ", "\\", "[[", "]]"),
        *(r"\ud800", r"\u007f", r"\u007F", r"\/", "é", "\x7f", "18446744073709551616", '"in":"",', '"v":1', ID),
    ]
)


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4), st.booleans(), st.data())
def test_a_changed_leaf_is_one_to_both_or_to_none(fields: dict[str, Json], sealed: bool, data: st.DataObject) -> None:
    """read_leaf(d) = parse(d) for each d = e(encode(f)), e a few edits, and one refuses where the other does."""
    clear = {name: value for name, value in fields.items() if name not in {"k", "id", "in", "ic", "v"}}
    changed = encode("decision", ID, clear, Sealed("AA==", COMMITMENT) if sealed else None)
    assert _leaf_to_both(changed) is not None
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(at, min(len(changed), at + 4)))
        changed = changed[:at] + data.draw(SPELLINGS).encode() + changed[end:]
        _leaf_to_both(changed)


# ---------------------------------------------------------------- requests and routes

PIECES = st.sampled_from(
    [
        *("/", "//", ".", "..", "%2F", "%2f", "%2e", "%5C", "\\", "%25", ";", "%3B", "?", "%3F", "#", "%23", "%00"),
        *("a", "B", "orders", "Admin", "%41", "%40", "@", "%20", " ", "%C3%A9", "%EF%BC%8F", "%E2%80%A5", "%C0%AF"),
        *("é", "%", "%zz", "%u002f", "%E2%80%8B", "%C2%A5", "~", "-", "$", "%24", "+", "*", "\n", "\x7f"),
    ]
)
TARGETS = st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces)) | st.text(max_size=12)


@given(TARGETS)
def test_a_path_is_canonical_to_both_or_to_neither(target: str) -> None:
    defined, own = canonical_path(target), read_target(target)
    assert isinstance(defined, PathRefusal) is (own is None)
    if own is not None and not isinstance(defined, PathRefusal):
        assert (own.segments, own.slash) == ([*defined.segments], defined.trailing_slash)
        assert (own.escaped, own.slashed) == (defined.escaped, defined.slashed)
        assert (own.query, own.text) == (defined.query, decoded_path(defined))


QUERY_PIECES = st.sampled_from(
    [
        "a",
        "=",
        "&",
        "&&",
        "+",
        "%41",
        "%20",
        ";",
        "%3B",
        "%00",
        "\x01",
        "%C3%A9",
        "%C0%AF",
        "é",
        " ",
        "%",
        "%zz",
        "~",
        "#",
    ]
)


@given(st.lists(QUERY_PIECES, max_size=8).map("".join) | st.text(max_size=8))
def test_a_query_is_read_the_same(raw: str) -> None:
    defined, own = parse_query(raw), read_query(raw)
    assert own == (defined.reason if isinstance(defined, QueryRefusal) else [*defined])


@pytest.mark.parametrize("seed", range(10))
def test_a_call_is_for_the_same_endpoint(seed: int) -> None:
    """route(program, call), for paths near the patterns of drawn policies: escaped, in other cases, with slashes."""
    rng = random.Random(f"routes {seed}")
    bundle = draw_bundle(rng)
    program = bundle.compiled().program
    router, policy = Router.of(program), Policy(ir_codec.dump(program))
    questioner, seen = Questioner(program, load_facts(program, bundle.files())), Counter[str]()
    for _ in range(100):
        question = questioner.draw(rng)
        if not isinstance(question.call, HttpCall) or question.service not in router.services:
            continue
        call = replace(question.call, host="")
        path = canonical_path(_near(rng, call.path.text))
        target = None if isinstance(path, PathRefusal) else read_target(path.text)
        if isinstance(path, PathRefusal) or target is None:
            continue
        routed = router.route(question.service, replace(call, path=path))
        headers = {name: [*values] for name, values in call.headers.items()}
        own = Paths(each for each in policy.endpoints if each.service == question.service)
        found = own.route(Http(call.method, target, "", headers))
        if routed == RouteRefusal("route", "route.host"):
            continue
        if isinstance(routed, RouteRefusal):
            assert found == Refusal(routed.by, routed.reason), path
            seen[routed.reason] += 1
        else:
            assert not isinstance(found, Refusal), path
            assert found.place == routed[0]
            seen["found"] += 1
    assert seen["found"] > 10
    assert len(seen) > 2


def _near(rng: random.Random, text: str) -> str:
    """A path as it is, or with something of it written otherwise."""
    way = rng.randrange(8)
    if way == 0:
        return text.upper()
    if way == 1:
        return text + "/"
    if way == 2:
        return text.replace("a", "%61", 1)
    if way == 3:
        return text + rng.choice([".json", "%2Fb", "/x", "%40", "::$DATA", "."])
    return text


# ---------------------------------------------------------------- values

SCALARS: list[ScalarType] = [
    *Scalar,
    IntType(),
    IntType(-5, 900),
    EnumType("m.colour", ("red", "green"), ordered=False),
]
TEXTS = st.sampled_from(
    [
        *("true", "false", "red", "0", "-1", "00", "+1", "900", "901", "9223372036854775807", "-9223372036854775809"),
        *("9" * 30, "٣", "1.0", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "2001:DB8::1", "010.0.0.1", "", " 1"),
        *("0b0a8f7e-0000-4000-8000-00000000000A", "spiffe://a.example/b", "spiffe://a.example", "spiffe://A/b"),
        *("spiffe://a/..", "spiffe://a/b/", "\ud800", "9223372036854775", "9223372036854776", "\n", "1\n"),
    ]
) | st.text(max_size=6)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0.1, 1.001, 2.5e17, -0.0005, 9.3e15, 9.2e15])


def _written(declared: ScalarType | SetType) -> list[object]:
    columns = written_relation(Relation("m.r", (("c", declared),)))
    assert isinstance(columns, list)
    return json.loads(json.dumps(columns))[1][0][1]  # type: ignore[no-any-return]


@given(st.sampled_from(SCALARS), TEXTS)
def test_a_text_has_the_same_value(declared: ScalarType, text: str) -> None:
    defined = defined_from_text(declared, text)
    try:
        own = from_text(_written(declared), text)  # type: ignore[arg-type]
    except MisfitError as error:
        assert isinstance(defined, Misfit)
        assert str(error) == defined.fault
        return
    assert (type(own), own) == (type(defined), defined)


@given(
    st.sampled_from(SCALARS).flatmap(lambda each: st.sampled_from([each, SetType(each)])),
    st.recursive(TEXTS | NUMBERS | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=4),
)
def test_json_has_the_same_value(declared: ScalarType | SetType, value: object) -> None:
    defined = defined_from_json(declared, value)  # type: ignore[arg-type]
    try:
        own = from_json(_written(declared), value)  # type: ignore[arg-type]
    except MisfitError as error:
        assert isinstance(defined, Misfit)
        assert str(error) == defined.fault
        return
    assert (type(own), own) == (type(defined), defined)


# ---------------------------------------------------------------- signatures, proofs and keys


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511), st.booleans())
def test_a_signature_is_one_to_both_or_to_neither(seed: bytes, message: bytes, bit: int, change: bool) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), bytearray(private.sign(message))
    if change:
        signature[bit // 8] ^= 1 << bit % 8
    assert is_signed(public, message, bytes(signature)) is (not change)
    assert not is_signed(public, message + b"x", bytes(signature))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_no_bytes_are_taken_for_a_key_or_a_signature_that_others_refuse(public: bytes, signature: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, b"x")
    except (InvalidSignature, ValueError):
        assert not is_signed(public, b"x", signature)


def test_what_is_no_key_and_no_signature_by_name() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"x")
    order = 2**252 + 27742317777372353535851937790883648493
    beyond = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert is_signed(public, b"x", signature)
    assert not is_signed(public, b"x", signature[:32] + beyond)
    assert not is_signed(public, b"x", signature[:63])
    assert not is_signed(b"\xff" * 32, b"x", signature)
    assert not is_signed(public, b"x", b"")


ORIGIN = "test.example/log"


@given(st.integers(1, 70), st.data())
def test_a_proof_of_any_record_in_a_log_of_any_size_is_read_the_same(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = [str(number).encode() for number in range(size)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    note = sign_checkpoint(ORIGIN, size, subtree_root(hashes), private)
    key = read_key(format_vkey(ORIGIN, private.public_key().public_bytes_raw()))
    periods = [Period(key)]
    for extra in (leaves[index], None):
        proof = encode_proof(TlogProof(index, inclusion_proof(hashes, index), note, extra))
        assert index_of(leaves[index], proof, note, periods) == index
        with pytest.raises(ReceiptError):
            index_of(b"another", proof, note, periods)
        other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index)) if size > 1 else 1
        moved = encode_proof(TlogProof(other, inclusion_proof(hashes, index), note, None))
        with pytest.raises(ReceiptError):
            index_of(leaves[index], moved, note, periods)


def _private(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))


def _vkey(number: int) -> str:
    return format_vkey(ORIGIN, _private(number).public_key().public_bytes_raw())


def _statement(number: int, by: int, until_s: int | None = None) -> bytes:
    stated = Statement(ORIGIN, number, parse_vkey(_vkey(number)), 1_000 * (number + 1), until_s)
    return sign_statement(stated, ORIGIN, _private(by))


def _note(size: int, by: int, root: int = 0) -> bytes:
    return sign_checkpoint(ORIGIN, size, bytes([root] * 32), _private(by))


def _manifests() -> dict[str, tuple[bytes | None, int]]:
    """Manifests, and the number of the key that is known from elsewhere."""
    chained = first_manifest(_statement(0, 0))
    chained = extended_manifest(chained, _statement(1, 0), _note(10, 0))
    chained = extended_manifest(chained, _statement(2, 1), _note(20, 1))
    rooted = first_manifest(_statement(0, 9, until_s=5_000))
    rooted = extended_manifest(rooted, _statement(1, 9, until_s=9_000), _note(10, 0))
    return {
        "one key, no manifest": (None, 0),
        "each key by the one before": (chained, 0),
        "all keys by a root": (rooted, 9),
        "a key by a stranger": (extended_manifest(first_manifest(_statement(0, 0)), _statement(1, 5), _note(10, 0)), 0),
        "a seal by a stranger": (
            extended_manifest(first_manifest(_statement(0, 0)), _statement(1, 0), _note(10, 5)),
            0,
        ),
        "a key left out": (extended_manifest(first_manifest(_statement(0, 0)), _statement(2, 0), _note(10, 0)), 0),
        "known under another key": (chained, 5),
    }


@pytest.mark.parametrize("name", _manifests())
def test_keys_of_a_log_lead_to_the_same_checkpoints(name: str) -> None:
    """signed_by(note, periods_of(m, a)) is open_signed(note, parse_manifest(m, a)), and one refuses where the other."""
    manifest, anchor = _manifests()[name]
    accepted = 0
    for by in (0, 1, 2, 5, 9):
        for size, root in ((5, 0), (10, 0), (10, 1), (15, 0), (20, 0), (25, 0)):
            note = _note(size, by, root)
            try:
                defined = open_signed(note, parse_manifest(manifest, parse_vkey(_vkey(anchor)))).checkpoint.size
            except PdpError:
                defined = None
            try:
                own = signed_by(note, periods_of(manifest, read_key(_vkey(anchor))))[0].size
            except ReceiptError:
                own = None
            assert own == defined, (by, size, root)
            accepted += own is not None
    assert (accepted > 0) is (name in {"one key, no manifest", "each key by the one before", "all keys by a root"})


def test_random_bytes_are_no_policy_and_no_proof() -> None:
    for _ in range(50):
        with pytest.raises(ReceiptError):
            Policy(os.urandom(40))

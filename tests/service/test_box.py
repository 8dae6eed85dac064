"""pdp.audit.box: opened by its key at its place, and nowhere else."""

from __future__ import annotations

import base64
from hashlib import sha256, shake_128

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.audit.box import BoxError, Sealer, open_box, salt_of
from pdp.audit.ids import IdKey
from pdp.audit.leaf import Leaf, Sealed

KEY, SALT, ORIGIN = bytes(range(32)), bytes(range(32, 64)), "pdp.example.com/prod"
RANDOM = b"r" * 32
INPUTS = b'{"path":"/orders/7"}'


def _id(seq: int) -> str:
    return IdKey(KEY).make(1, 2, seq)


def _sealer(key: bytes = KEY, salt: bytes = SALT, origin: str = ORIGIN) -> Sealer:
    return Sealer(key, salt, origin, lambda size: RANDOM[:size])


def _leaf(seq: int = 5, inputs: bytes = INPUTS) -> Leaf:
    return Leaf("decision", _id(seq), {"v": 1}, _sealer().seal(seq, _id(seq), inputs))


def _sealed(leaf: Leaf) -> Sealed:
    assert leaf.sealed is not None
    return leaf.sealed


def test_the_box_is_that_of_the_design() -> None:
    sealed = _sealed(_leaf())
    run_key = HKDF(algorithm=SHA256(), length=32, salt=SALT, info=b"portcullis box 1").derive(KEY)
    nonce = (5).to_bytes(12, "big")
    ciphertext = AESGCM(run_key).encrypt(nonce, RANDOM + INPUTS, f"{ORIGIN}\n{_id(5)}".encode())
    assert base64.b64decode(sealed.box) == sha256(KEY).digest()[:8] + nonce + ciphertext
    assert sealed.commitment == sha256(RANDOM + INPUTS).hexdigest()


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**40 - 1))
def test_a_box_gives_back_what_was_sealed(inputs: bytes, seq: int) -> None:
    assert open_box(KEY, SALT, ORIGIN, _leaf(seq, inputs)) == inputs


def test_empty_inputs_are_sealed_and_opened() -> None:
    assert open_box(KEY, SALT, ORIGIN, _leaf(inputs=b"")) == b""


@settings(deadline=None)
@given(st.data())
def test_any_flipped_bit_of_a_box_is_noticed(data: st.DataObject) -> None:
    leaf = _leaf()
    raw = bytearray(base64.b64decode(_sealed(leaf).box))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    changed = replace(leaf, sealed=replace(_sealed(leaf), box=base64.b64encode(raw).decode()))
    with pytest.raises(BoxError):
        open_box(KEY, SALT, ORIGIN, changed)


def _short(leaf: Leaf, size: int) -> Leaf:
    raw = base64.b64decode(_sealed(leaf).box)[:size]
    return replace(leaf, sealed=replace(_sealed(leaf), box=base64.b64encode(raw).decode()))


def _with_box(box: str) -> Leaf:
    leaf = _leaf()
    return replace(leaf, sealed=replace(_sealed(leaf), box=box))


def _other_number_same_nonce() -> Leaf:
    """Another boot's record with the same number: the nonce agrees, the id does not."""
    return replace(_leaf(), id=IdKey(KEY).make(9, 2, 5))


UNOPENABLE: dict[str, tuple[Leaf, bytes, bytes, str]] = {
    "another key": (_leaf(), bytes(32), SALT, ORIGIN),
    "another run's salt": (_leaf(), KEY, bytes(32), ORIGIN),
    "another log": (_leaf(), KEY, SALT, "other.example/log"),
    "no box": (replace(_leaf(), sealed=None), KEY, SALT, ORIGIN),
    "the box of another record": (replace(_leaf(), sealed=_leaf(6).sealed), KEY, SALT, ORIGIN),
    "the box of the same number in another run": (_other_number_same_nonce(), KEY, SALT, ORIGIN),
    "another commitment": (replace(_leaf(), sealed=replace(_sealed(_leaf()), commitment="0" * 64)), KEY, SALT, ORIGIN),
    "a box sealed under the number of another record": (
        replace(_leaf(), sealed=_sealer().seal(6, _id(5), INPUTS)),
        KEY,
        SALT,
        ORIGIN,
    ),
    "an empty box": (_with_box(""), KEY, SALT, ORIGIN),
    "a box that is not base64": (_with_box("!!!!"), KEY, SALT, ORIGIN),
    "a box that is not ASCII": (_with_box("\u0660" * 40), KEY, SALT, ORIGIN),
    "a box without its tag": (_short(_leaf(), 67), KEY, SALT, ORIGIN),
    "a box cut in its tag": (_short(_leaf(), 68), KEY, SALT, ORIGIN),
}


@pytest.mark.parametrize("name", UNOPENABLE)
def test_a_box_stays_shut_for(name: str) -> None:
    leaf, key, salt, origin = UNOPENABLE[name]
    with pytest.raises(BoxError):
        open_box(key, salt, origin, leaf)


def test_a_box_sealed_around_something_uncommitted_stays_shut() -> None:
    """Who holds the key can seal anything; the commitment in the leaf still says what it was."""
    sealed = Sealer(KEY, SALT, ORIGIN, bytes).seal(5, _id(5), b"other")
    with pytest.raises(BoxError, match="committed"):
        open_box(KEY, SALT, ORIGIN, replace(_leaf(), sealed=Sealed(sealed.box, _sealed(_leaf()).commitment)))


def test_equal_inputs_do_not_show_as_equal() -> None:
    entropy = iter([b"a" * 32, b"b" * 32])
    sealer = Sealer(KEY, SALT, ORIGIN, lambda _: next(entropy))
    first, second = sealer.seal(1, _id(1), INPUTS), sealer.seal(2, _id(2), INPUTS)
    assert first.commitment != second.commitment


def test_the_salt_is_read_from_log_start_only() -> None:
    start = Leaf("log.start", _id(0), {"salt": SALT.hex()}, None)
    assert salt_of(start) == SALT
    for wrong in (
        replace(start, kind="decision"),
        replace(start, clear={}),
        replace(start, clear={"salt": "zz"}),
        replace(start, clear={"salt": SALT.hex()[2:]}),
        replace(start, clear={"salt": 7}),
    ):
        with pytest.raises(BoxError):
            salt_of(wrong)


@pytest.mark.parametrize(("key", "salt"), [(b"short", SALT), (KEY, b"short")])
def test_short_keys_and_salts_are_refused(key: bytes, salt: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(key, salt, ORIGIN, bytes)


def _random_of(seq: int, sealed: Sealed, salt: bytes = SALT) -> bytes:
    """The random bytes in a box."""
    run_key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"portcullis box 1").derive(KEY)
    raw = base64.b64decode(sealed.box)
    return AESGCM(run_key).decrypt(raw[8:20], raw[20:], f"{ORIGIN}\n{_id(seq)}".encode())[:32]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 400), st.integers(32, 200))
def test_every_box_has_random_bytes_that_no_other_has(boxes: int, given_bytes: int) -> None:
    """However much one draw gives, what is in the boxes is what was drawn, each byte at most once, in its order."""
    drawn: list[bytes] = []

    def entropy(size: int) -> bytes:
        drawn.append(shake_128(len(drawn).to_bytes(4, "big")).digest(min(size, given_bytes)))
        return drawn[-1]

    sealer = Sealer(KEY, SALT, ORIGIN, entropy)
    seen = [_random_of(seq, sealer.seal(seq, _id(seq), INPUTS)) for seq in range(boxes)]
    assert len(set(seen)) == boxes
    assert seen == [draw[at : at + 32] for draw in drawn for at in range(0, len(draw) - 31, 32)][:boxes]


def test_random_bytes_are_drawn_for_many_boxes_at_once() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    sealer = Sealer(KEY, SALT, ORIGIN, entropy)
    for seq in range(100):
        sealer.seal(seq, _id(seq), INPUTS)
    assert len(asked) == 1


@pytest.mark.parametrize("size", [0, 31])
def test_no_box_is_sealed_with_fewer_random_bytes_than_it_takes(size: int) -> None:
    sealer = Sealer(KEY, SALT, ORIGIN, lambda _: bytes(size))
    for _ in range(2):
        with pytest.raises(ValueError, match="32 random bytes"):
            sealer.seal(5, _id(5), INPUTS)


def test_after_a_draw_that_failed_no_random_bytes_are_used_twice() -> None:
    draws = iter([b"a" * 32, None, b"b" * 32])

    def entropy(_size: int) -> bytes:
        given = next(draws)
        if given is None:
            raise OSError("no entropy")
        return given

    sealer = Sealer(KEY, SALT, ORIGIN, entropy)
    first = sealer.seal(1, _id(1), INPUTS)
    with pytest.raises(OSError, match="no entropy"):
        sealer.seal(2, _id(2), INPUTS)
    second = sealer.seal(2, _id(2), INPUTS)
    assert [_random_of(1, first), _random_of(2, second)] == [b"a" * 32, b"b" * 32]

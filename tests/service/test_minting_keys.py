"""pdp.minting.keys and pdp.minting.key_store: times, keys at rest, and who may rotate."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.errors import StateError
from pdp.identity.jwks import KeySet, SetRefusal, read_key_set
from pdp.minting.key_store import LOCK, SECRET, KeyStore, LocalSigner, Snapshot
from pdp.minting.keys import (
    MOST_KEYS,
    US,
    Birth,
    MintingAlgorithm,
    Plan,
    Rotation,
    Seen,
    SigningKey,
    changed,
    look,
    make_key,
    plan,
    private_key,
    public_members,
    published,
    signing,
    thumbprint,
)

NOW_US = 1_800_000_000 * US
SETTINGS = Rotation(algorithm="EdDSA", rotate_every_s=1000, publish_ahead_s=200, token_life_s=60, leeway_s=60)
AHEAD_US = 200 * US
EVERY_US = 1000 * US


def entropy(seed: int = 0) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def key(seed: int = 0, *, first: bool = True, now_us: int = NOW_US, **changes: Any) -> SigningKey:
    made = make_key(Birth(first), now_us, SETTINGS, entropy(seed))
    return dataclasses.replace(made, **changes)


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "a token that lives no time": {"token_life_s": 0},
    "a token that lives longer than minutes": {"token_life_s": 301},
    "a leeway below none": {"leeway_s": -1},
    "a leeway beyond a minute": {"leeway_s": 61},
    "a key published for less than a token may be used": {"publish_ahead_s": 119},
    "keys that rotate before the next was published": {"rotate_every_s": 7199},
    "keys that never rotate": {"rotate_every_s": 90 * 86_400 + 1},
}


@pytest.mark.parametrize("changes", BAD_SETTINGS.values(), ids=BAD_SETTINGS.keys())
def test_settings_that_break_a_promise_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"token|leeway|key"):
        Rotation(**changes)


def test_the_set_may_be_kept_for_less_than_a_key_waits_in_it() -> None:
    assert Rotation().max_age_s == 1800
    assert 0 < SETTINGS.max_age_s < SETTINGS.publish_ahead_s


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_key_is_made_of_the_given_entropy_alone(algorithm: MintingAlgorithm) -> None:
    settings = Rotation(algorithm=algorithm)
    one, same, other = (make_key(Birth(first=True), NOW_US, settings, entropy(seed)) for seed in (1, 1, 2))
    assert one.kid == same.kid != other.kid
    assert one.algorithm == algorithm
    kind = EllipticCurvePrivateKey if algorithm == "ES256" else Ed25519PrivateKey
    assert isinstance(one.private, kind)


@pytest.mark.parametrize("drawn", [b"\x00", b"\xff"], ids=["zeros", "ones"])
def test_any_entropy_makes_a_key_of_p256(drawn: bytes) -> None:
    made = make_key(Birth(first=True), NOW_US, Rotation(algorithm="ES256"), lambda n: drawn * n)
    assert isinstance(read_key_set(published([made])), KeySet)


def test_the_name_of_a_key_is_its_thumbprint() -> None:
    """The example of RFC 8037 A.3."""
    secret = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    assert thumbprint(private_key("EdDSA", secret)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    ec = make_key(Birth(first=True), NOW_US, Rotation(), entropy()).private
    members = public_members(ec)
    text = f'{{"crv":"P-256","kty":"EC","x":"{members["x"]}","y":"{members["y"]}"}}'
    assert thumbprint(ec) == base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def test_the_published_set_holds_public_halves_and_nothing_else() -> None:
    ec = make_key(Birth(first=False), NOW_US, Rotation(algorithm="ES256"), entropy(1))
    ed = key(2, now_us=NOW_US - 1)
    data = published([ec, ed])
    said = json.loads(data)["keys"]
    assert [set(each) for each in said] == [
        {"kty", "crv", "x", "kid", "use", "alg"},
        {"kty", "crv", "x", "y", "kid", "use", "alg"},
    ]
    assert [(each["kid"], each["use"], each["alg"]) for each in said] == [
        (ed.kid, "sig", "EdDSA"),
        (ec.kid, "sig", "ES256"),
    ]
    ours = read_key_set(data)
    assert isinstance(ours, KeySet)
    assert [each.kid for each in ours.usable] == [ed.kid, ec.kid]
    assert [each.key_id for each in jwt.PyJWKSet.from_json(data.decode()).keys] == [ed.kid, ec.kid]


def test_no_keys_are_a_set_that_verifies_nothing() -> None:
    assert published([]) == b'{"keys":[]}'
    assert read_key_set(published([])) == SetRefusal("set.empty")


def test_private_keys_are_not_shown() -> None:
    made = key()
    assert isinstance(made.private, Ed25519PrivateKey)
    shown = repr(made) + repr(LocalSigner(made))
    assert "private" not in shown
    assert base64.urlsafe_b64encode(made.private.private_bytes_raw()).decode().rstrip("=") not in shown


BAD_TIMES: dict[str, dict[str, Any]] = {
    "signs before it may": {"not_before_us": NOW_US + 1},
    "ends before it begins": {"not_after_us": NOW_US - 1},
    "gone before its end": {"gone_us": NOW_US},
    "retired before it was promoted": {"retired_us": NOW_US - 1},
    "retired without having signed": {"promoted_us": None, "retired_us": NOW_US},
    "gone before it was retired": {"retired_us": NOW_US + EVERY_US, "gone_us": NOW_US + 1},
    "made before 1970": {"made_us": -1},
}


@pytest.mark.parametrize("changes", BAD_TIMES.values(), ids=BAD_TIMES.keys())
def test_times_that_no_key_lives_through_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"key"):
        key(**changes)


SIGNS: dict[str, tuple[dict[str, Any], int, bool]] = {
    "from the instant it was promoted": ({}, 0, True),
    "not before": ({}, -1, False),
    "not while it waits": ({"promoted_us": None}, 0, False),
    "until before its end": ({}, 3 * EVERY_US - 1, True),
    "not past its end, retired or not": ({}, 3 * EVERY_US, False),
    "until before it was retired": ({"retired_us": NOW_US + 5}, 4, True),
    "not when retired": ({"retired_us": NOW_US + 5}, 5, False),
}


@pytest.mark.parametrize(("changes", "after_us", "signs"), SIGNS.values(), ids=SIGNS.keys())
def test_when_a_key_signs(changes: dict[str, Any], after_us: int, signs: bool) -> None:
    made = key(**changes)
    assert made.signs_at(NOW_US + after_us) is signs
    assert (signing([made], NOW_US + after_us) is made) is signs


def planned(*keys: SigningKey, at_us: int = 0, waited_us: int = AHEAD_US, fresh: bool = False) -> Plan:
    """The plan so long after the start, by a process that has seen every key for so long."""
    since = look({}, keys, NOW_US + at_us, 0)
    seen = look(since, keys, NOW_US + at_us, waited_us)
    return plan(keys, seen, NOW_US + at_us, waited_us, SETTINGS, fresh=fresh)


FIRST = key(1)
NEXT = key(2, first=False)
RETIRED = key(3, now_us=NOW_US - EVERY_US, retired_us=NOW_US, gone_us=NOW_US + SETTINGS.tail_us)

PLANS: dict[str, tuple[Plan, Plan]] = {
    "a new folder gets a key that signs at once": (planned(fresh=True), Plan(make=Birth(first=True))),
    "a folder whose keys are rubbish gets one that waits": (planned(), Plan(make=Birth(first=False))),
    "a key that signs gets a next one": (planned(FIRST), Plan(make=Birth(first=False))),
    "a key and its next need nothing": (planned(FIRST, NEXT), Plan()),
    "not a moment early": (planned(FIRST, NEXT, at_us=EVERY_US - 1), Plan()),
    "in due time the next is promoted": (
        planned(FIRST, NEXT, at_us=EVERY_US),
        Plan(make=Birth(first=False), promote=NEXT.kid, retire=(FIRST.kid,)),
    ),
    "not one that this process saw too briefly": (
        planned(FIRST, NEXT, at_us=EVERY_US, waited_us=AHEAD_US - 1),
        Plan(),
    ),
    "not one whose own time has not come": (
        planned(FIRST, key(2, first=False, now_us=NOW_US + EVERY_US - AHEAD_US + 1), at_us=EVERY_US),
        Plan(),
    ),
    "not one that is past its time, though nothing else signs": (
        planned(FIRST, NEXT, at_us=3 * EVERY_US),
        Plan(make=Birth(first=False)),
    ),
    "a next key stands in at once for one that is lost": (
        planned(NEXT, at_us=AHEAD_US),
        Plan(make=Birth(first=False), promote=NEXT.kid),
    ),
    "before the end of a key that signed late, and was lent no time for it": (
        planned(
            dataclasses.replace(FIRST, promoted_us=NOW_US + 5 * EVERY_US // 2),
            key(2, first=False, now_us=NOW_US + EVERY_US),
            at_us=3 * EVERY_US - AHEAD_US,
        ),
        Plan(make=Birth(first=False), promote=NEXT.kid, retire=(FIRST.kid,)),
    ),
    "the older of two that wait": (
        planned(NEXT, key(4, first=False, now_us=NOW_US - 1), at_us=AHEAD_US),
        Plan(promote=key(4).kid),
    ),
    "a key that a crash left unretired is retired": (
        planned(FIRST, dataclasses.replace(NEXT, promoted_us=NOW_US + AHEAD_US), key(5, first=False), at_us=AHEAD_US),
        Plan(retire=(FIRST.kid,)),
    ),
    "a retired key stays while it may be needed": (planned(RETIRED, FIRST, NEXT, at_us=SETTINGS.tail_us - 1), Plan()),
    "then it goes": (planned(RETIRED, FIRST, NEXT, at_us=SETTINGS.tail_us), Plan(delete=(RETIRED.kid,))),
    "but not at the first look that says so": (
        planned(RETIRED, FIRST, NEXT, at_us=SETTINGS.tail_us, waited_us=0),
        Plan(),
    ),
}


@pytest.mark.parametrize(("got", "want"), PLANS.values(), ids=PLANS.keys())
def test_plan(got: Plan, want: Plan) -> None:
    assert got == want


def test_no_more_keys_are_made_than_a_folder_may_hold() -> None:
    future = [key(seed, first=False, now_us=NOW_US + EVERY_US) for seed in range(MOST_KEYS)]
    assert planned(*future[1:]).make == Birth(first=False)
    assert planned(*future).make is None


def test_a_key_that_was_away_for_a_look_waits_anew() -> None:
    seen = look(look(look({}, [NEXT], NOW_US, 0), [], NOW_US, 5), [NEXT], NOW_US, 9)
    assert seen == {NEXT.kid: Seen(9, None)}


def test_overdue_is_counted_from_the_first_look_of_an_unbroken_row() -> None:
    over_us = FIRST.gone_us
    seen = look({}, [FIRST], over_us, 1)
    assert look(seen, [FIRST], over_us, 5) == {FIRST.kid: Seen(1, 1)}
    seen = look(seen, [FIRST], NOW_US, 6)
    assert seen == {FIRST.kid: Seen(1, None)}
    assert look(seen, [FIRST], over_us, 7) == {FIRST.kid: Seen(1, 7)}


def test_what_a_plan_changes_comes_promoted_first() -> None:
    at_us = NOW_US + EVERY_US
    promoted, retired = changed((FIRST, NEXT), Plan(promote=NEXT.kid, retire=(FIRST.kid,)), at_us, SETTINGS)
    assert (promoted.kid, promoted.promoted_us, promoted.retired_us) == (NEXT.kid, at_us, None)
    assert (retired.kid, retired.retired_us, retired.gone_us) == (FIRST.kid, at_us, at_us + SETTINGS.tail_us)


Open = Callable[..., KeyStore]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "minting"


@pytest.fixture
def opened(folder: Path) -> Iterator[Open]:
    """Opens the folder as one more process would, and closes it in the end."""
    stores: list[KeyStore] = []

    def open_store(seed: int = 0, settings: Rotation = SETTINGS) -> KeyStore:
        stores.append(KeyStore(folder, settings, entropy(seed)))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def kids(found: Snapshot) -> list[str]:
    return [each["kid"] for each in json.loads(found.jwks)["keys"]]


def signer(found: Snapshot) -> str:
    assert found.signer is not None
    return found.signer.kid


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_new_folder_signs_at_once_and_is_ours_alone(folder: Path, opened: Open) -> None:
    found = opened().look(NOW_US, 0)
    assert found.refused == ()
    assert found.rotating
    assert kids(found) == [signer(found)]
    assert names(folder) == {LOCK, SECRET, f"{signer(found)}.key"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert found.secret is not None
    assert len(found.secret) == 32
    assert repr(found.secret) not in repr(found)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_keys_and_the_secret_come_back_after_a_restart(opened: Open, algorithm: MintingAlgorithm) -> None:
    settings = Rotation(algorithm=algorithm)
    store = opened(1, settings)
    store.look(NOW_US, 0)
    before = store.look(NOW_US + 1, 1)
    assert len(kids(before)) == 2
    after = opened(2, settings).look(NOW_US + 2, 0)
    assert (kids(after), signer(after), after.secret) == (kids(before), signer(before), before.secret)
    assert after.signer is not None
    assert len(after.signer.sign(b"data")) == 64


def test_keys_rotate_on_the_disk(folder: Path, opened: Open) -> None:
    store = opened()
    first = store.look(NOW_US, 0)
    second = store.look(NOW_US + 1, 1)
    assert signer(second) == signer(first)
    third = store.look(NOW_US + EVERY_US, EVERY_US)
    assert signer(third) in kids(second)
    assert signer(third) != signer(first)
    assert (third.from_us, third.until_us) == (NOW_US + EVERY_US, NOW_US + EVERY_US + AHEAD_US)
    assert len(kids(third)) == 3
    over_us = EVERY_US + SETTINGS.tail_us
    assert signer(first) in kids(store.look(NOW_US + over_us, over_us))
    last = store.look(NOW_US + over_us + AHEAD_US, over_us + AHEAD_US)
    assert signer(first) not in kids(last)
    assert f"{signer(first)}.key" not in names(folder)


def test_one_process_rotates_and_the_others_notice(opened: Open) -> None:
    one, other = opened(1), opened(2)
    assert one.look(NOW_US, 0).rotating
    at_first = other.look(NOW_US, 0)
    assert not at_first.rotating
    assert len(kids(at_first)) == 1
    rotated = one.look(NOW_US + 1, 1)
    noticed = other.look(NOW_US + 1, 1)
    assert not noticed.rotating
    assert kids(noticed) == kids(rotated)
    one.close()
    assert other.look(NOW_US + 2, 2).rotating
    reopened = opened(3)
    assert not reopened.look(NOW_US + 2, 2).rotating


def test_who_only_reads_writes_nothing(folder: Path, opened: Open) -> None:
    opened(1).look(NOW_US, 0)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    reader = opened(2)
    for turn in range(5):
        reader.look(NOW_US + turn * EVERY_US, turn * EVERY_US)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_expired_key_on_the_disk_never_signs(opened: Open) -> None:
    opened(1).look(NOW_US, 0)
    found = opened(2).look(NOW_US + 3 * EVERY_US, 0)
    assert found.signer is None
    assert (found.from_us, found.until_us) == (0, 0)


def test_a_key_that_the_operator_takes_away_is_gone_at_the_next_look(folder: Path, opened: Open) -> None:
    store = opened()
    store.look(NOW_US, 0)
    before = store.look(NOW_US + 1, 1)
    (folder / f"{signer(before)}.key").unlink()
    after = store.look(NOW_US + 2, 2)
    assert after.signer is None
    assert signer(before) not in kids(after)
    waited = store.look(NOW_US + 2 * AHEAD_US, 2 * AHEAD_US)
    assert signer(waited) in kids(before)


def test_taking_every_key_away_begins_anew_and_keeps_the_secret(folder: Path, opened: Open) -> None:
    store = opened()
    before = store.look(NOW_US, 0)
    for path in folder.glob("*.key"):
        path.unlink()
    after = store.look(NOW_US + 1, 1)
    assert signer(after) != signer(before)
    assert after.secret == before.secret


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def stolen(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


RUBBISH: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "not JSON": lambda path: path.write_bytes(b"\xff\x00rubbish"),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "too much of it": lambda path: path.write_bytes(path.read_bytes() + b" " * 5000 + b"x"),
    "another type": lambda path: path.write_bytes(b"[" * 4000),
    "an unknown member": lambda path: edit(path, more=1),
    "another algorithm": lambda path: edit(path, algorithm="RS256"),
    "an algorithm that its name is not of": lambda path: edit(path, algorithm="ES256"),
    "no private key": lambda path: edit(path, private="AAAA"),
    "a private key of another": lambda path: edit(path, private="A" * 42 + "E"),
    "times out of order": lambda path: edit(path, not_after_us=1),
    "another key's name": lambda path: path.rename(path.with_name("other.key")),
    "open to the group": lambda path: path.chmod(0o640),
    "open to others": lambda path: path.chmod(0o604),
    "a link": stolen,
    "a folder": a_folder,
    "a pipe": a_pipe,
}


@pytest.mark.parametrize("spoil", RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_named_and_the_others_stay(folder: Path, opened: Open, spoil: Callable[[Path], object]) -> None:
    store = opened()
    store.look(NOW_US, 0)
    before = store.look(NOW_US + 1, 1)
    waits = next(kid for kid in kids(before) if kid != signer(before))
    spoil(folder / f"{waits}.key")
    after = store.look(NOW_US + 2, 2)
    assert signer(after) == signer(before)
    assert waits not in kids(after)
    assert any(str(folder) in line and (waits in line or "other.key" in line) for line in after.refused)
    assert len(kids(after)) == 2  # another waits in its place


def test_a_folder_of_rubbish_alone_signs_nothing_at_once(folder: Path, opened: Open) -> None:
    store = opened()
    first = store.look(NOW_US, 0)
    (folder / f"{signer(first)}.key").write_bytes(b"rubbish")
    store.close()
    found = opened(5).look(NOW_US + 1, 0)
    assert found.signer is None
    assert len(kids(found)) == 1
    assert len(found.refused) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_key_that_is_somebody_elses_is_named_and_the_others_stay(folder: Path, opened: Open) -> None:
    store = opened()
    store.look(NOW_US, 0)
    before = store.look(NOW_US + 1, 1)
    os.chown(folder / f"{signer(before)}.key", 65534, -1)
    after = store.look(NOW_US + 2, 2)
    assert after.signer is None
    assert signer(before) not in kids(after)
    assert signer(before) in after.refused[0]


SPOILT_SECRETS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "rubbish": lambda path: path.write_bytes(b"\xff" * 43),
    "short": lambda path: path.write_bytes(base64.urlsafe_b64encode(b"x" * 30)),
    "open to others": lambda path: path.chmod(0o644),
}


@pytest.mark.parametrize("spoil", SPOILT_SECRETS.values(), ids=SPOILT_SECRETS.keys())
def test_without_its_secret_nothing_can_be_named_and_no_new_one_is_made(
    folder: Path, opened: Open, spoil: Callable[[Path], object]
) -> None:
    store = opened()
    store.look(NOW_US, 0)
    spoil(folder / SECRET)
    left = (folder / SECRET).read_bytes() if (folder / SECRET).exists() else None
    for turn in range(1, 4):
        found = store.look(NOW_US + turn, turn)
        assert found.secret is None
        assert any(SECRET in line for line in found.refused)
    assert ((folder / SECRET).read_bytes() if (folder / SECRET).exists() else None) == left


def test_a_file_that_is_none_of_ours_is_named(folder: Path, opened: Open) -> None:
    store = opened()
    store.look(NOW_US, 0)
    (folder / "notes.txt").write_text("x")
    found = store.look(NOW_US + 1, 1)
    assert found.refused == (f"{folder / 'notes.txt'} is none of ours: move it away",)
    assert found.signer is not None


def test_what_a_crash_left_half_written_goes(folder: Path, opened: Open) -> None:
    folder.mkdir(mode=0o700)
    (folder / ".x.key.abc.tmp").write_bytes(b"half")
    found = opened().look(NOW_US, 0)
    assert found.refused == ()
    assert names(folder) == {LOCK, SECRET, f"{signer(found)}.key"}


def test_a_folder_that_vanishes_leaves_the_last_good_keys_for_a_while(folder: Path, opened: Open) -> None:
    store = opened()
    before = store.look(NOW_US, 0)
    folder.rename(folder.with_name("elsewhere"))
    after = store.look(NOW_US + 5 * US, 5 * US)
    assert signer(after) == signer(before)
    assert kids(after) == kids(before)
    assert after.until_us == NOW_US + AHEAD_US
    assert len(after.refused) == 1
    assert str(folder) in after.refused[0]
    assert not folder.exists()


def test_a_lock_that_was_taken_away_no_longer_counts(folder: Path, opened: Open) -> None:
    store = opened()
    store.look(NOW_US, 0)
    (folder / LOCK).unlink()
    opened(1)
    before = names(folder)
    found = store.look(NOW_US + 1, 1)
    assert "restart" in found.refused[0]
    assert names(folder) == before


def folder_with(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


def link_to_a_good_one(path: Path) -> None:
    path.with_name("x").mkdir(mode=0o700)
    path.symlink_to(path.with_name("x"))


FOREIGN: dict[str, Callable[[Path], object]] = {
    "open to the group": folder_with(0o750),
    "open to others": folder_with(0o701),
    "a file": lambda path: path.write_bytes(b""),
    "a link to a good one": link_to_a_good_one,
    "within nothing": lambda path: path.parent.rmdir(),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_folder_that_is_not_ours_alone_is_refused(folder: Path, make: Callable[[Path], object]) -> None:
    make(folder)
    with pytest.raises(StateError, match=r"minting") as refused:
        KeyStore(folder, SETTINGS, entropy())
    assert refused.value.code == "S132"

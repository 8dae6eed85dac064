"""What is revoked, and which tokens that refuses: the index of a decision, and the file that an operator drops."""

from __future__ import annotations

import json
import timeit
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.shared_state.following import Following
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.shared_state.model import (
    CREDENTIAL,
    GRACE_US,
    LONGEST,
    Kind,
    Revocation,
    Revocations,
    Store,
    StoreError,
    merged,
)
from pdp.shared_state.watched import BY, MOST_BYTES, MOST_PROBLEMS, FileRefused, read_watched
from policy_lang.verdict import Json

ISSUER = "https://id.example.com"
OTHER = "https://other.example.com"
NOW_S = 1_800_000_000
NOW_US = NOW_S * 1_000_000
DIGEST = bytes(range(32))
CLAIMS: Mapping[str, Json] = {"iss": ISSUER, "jti": "t-1", "sub": "ann", "sid": "s-1", "iat": NOW_S}


def revoked(
    kind: Kind, value: str, issuer: str = ISSUER, at_us: int = NOW_US, until_us: int | None = None
) -> Revocation:
    return Revocation(kind, issuer, value, at_us, until_us, "test")


def index_of(*entries: Revocation) -> Revocations:
    index = Revocations()
    index.apply(entries, 1)
    return index


def answer(
    entries: Sequence[Revocation],
    claims: Mapping[str, Json] = CLAIMS,
    credential: bytes = DIGEST,
    kid: str | None = "k-1",
) -> str | None:
    return index_of(*entries).refused(ISSUER, claims, credential, kid)


REFUSED: dict[str, tuple[Revocation, Mapping[str, Json]]] = {
    "a token by its jti": (revoked("token", "t-1"), {}),
    "a token by its credential": (revoked("token", CREDENTIAL + DIGEST.hex()), {}),
    "a session": (revoked("session", "s-1"), {}),
    "a session of a token that was issued later": (revoked("session", "s-1"), {"iat": NOW_S + 3_600}),
    "a token by its jti, issued later": (revoked("token", "t-1"), {"iat": NOW_S + 3_600}),
    "a session whose revocation has an end": (revoked("session", "s-1", until_us=NOW_US + 9), {}),
    "a key": (revoked("key", "k-1"), {}),
    "an issuer": (revoked("issuer", ""), {}),
    "an issuer, of a token without claims that name it": (revoked("issuer", ""), {"sub": None, "jti": None}),
    "a subject outright, issued later": (revoked("subject", "ann"), {"iat": NOW_S + 3_600}),
    "a subject, issued before": (revoked("subject", "ann", until_us=NOW_US + 9), {"iat": NOW_S - 1}),
    "a subject, issued in that second": (revoked("subject", "ann", until_us=NOW_US + 9), {"iat": NOW_S}),
    "a subject, issued in that second and rounded up": (
        revoked("subject", "ann", at_us=NOW_US + 1, until_us=NOW_US + 9),
        {"iat": NOW_S + 1},
    ),
    "a subject, issued with a fraction": (revoked("subject", "ann", until_us=NOW_US + 9), {"iat": NOW_S + 0.9}),
    "a subject, issue unknown": (revoked("subject", "ann", until_us=NOW_US + 9), {"iat": None}),
    "a subject, issue a text": (revoked("subject", "ann", until_us=NOW_US + 9), {"iat": str(NOW_S + 9_999)}),
    "a subject, issue a truth value": (revoked("subject", "ann", at_us=0, until_us=9), {"iat": True}),
    "a jti that is a number": (revoked("token", "7"), {"jti": 7}),
    "a jti that is a list": (revoked("token", "t-2"), {"jti": ["t-2"]}),
    "a session that is an object": (revoked("session", "s-2"), {"sid": {"sid": "s-2"}}),
    "a subject that is a list": (revoked("subject", "bob"), {"sub": ["bob"]}),
}


@pytest.mark.parametrize(("entry", "changed"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(entry: Revocation, changed: Mapping[str, Json]) -> None:
    assert answer([entry], {**CLAIMS, **changed}) == "token.revoked"


PASSED: dict[str, tuple[Revocation, Mapping[str, Json]]] = {
    "another jti": (revoked("token", "t-2"), {}),
    "the same jti of another issuer": (revoked("token", "t-1", OTHER), {}),
    "the same session of another issuer": (revoked("session", "s-1", OTHER), {}),
    "the same key of another issuer": (revoked("key", "k-1", OTHER), {}),
    "another issuer": (revoked("issuer", "", OTHER), {}),
    "a subject, a login later": (revoked("subject", "ann", until_us=NOW_US + 9), {"iat": NOW_S + 1}),
    "a session named as a subject is": (revoked("session", "ann"), {}),
    "a jti in other letters": (revoked("token", "T-1"), {}),
    "another credential": (revoked("token", CREDENTIAL + bytes(32).hex()), {}),
    "a session, of a token without one": (revoked("session", "s-1"), {"sid": None}),
    "a jti, of a token without one": (revoked("token", "t-1"), {"jti": None}),
    "a subject, of a token without one": (revoked("subject", "ann"), {"sub": None}),
    "a withdrawal alone": (revoked("session", "s-1", until_us=0), {}),
}


@pytest.mark.parametrize(("entry", "changed"), PASSED.values(), ids=PASSED.keys())
def test_passed(entry: Revocation, changed: Mapping[str, Json]) -> None:
    assert answer([entry], {**CLAIMS, **changed}) is None


def test_an_empty_index_refuses_nothing_and_a_key_without_a_name_is_no_revoked_one() -> None:
    assert answer([]) is None
    assert answer([revoked("key", "k-1")], kid=None) is None
    assert answer([revoked("token", CREDENTIAL + bytes(32).hex())], credential=b"") is None


NO_REVOCATIONS: dict[str, tuple[Kind, str, str, int, int | None]] = {
    "a kind that is none": (cast("Kind", "user"), ISSUER, "s", 1, None),
    "no issuer": ("session", "", "s", 1, None),
    "no value": ("session", ISSUER, "", 1, None),
    "an issuer with a value": ("issuer", ISSUER, "x", 1, None),
    "a value too long": ("session", ISSUER, "s" * (LONGEST + 1), 1, None),
    "a lone surrogate": ("session", ISSUER, "\ud800", 1, None),
    "a begin before time": ("session", ISSUER, "s", -1, None),
    "an end before its begin": ("session", ISSUER, "s", 9, 8),
    "an end beyond time": ("session", ISSUER, "s", 9, 2**62),
    "a digest cut short": ("token", ISSUER, CREDENTIAL + "ab", 1, None),
    "a digest in capitals": ("token", ISSUER, CREDENTIAL + "AB" * 32, 1, None),
}


@pytest.mark.parametrize("fields", NO_REVOCATIONS.values(), ids=NO_REVOCATIONS.keys())
def test_is_no_revocation(fields: tuple[Kind, str, str, int, int | None]) -> None:
    with pytest.raises(ValueError, match=r"revocation|digits"):
        Revocation(*fields, by="test")


def test_a_withdrawal_takes_back_that_alone() -> None:
    index = index_of(revoked("session", "s-1"), revoked("session", "s-2"), revoked("key", "k-9"))
    index.apply([revoked("session", "s-1", until_us=0)], 2)
    assert index.refused(ISSUER, CLAIMS, DIGEST, None) is None
    assert index.refused(ISSUER, {"sid": "s-2"}, DIGEST, None) == "token.revoked"
    assert index.refused(ISSUER, {}, DIGEST, "k-9") == "token.revoked"
    assert (len(index), index.revision) == (2, 2)


def test_of_changes_to_one_thing_the_last_counts() -> None:
    assert answer([revoked("session", "s-1"), revoked("session", "s-1", until_us=0)]) is None
    assert answer([revoked("session", "s-1", until_us=0), revoked("session", "s-1")]) == "token.revoked"


def test_nothing_is_forgotten_before_its_end_and_a_day() -> None:
    end = NOW_US + 60_000_000
    index = index_of(revoked("session", "s-1", until_us=end), revoked("session", "s-2"))
    assert index.expire(end + GRACE_US - 1) == 0
    assert index.refused(ISSUER, CLAIMS, DIGEST, None) == "token.revoked"
    assert index.expire(end + GRACE_US) == 1
    assert index.refused(ISSUER, CLAIMS, DIGEST, None) is None
    assert index.expire(2**62) == 0, "what has no end stays"
    assert index.refused(ISSUER, {"sid": "s-2"}, DIGEST, None) == "token.revoked"


def test_a_full_index_takes_no_more_says_so_and_stays_as_it_was() -> None:
    index = Revocations(most=2)
    index.apply([revoked("session", "s-1"), revoked("session", "s-2")], 1)
    with pytest.raises(StoreError, match=r"2 at most.*withdraw") as caught:
        index.apply([revoked("session", "s-3"), revoked("session", "s-1", until_us=0), revoked("key", "k")], 2)
    assert caught.value.code == "S112"
    assert (len(index), index.revision) == (2, 1)
    assert index.refused(ISSUER, CLAIMS, DIGEST, None) == "token.revoked"
    index.apply([revoked("session", "s-1", until_us=0), revoked("session", "s-3")], 3)
    assert index.refused(ISSUER, {"sid": "s-3"}, DIGEST, None) == "token.revoked"


def test_asking_costs_well_under_a_microsecond_where_nothing_is_revoked() -> None:
    index = Revocations()
    best = min(timeit.repeat(lambda: index.refused(ISSUER, CLAIMS, DIGEST, "k-1"), number=2_000, repeat=25)) / 2_000
    assert best < 1e-6


KINDS: tuple[Kind, ...] = ("token", "subject", "session", "key", "issuer")
TIMES = st.integers(min_value=NOW_S - 2, max_value=NOW_S + 2)


@st.composite
def revocations(draw: st.DrawFn) -> Revocation:
    kind = draw(st.sampled_from(KINDS))
    names = ["a", "b", CREDENTIAL + DIGEST.hex()] if kind == "token" else ["a", "b"]
    value = "" if kind == "issuer" else draw(st.sampled_from(names))
    at = draw(TIMES) * 1_000_000 + draw(st.sampled_from([0, 1, 999_999]))
    until = draw(st.sampled_from([None, 0, at + 1, at + 10**12]))
    return Revocation(kind, draw(st.sampled_from([ISSUER, OTHER])), value, at, until, "law")


NAMES = st.sampled_from([None, "a", "b", "c"])
TOKENS = st.fixed_dictionaries({"jti": NAMES, "sub": NAMES, "sid": NAMES, "iat": TIMES})


def _says(entry: Revocation, claims: Mapping[str, Json], credential: bytes, kid: str | None) -> bool:
    """Whether one entry refuses a token of ISSUER: the definition, for tokens whose claims are texts."""
    if entry.until_us == 0 or entry.issuer != ISSUER:
        return False
    named = {"issuer": "", "key": kid, "session": claims["sid"], "subject": claims["sub"], "token": claims["jti"]}
    if entry.kind == "token" and entry.value == CREDENTIAL + credential.hex():
        return True
    if entry.value != named[entry.kind]:
        return False
    issued = claims["iat"]
    assert isinstance(issued, int)
    return entry.kind != "subject" or entry.until_us is None or (issued - 1) * 1_000_000 < entry.at_us


@given(st.lists(revocations(), max_size=8), TOKENS, st.sampled_from([DIGEST, bytes(32)]), NAMES)
def test_the_index_refuses_what_the_newest_word_on_each_thing_refuses(
    changes: list[Revocation], claims: dict[str, Json], credential: bytes, kid: str | None
) -> None:
    """refused(index(changes), t) <=> some newest entry says so; in one piece or one by one."""
    newest = {change.identity: change for change in changes}
    wanted = "token.revoked" if any(_says(e, claims, credential, kid) for e in newest.values()) else None
    single = Revocations()
    for number, change in enumerate(changes, start=1):
        single.apply([change], number)
    assert index_of(*changes).refused(ISSUER, claims, credential, kid) == wanted
    assert single.refused(ISSUER, claims, credential, kid) == wanted


@given(revocations(), revocations(), TOKENS)
def test_revoking_again_never_lets_a_token_pass(old: Revocation, new: Revocation, claims: dict[str, Json]) -> None:
    """says(old, t) or says(new, t) => says(merged(old, new), t), unless `new` withdraws."""
    new = Revocation(old.kind, old.issuer, old.value, new.at_us, new.until_us or None, "law")
    both = merged(old, new)
    for credential, kid in ((DIGEST, "a"), (bytes(32), "b")):
        if _says(old, claims, credential, kid) or _says(new, claims, credential, kid):
            assert _says(both, claims, credential, kid)


def test_an_index_that_follows_has_every_revocation_made_before_it_is_asked() -> None:
    shelf = Shelf()
    here, there = MemoryStore(shelf), MemoryStore(shelf)
    following = Following(here, Revocations(), lambda: NOW_US, recheck_s=1e9)
    assert following.failure is not None, "nothing is known before the first look"
    assert following.keep_up(0.0) is None
    there.revoke(revoked("session", "s-1"))
    assert following.keep_up(0.0) is None
    assert following.index.refused(ISSUER, CLAIMS, DIGEST, None) == "token.revoked"
    there.withdraw(("session", ISSUER, "s-1"), NOW_US, "test")
    assert following.keep_up(0.0) is None
    assert following.index.refused(ISSUER, CLAIMS, DIGEST, None) is None


def test_a_store_that_fails_takes_nothing_out_of_the_index_and_is_asked_again_each_time() -> None:
    shelf = Shelf()
    store: Store = MemoryStore(shelf)
    following = Following(store, Revocations(), lambda: NOW_US)
    store.revoke(revoked("session", "s-1"))
    following.keep_up(0.0)
    shelf.broken = "unplugged"
    failure = following.keep_up(0.0)
    assert failure is not None
    assert "unplugged" in failure.detail
    assert following.index.refused(ISSUER, CLAIMS, DIGEST, None) == "token.revoked"
    shelf.broken = None
    store.revoke(revoked("session", "s-2"))
    assert following.keep_up(0.0) is None
    assert len(following.index) == 2


def test_an_index_too_small_for_its_store_says_so_at_every_decision() -> None:
    store = MemoryStore(Shelf())
    following = Following(store, Revocations(most=1), lambda: NOW_US)
    store.revoke(revoked("session", "s-1"))
    assert following.keep_up(0.0) is None
    store.revoke(revoked("session", "s-2"))
    for _ in range(2):
        failure = following.keep_up(0.0)
        assert failure is not None
        assert failure.code == "S112"


def test_an_index_full_of_what_is_over_makes_room_as_its_store_did() -> None:
    shelf, clock = Shelf(most=2), [NOW_US]
    store = MemoryStore(shelf)
    following = Following(store, Revocations(most=2), lambda: clock[0])
    over, lasting = revoked("token", "t-1", until_us=NOW_US + 1), revoked("session", "s-1")
    for entry in (over, lasting):
        store.revoke(entry)
    assert following.keep_up(0.0) is None
    del shelf.entries[over.identity]  # as a store does that needs the room
    store.revoke(revoked("session", "s-2"))
    failure = following.keep_up(0.0)
    assert failure is not None
    assert failure.code == "S112", "it is not over yet"
    clock[0] = NOW_US + 1 + GRACE_US
    assert following.keep_up(1.0) is None
    assert following.index.refused(ISSUER, {"sid": "s-2"}, DIGEST, None) == "token.revoked"
    assert following.index.refused(ISSUER, {"sid": "s-1"}, DIGEST, None) == "token.revoked"
    assert len(following.index) == 2


def test_an_index_that_stays_too_small_is_not_gone_through_at_every_decision() -> None:
    looks: list[float] = []

    def clock_us() -> int:
        looks.append(0.0)
        return NOW_US

    store = MemoryStore(Shelf())
    following = Following(store, Revocations(most=1), clock_us)
    store.revoke(revoked("session", "s-1"))
    store.revoke(revoked("session", "s-2"))
    for now_s in (0.0, 0.1, 0.9):
        failure = following.keep_up(now_s)
        assert failure is not None
        assert failure.code == "S112"
    assert len(looks) == 1
    store.withdraw(("session", ISSUER, "s-1"), NOW_US, "test")
    assert following.keep_up(1.0) is None
    assert following.index.refused(ISSUER, {"sid": "s-2"}, DIGEST, None) == "token.revoked"


def _file(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


SESSION = {"kind": "session", "issuer": ISSUER, "value": "s-1"}


def test_a_file_revokes_what_its_lines_say() -> None:
    data = _file(SESSION, {"kind": "issuer", "issuer": OTHER}) + b"\n  \n"
    data += _file({"kind": "subject", "issuer": ISSUER, "value": "ann", "at": NOW_S, "until": NOW_S + 9})
    assert read_watched(data) == (
        Revocation("session", ISSUER, "s-1", 0, None, BY),
        Revocation("issuer", OTHER, "", 0, None, BY),
        Revocation("subject", ISSUER, "ann", NOW_US, NOW_US + 9_000_000, BY),
    )


def test_a_file_that_revokes_nothing_is_one_empty_line() -> None:
    assert read_watched(b"\n") == ()


def test_of_two_lines_on_one_thing_the_stricter_counts() -> None:
    subject = {"kind": "subject", "issuer": ISSUER, "value": "ann"}
    assert read_watched(_file({**subject, "at": 5, "until": 9}, subject, {**subject, "at": 7, "until": 8})) == (
        Revocation("subject", ISSUER, "ann", 7_000_000, None, BY),
    )


BAD_FILES: dict[str, tuple[bytes, int]] = {
    "no byte, as while it is written": (b"", 0),
    "a last line that was cut off": (_file(SESSION, SESSION)[:-1], 0),
    "too large": (b"\n" * (MOST_BYTES + 1), 0),
    "no JSON": (_file(SESSION) + b"session s-1\n", 2),
    "an array": (_file([SESSION]), 1),
    "a kind that is none": (_file({**SESSION, "kind": "user"}), 1),
    "no kind": (_file({"issuer": ISSUER, "value": "s"}), 1),
    "no value": (_file({"kind": "session", "issuer": ISSUER}), 1),
    "an issuer with a value": (_file({**SESSION, "kind": "issuer"}), 1),
    "a value that is a number": (_file({**SESSION, "value": 7}), 1),
    "a member twice": (b'{"kind": "session", "issuer": "i", "value": "a", "value": "b"}\n', 1),
    "a member of nobody's": (_file({**SESSION, "note": "stolen"}), 1),
    "an end of 0, which would withdraw": (_file({**SESSION, "until": 0}), 1),
    "an end without a begin": (_file({**SESSION, "until": NOW_S}), 1),
    "an end before its begin": (_file({**SESSION, "at": 9, "until": 8}), 1),
    "an end beyond time": (_file({**SESSION, "until": 2**60}), 1),
    "a time with a fraction": (_file({**SESSION, "at": 1.5}), 1),
    "not UTF-8": (b'{"kind": "session", "issuer": "\xff", "value": "a"}\n', 1),
    "a byte order mark": (b"\xef\xbb\xbf" + _file(SESSION), 1),
    "nested deep": (b"[" * 100_000 + b"\n", 1),
    "a NUL": (b"\0\n", 1),
}


@pytest.mark.parametrize(("data", "line"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_is_refused_whole_by_line(data: bytes, line: int) -> None:
    read = read_watched(data)
    assert isinstance(read, FileRefused)
    assert [problem.line for problem in read.problems] == [line]


def test_every_bad_line_is_named_up_to_a_hundred() -> None:
    read = read_watched(_file(SESSION, {}, SESSION, {}))
    assert isinstance(read, FileRefused)
    assert [problem.line for problem in read.problems] == [2, 4]
    read = read_watched(b"x\n" * 10_000)
    assert isinstance(read, FileRefused)
    assert len(read.problems) == MOST_PROBLEMS


@given(st.binary(max_size=200))
def test_reading_a_file_is_total(data: bytes) -> None:
    """read_watched answers for every file, and one with problems revokes nothing."""
    read = read_watched(data + b"\n")
    assert isinstance(read, tuple) or read.problems


def test_a_problem_shows_no_control_characters() -> None:
    read = read_watched(_file({**SESSION, "kind": "\x1b[31m"}))
    assert isinstance(read, FileRefused)
    assert "\x1b" not in read.problems[0].text

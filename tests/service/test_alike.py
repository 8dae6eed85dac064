"""pdp.audit.alike: what is called like a leaf is one, and says what the parser reads in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.audit import ids
from pdp.audit.alike import MOST_FRAME_BYTES, MOST_KEPT_BYTES, MOST_LEARNED, Frames, Run
from pdp.audit.checkpoint import parse_vkey
from pdp.audit.leaf import LeafError, Sealed, encode, parse
from pdp.audit.reader import WalName
from pdp.audit.verify import verify_files
from pdp.audit.verify_trust import Wanted
from pdp.model import Json
from tests.support.logs import BOOT, IDS, T0_US, VKEY, ignore
from tests.support.plain_verify import plainly_verified
from tests.support.signed_logs import disk_of, signed_files

COMMITMENT = "0123456789abcdef" * 4
CONTEXT = IDS.make(BOOT, 0, 1)
VERIFIER = parse_vkey(VKEY)


def usual(seq: int, kind: str = "decision", box: int = 60, **more: Json) -> bytes:
    """A record as the service writes them: most of what may stand in one, ids and instants of its own."""
    clear: dict[str, Json] = {
        "by": ["cases.owner"], "cx": CONTEXT, "d": "allow", "ep": "GET /accounts/{id}", "gw": "edge", "m": "GET",
        "pb": "ab" * 32, "rl": [["cases.owner", ["1", "T", ""]]], "sv": "ledger", "t": T0_US + seq,
        "vu": 1_700_000_300_000,
    }  # fmt: skip
    shown = {name: value for name, value in (clear | more).items() if value is not None}
    sealed = Sealed("A" * (box - 4) + "+/9=", COMMITMENT) if box else None
    return encode(kind, IDS.make(BOOT, 0, seq), shown, sealed)


FORMS: dict[str, bytes] = {
    "a decision": usual(3),
    "a decision of a call with a body": usual(3, bs=1024),
    "a decision without a box": usual(3, box=0),
    "a decision without a context": usual(3, cx=None),
    "a decision that holds for ever": usual(3, vu=None),
    "a context": usual(3, "context"),
    "ids, instants and sizes in nested members": usual(
        3, os={"cx": CONTEXT, "bs": 3, "vu": 7, "ic": COMMITMENT, "in": "AAAA"}
    ),
    "a nested id": usual(3, os={"id": IDS.make(BOOT, 0, 4)}),
    "a nested instant": usual(3, os={"t": T0_US + 3}),
    "an instant in a nested member only": usual(3, t=None, os={"t": 5}),
    "an instant before the years": usual(3, t=-5),
    "an instant that is a text": usual(3, t="1700000000000000"),
    "no instant": usual(3, t=None),
    "a size of nothing": usual(3, bs=0),
    "escapes": usual(3, rt="/é/\u2026/\\"),
    "another kind": usual(3, "log.heartbeat"),
    "an empty object and an empty list": usual(3, ob=[], os={}),
}


def told(frames: Frames, entries: Sequence[bytes]) -> Iterator[tuple[str, WalName, int] | None]:
    """What `runs` says of each entry, once each and in their order; None where it is to be read."""
    for part in frames.runs(entries):
        match part:
            case Run():
                assert part.count > 0
                for seq in range(part.first_seq, part.first_seq + part.count):
                    yield part.kind, part.name, seq
            case _:
                yield None


def assert_sound(frames: Frames, entries: Sequence[bytes]) -> int:
    """The law of the module, for these entries; how many are called alike."""
    alike = 0
    for entry, said in zip(entries, told(frames, entries), strict=True):
        if said is None:
            continue
        alike += 1
        record = parse(entry)
        own = ids.parse(record.id)
        assert said == (record.kind, WalName(own.writer, own.boot), own.seq)
    at = 0
    for part in frames.runs(entries):
        if isinstance(part, Run):
            assert part.offset == at
            stated = [parse(entry).clear["t"] for entry in entries[at : at + part.count]]
            instants = [instant for instant in stated if isinstance(instant, int)]
            assert (len(instants), max(instants)) == (part.count, part.newest_us)
        else:
            assert part == at
        at += part.count if isinstance(part, Run) else 1
    return alike


def learned(*entries: bytes) -> Frames:
    frames = Frames()
    frames.runs(entries)
    return frames


# ------------------------------------------------------------------ what is alike


def test_the_usual_records_are_one_run() -> None:
    entries = [usual(seq) for seq in range(256)]
    assert Frames().runs(entries) == [Run(0, 256, "decision", WalName(0, BOOT), 0, T0_US + 255)]


def test_a_box_of_another_length_and_another_instant_are_alike_once_each_was_seen() -> None:
    entries = [usual(seq, box=60 + 4 * (seq % 5), vu=10**12 + seq) for seq in range(100)]
    assert len(Frames().runs(entries)) == 1


def test_runs_end_where_anything_but_the_number_changes() -> None:
    entries = [
        usual(5), usual(6), usual(7, "context"), usual(9), usual(11), usual(10), usual(12, "log.heartbeat"), usual(13),
        b"", usual(14),
    ]  # fmt: skip
    shown = [
        part if isinstance(part, int) else (part.offset, part.count, part.first_seq) for part in Frames().runs(entries)
    ]
    assert shown == [(0, 2, 5), (2, 1, 7), (3, 1, 9), (4, 1, 11), (5, 1, 10), 6, (7, 1, 13), 8, (9, 1, 14)]


def test_no_run_goes_over_a_record_that_is_to_be_read() -> None:
    runs = Frames().runs([usual(5), b"", usual(7)])
    assert [part if isinstance(part, int) else (part.offset, part.count) for part in runs] == [(0, 1), 1, (2, 1)]


def test_the_id_is_the_records_own_where_a_member_repeats_it() -> None:
    own = usual(3, ad={"id": IDS.make(BOOT, 0, 3)})
    other = usual(3, ad={"id": IDS.make(BOOT, 0, 9)})
    frames = learned(own)
    assert_sound(frames, [own, other])


def test_a_number_beyond_32_bits_is_told_and_begins_a_run() -> None:
    entries = [usual(seq) for seq in range(2**32 - 2, 2**32 + 2)]
    runs = Frames().runs(entries)
    assert [(part.first_seq, part.count) for part in runs if isinstance(part, Run)] == [(2**32 - 2, 2), (2**32, 2)]
    assert_sound(Frames(), entries)


def test_a_bundle_of_nothing_has_no_runs() -> None:
    assert Frames().runs([]) == []


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_told_as_the_parser_reads_it(name: str) -> None:
    assert_sound(Frames(), [FORMS[name]] * 2)
    assert_sound(learned(*FORMS.values()), list(FORMS.values()))


READ_EACH_TIME = {
    "ids, instants and sizes in nested members", "a nested id", "a nested instant",
    "an instant in a nested member only", "an instant before the years", "an instant that is a text",
    "no instant", "escapes", "another kind",
}  # fmt: skip


def test_which_forms_are_alike_to_others() -> None:
    alike = {name for name, entry in FORMS.items() if assert_sound(learned(entry), [entry])}
    assert alike == FORMS.keys() - READ_EACH_TIME


# ------------------------------------------------------------------ what is not

WRITTEN = [*b'"\\{}[],: 0179aAfFgz+/=-._\x00\x1f\n\x7f\x80\xff']


@pytest.mark.parametrize("name", ["a decision", "a decision of a call with a body", "a decision without a box"])
def test_no_byte_in_place_of_another_is_believed(name: str) -> None:
    """For each place, each hostile byte written over it: alike only where it is a leaf that says so."""
    base = FORMS[name]
    alike = 0
    for at in range(len(base)):
        alike += assert_sound(learned(base), [base[:at] + bytes([byte]) + base[at + 1 :] for byte in WRITTEN])
    assert alike > len(base)  # the bytes of ids, box and instants are free, or this shows nothing


SLOTTED = ("a decision of a call with a body", "a decision", "a decision that holds for ever", "a context")
SLOT = re.compile(rb'"(?:cx|ic|id|in)":"([^"]*)"|"(?:bs|t|vu)":([0-9]+)')
HOSTILE = b'0123456789abcdefABCF+/=",\\{}[]: -.\x00\x7f\xff'


def slots_of(entry: bytes) -> list[tuple[int, int]]:
    """Where the values stand that a record need not share with those it is like."""
    return [found.span(found.lastindex or 0) for found in SLOT.finditer(entry)]


def test_no_byte_of_a_slot_in_place_of_another_is_believed() -> None:
    """Each by itself: one byte that a slot may not hold sends all records beside it to be read."""
    base = FORMS["a decision of a call with a body"]
    frames, alike = learned(base), 0
    for begin, end in slots_of(base):
        for at in (begin, begin + 1, end - 1):
            alike += sum(assert_sound(frames, [base[:at] + bytes([byte]) + base[at + 1 :]]) for byte in HOSTILE)
    assert alike > 100


COMMAS = {
    '"bs":1024': (b'"bs":1,24', b'"bs":,024', b'"bs":102,', b'"bs":1,,4', b'"bs":,,,,'),
    '"t":1700000000000003': (b'"t":1700000,00000003', b'"t":,700000000000003', b'"t":170000000000000,'),
    '"vu":1700000300000': (b'"vu":17,0000300000', b'"vu":,700000300000', b'"vu":1,1,1,1,1,1,1'),
}


@pytest.mark.parametrize("name", COMMAS)
def test_a_comma_in_a_number_makes_no_two_numbers_of_it(name: str) -> None:
    """Also beside records without such a number, whose places for it are empty."""
    base = FORMS["a decision of a call with a body"]
    beside = [FORMS["a decision"], FORMS["a decision that holds for ever"], base]
    for text in COMMAS[name]:
        entry = changed(name.encode(), text)
        assert len(entry) == len(base)
        frames = learned(*beside)
        for bundle in ([entry], [entry, *beside], [*beside, entry, entry]):
            assert dict(zip(bundle, told(frames, bundle), strict=True))[entry] is None


def changed(old: bytes, new: bytes, base: bytes = FORMS["a decision of a call with a body"]) -> bytes:
    assert old in base
    return base.replace(old, new, 1)


ID = IDS.make(BOOT, 0, 3).encode()
CX = CONTEXT.encode()
NOT_LEAVES: dict[str, bytes] = {
    "an id in upper case": changed(ID, ID[:20] + b"ABCDEFABCDEF"),
    "an id with spaces": changed(ID, b" " * 32),
    "an id cut short": changed(ID, ID[:-1]),
    "a box with an escape": changed(b"A" * 12, b"\\u0041" + b"A" * 6),
    "a box with a raw control": changed(b"A" * 12, b"\x1b[2J" + b"A" * 8),
    "an instant with a leading zero": changed(b'"t":17', b'"t":07'),
    "an instant that is a float": changed(b'"t":1700000000', b'"t":1.00000000'),
    "a size without digits": changed(b'"bs":1024', b'"bs":'),
    "a size in the words of another script": changed(b'"bs":1024', '"bs":١٢'.encode()),
    "a number of 24 digits": changed(b'"bs":1024', b'"bs":' + b"1" * 24),
    "a commitment that is empty": changed(COMMITMENT.encode(), b""),
    "a commitment in upper case": changed(COMMITMENT.encode(), COMMITMENT.upper().encode()),
    "one byte more": FORMS["a decision"] + b" ",
    "nothing": b"",
    "the key of the id alone": b'"id":"',
}


OTHER_LEAVES: dict[str, bytes] = {
    "a context that ends its string": changed(CX, CX[:20] + b'","cy":"aaaa'),
    "a box that ends its string": changed(b"A" * 20, b'AAA","in2":"AAAAAAAA'),
    "an instant with a sign": changed(b'"t":17', b'"t":-7'),
}


@pytest.mark.parametrize("name", OTHER_LEAVES)
def test_a_leaf_with_more_members_in_the_place_of_a_slot_is_not_alike(name: str) -> None:
    entry, base = OTHER_LEAVES[name], FORMS["a decision of a call with a body"]
    assert (parse(entry).clear.keys() != parse(base).clear.keys()) or name == "an instant with a sign"
    assert len(entry) == len(base)
    assert list(told(learned(base), [entry])) == [None]


@pytest.mark.parametrize("name", NOT_LEAVES)
def test_what_is_no_leaf_is_never_alike(name: str) -> None:
    with pytest.raises(LeafError):
        parse(NOT_LEAVES[name])
    entries = [NOT_LEAVES[name], *FORMS.values()]
    for frames in (Frames(), learned(*FORMS.values())):
        assert next(told(frames, entries)) is None
        assert_sound(frames, entries)
        assert assert_sound(frames, entries[1:]) > 0


def test_a_slot_that_another_form_leaves_empty_is_not_filled_from_its_frame() -> None:
    """One entry whose bytes are the frame of a record with a commitment, cut at the places of a record without one."""
    whole = usual(3, box=60)
    empty = whole.replace(COMMITMENT.encode(), b"")
    with pytest.raises(LeafError):
        parse(empty)
    place = empty.find(b'"id":"')
    room = place - usual(3, box=0, ad="").find(b'"id":"')
    twin = usual(3, box=0, ad="c" * room, zz="")
    twin = usual(3, box=0, ad="c" * room, zz="d" * (len(empty) - len(twin)))
    assert (len(twin), twin.find(b'"id":"')) == (len(empty), place)
    assert next(told(learned(whole, twin), [empty])) is None


def test_one_bad_slot_sends_the_whole_bundle_to_be_read() -> None:
    entries = [usual(seq) for seq in range(10)]
    entries[4] = entries[4].replace(IDS.make(BOOT, 0, 4).encode(), IDS.make(BOOT, 0, 4).upper().encode())
    assert Frames().runs(entries[:4]) != [0, 1, 2, 3]
    assert learned(*entries[:4]).runs(entries) == list(range(10))


# ------------------------------------------------------------------ bounds


def test_frames_are_forgotten_when_they_take_too_much_memory() -> None:
    frames = Frames()
    kept = []
    for seq in range(0, 6_000, 100):
        new = [usual(seq, ep=f"GET /{n:03000}") for n in range(seq, seq + 100)]
        assert assert_sound(frames, new) == 100
        frames.runs(new * 8)
        kept.append(sum(len(part) for frame in frames._kinds for part in frame))
    assert max(kept) <= MOST_KEPT_BYTES
    assert kept != sorted(kept)
    assert sum(map(len, frames._forms.values())) <= len(frames._kinds)


def test_records_of_ever_new_frames_are_read_and_not_learned_each() -> None:
    frames = Frames()
    alike = 0
    for seq in range(0, 6_000, 200):
        alike += assert_sound(frames, [usual(seq, ep=f"GET /{n}") for n in range(seq, seq + 200)])
    assert MOST_LEARNED <= alike < MOST_LEARNED * 2
    assert assert_sound(frames, [usual(1, ep="GET /0")] * 20) == 20


def test_a_form_that_many_frames_share_is_kept_once_and_few_compete_for_one_length() -> None:
    frames = learned(*(usual(1, ep=f"GET /{n:05}") for n in range(40)))
    assert [len(forms) for forms in frames._forms.values()] == [1]
    frames = learned(*(usual(1, by=["r" * n], gw="g" * (40 - n)) for n in range(40)))
    assert max(map(len, frames._forms.values())) <= 8
    assert assert_sound(frames, [usual(2, by=["r" * n], gw="g" * (40 - n)) for n in range(40)]) == 40


def test_a_large_record_is_read_each_time() -> None:
    entry = usual(1, ep="e" * MOST_FRAME_BYTES)
    assert learned(entry).runs([entry]) == [0]
    assert not learned(entry)._forms


# ------------------------------------------------------------------ laws

texts = st.text('ab"\\\u00e9:{},.1', max_size=4)
names = st.sampled_from(["bs", "cx", "vu", "t", "os", "zz", "ad"])
scalars = st.integers(-3, 10**19) | st.booleans() | st.none() | texts | st.just(CONTEXT) | st.just(T0_US)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3))


@st.composite
def leaves(draw: st.DrawFn) -> bytes:
    more = draw(st.dictionaries(names, values, max_size=3))
    kind = draw(st.sampled_from(["decision", "context", "log.start"]))
    try:
        return usual(draw(st.integers(0, 3)), kind, draw(st.sampled_from([0, 4, 60])), **more)
    except LeafError:
        return b""


def _overwritten(entry: bytes, at: int, new: bytes) -> bytes:
    return entry[:at] + new + entry[at + len(new) :]


def _removed(entry: bytes, at: int, new: bytes) -> bytes:
    return entry[:at] + entry[at + len(new) :]


def _inserted(entry: bytes, at: int, new: bytes) -> bytes:
    return entry[:at] + new + entry[at:]


EDITS: list[Callable[[bytes, int, bytes], bytes]] = [_overwritten, _removed, _inserted]
pieces = st.sampled_from(
    [b'"', b'","', b"\\", b'":"', b'"id":"', b'"t":', b"0", b"00", b"-1", b"e", b" ", b"A", b"\x7f"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(leaves(), min_size=1, max_size=6), st.data())
def test_any_records_and_any_edits_of_them(entries: list[bytes], data: st.DataObject) -> None:
    """For all leaves L, edits e, and what was learned before: told(e(L)) is None or what parse(e(L)) says."""
    frames = learned(*entries)
    edited = []
    for entry in entries:
        at = data.draw(st.integers(0, len(entry)))
        edited.append(data.draw(st.sampled_from(EDITS))(entry, at, data.draw(pieces)))
    for bundle in (entries, edited, [*edited, *entries]):
        assert_sound(frames, bundle)


alphabets = st.sampled_from(
    [
        "0123456789",
        "0123456789abcdef",
        "ABYZabyz0189+/=",
        "0123456789,",
        "09-.e, ",
        'a"',
        'a0\\"{}[]:,',
        "a\x1f\x7f\xff",
    ]
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A usual record, of which some slots hold other bytes, as many as before."""
    entry = FORMS[draw(st.sampled_from(SLOTTED))]
    for begin, end in draw(st.lists(st.sampled_from(slots_of(entry)), min_size=1, max_size=3)):
        size = draw(st.integers(1, end - begin))
        at = draw(st.integers(begin, end - size))
        new = draw(st.text(draw(alphabets), min_size=size, max_size=size))
        entry = _overwritten(entry, at, new.encode("latin-1"))
    return entry


@given(st.lists(mutants(), min_size=1, max_size=2), st.integers(0, 4))
def test_records_that_fit_a_frame_are_reported_as_they_are_one_by_one(found: list[bytes], at: int) -> None:
    """For all leaves L whose slots hold any bytes: verify(L) = plainly_verified(L), to the letter."""
    usual_ones = [usual(0, "log.start"), *(FORMS[name] for name in SLOTTED)]
    leaves = [*usual_ones[: at + 1], *found, *usual_ones[at + 1 :]]
    assert_sound(learned(*usual_ones), leaves)
    disk = disk_of(signed_files(leaves))
    fast = verify_files(disk, None, VERIFIER, ignore, Wanted())
    assert fast == plainly_verified(disk, None, VERIFIER, Wanted())

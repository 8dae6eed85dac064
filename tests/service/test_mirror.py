"""Pulling another host's log: only what its key signed counts, it only grows, and it survives errors at any step."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import (
    MOST_BYTES,
    Checkpoint,
    open_checkpoint,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    verifier_of,
)
from pdp.audit.disk import Folder
from pdp.audit.manifest import MANIFEST, Statement, extended_manifest, first_manifest, sign_statement
from pdp.audit.merkle import EMPTY_ROOT
from pdp.audit.mirror import EVIDENCE, MOST_EVIDENCE, Pulled, pull
from pdp.audit.mirror_folder import MARK, held_mirror
from pdp.audit.mirror_source import SourceError
from pdp.audit.report import FORK, INCOMPLETE, INVALID, SOUND
from pdp.audit.tiles import ENTRIES, encode_bundle, parse_bundle, refs_of_level
from pdp.audit.tree import open_tree
from pdp.audit.verify import verify_log
from pdp.errors import StateError
from tests.support.logs import KEY, ORIGIN, OTHER_KEY, VKEY, Faults, MemoryDisk, build_log, ignore, records

ANCHOR = parse_vkey(VKEY)


@cache
def _files(count: int, marked: str, key: Ed25519PrivateKey) -> dict[str, bytes]:
    disk = MemoryDisk(Faults())
    tree = open_tree(disk, Checkpoint(ORIGIN, 0, EMPTY_ROOT))
    tree.append(entries(count, marked))
    tree.write_edge()
    disk.replace({"checkpoint": sign_checkpoint(ORIGIN, tree.size, tree.root(), key)})
    return disk.files


def entries(count: int, marked: str = "") -> list[bytes]:
    """Records 0 to `count`; from the 100th on they bear the mark, which makes another history."""
    return [b"record %d %s" % (number, marked.encode() if number >= 100 else b"") for number in range(count)]


def served(count: int, marked: str = "", key: Ed25519PrivateKey = KEY) -> MemoryDisk:
    """The log of so many records as a host serves it."""
    disk = MemoryDisk(Faults())
    disk.files = dict(_files(count, marked, key))
    return disk


def empty() -> MemoryDisk:
    return MemoryDisk(Faults())


def pulled(source: MemoryDisk, mirror: MemoryDisk) -> Pulled:
    return pull(source, mirror, ANCHOR, ignore)


def held(mirror: MemoryDisk) -> list[bytes]:
    """Every record under the mirror's checkpoint, which must be signed, and of a tree that leads to it."""
    data = mirror.read("checkpoint", MOST_BYTES)
    if data is None:
        return []
    checkpoint = open_checkpoint(data, ANCHOR)
    tree = open_tree(mirror, checkpoint)
    found: list[bytes] = []
    again = open_tree(empty(), Checkpoint(ORIGIN, 0, EMPTY_ROOT))
    for ref in refs_of_level(ENTRIES, checkpoint.size):
        found += parse_bundle(mirror.files[ref.path], ref.width)
    again.append(found)
    assert (again.size, again.root()) == (tree.size, checkpoint.root)
    return found


# ---------------------------------------------------------------- it grows


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1_000])
def test_the_first_pull(size: int) -> None:
    mirror = empty()
    outcome = pulled(served(size), mirror)
    assert (outcome.exit_code, outcome.size, outcome.added, outcome.text) == (SOUND, size, size, "")
    assert held(mirror) == entries(size)


def test_the_files_are_those_of_the_log_itself() -> None:
    mirror = empty()
    pulled(served(1_000), mirror)
    assert mirror.files == served(1_000).files


GROWING = {
    "within a bundle": [3, 5, 200],
    "to its end and on": [255, 256, 257],
    "from the end of a bundle": [512, 1_000],
    "over many bundles": [1, 1_000, 3_000],
    "from nothing": [0, 300],
}


@pytest.mark.parametrize("case", GROWING)
def test_it_grows_with_the_log(case: str) -> None:
    mirror, before = empty(), 0
    for size in GROWING[case]:
        outcome = pulled(served(size), mirror)
        assert (outcome.exit_code, outcome.size, outcome.added) == (SOUND, size, size - before)
        assert held(mirror) == entries(size)
        before = size
    assert set(mirror.files) == set(served(before).files)  # and partial files that are needless are gone


def test_a_log_with_a_level_above_the_first() -> None:
    mirror = empty()
    for size in (65_530, 65_536, 66_000):
        assert pulled(served(size), mirror).exit_code == SOUND
    assert mirror.files.keys() == served(66_000).files.keys()
    assert mirror.files["tile/1/000"] == served(66_000).files["tile/1/000"]


def test_nothing_new_writes_nothing() -> None:
    mirror = empty()
    pulled(served(300), mirror)
    mirror.faults.done = 0
    assert pulled(served(300), mirror).added == 0
    assert mirror.faults.done == 0


def test_a_witness_who_signs_later_is_taken_over() -> None:
    mirror, source = empty(), served(300)
    pulled(source, mirror)
    plain = source.files["checkpoint"]
    text, _, _ = plain.decode().rpartition("\n\n")
    cosigned = plain + sign_note(text + "\n", "witness.example", OTHER_KEY).splitlines(keepends=True)[-1]
    source.files["checkpoint"] = cosigned
    assert pulled(source, mirror).exit_code == SOUND
    assert mirror.files["checkpoint"] == cosigned
    source.files["checkpoint"] = plain
    assert pulled(source, mirror).exit_code == SOUND
    assert mirror.files["checkpoint"] == cosigned


def lines_by(name: str, key: Ed25519PrivateKey, count: int = 1) -> bytes:
    """Signature lines over the checkpoint of 300 records by so many keys of that name, the first one `key`'s."""
    text, _, _ = served(300).files["checkpoint"].decode().rpartition("\n\n")
    keys = [key, *(Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")) for number in range(1, count))]
    return b"".join(sign_note(text + "\n", name, each).splitlines(keepends=True)[-1] for each in keys)


def pulled_over(ours: bytes, theirs: bytes) -> bytes:
    """The signatures in a mirror that had some beside the log's, and was then served others."""
    mirror, source = empty(), served(300)
    plain = source.files["checkpoint"]
    for lines in (ours, theirs):
        source.files["checkpoint"] = plain + lines
        assert pulled(source, mirror).exit_code == SOUND
        assert held(mirror) == entries(300)
    assert mirror.files["checkpoint"].startswith(plain)
    return mirror.files["checkpoint"].removeprefix(plain)


WITNESS, OTHER_WITNESS = lines_by("witness.example", OTHER_KEY), lines_by("other.example", OTHER_KEY)
FALSE = sign_note("of another text\n", "witness.example", OTHER_KEY).splitlines(keepends=True)[-1]
JUNK = lines_by("nobody.example", KEY, 20)
TOO_MUCH = lines_by("nobodies.example", KEY, 560)

SIGNATURES: dict[str, tuple[bytes, bytes, bytes]] = {
    "none": (WITNESS, b"", WITNESS),
    "the same": (WITNESS, WITNESS, WITNESS),
    "another witness alone": (WITNESS, OTHER_WITNESS, WITNESS + OTHER_WITNESS),
    "the others in another order": (WITNESS + OTHER_WITNESS, OTHER_WITNESS + WITNESS, WITNESS + OTHER_WITNESS),
    "junk, and more of it than there was": (WITNESS, JUNK, WITNESS + JUNK),
    "a false one in place of ours": (WITNESS, FALSE + OTHER_WITNESS, WITNESS + OTHER_WITNESS),
    "two by one key": (WITNESS, OTHER_WITNESS + OTHER_WITNESS, WITNESS + OTHER_WITNESS),
    "more than a note has room for": (WITNESS + JUNK, TOO_MUCH, WITNESS + JUNK),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_no_signature_is_given_up_at_one_size(case: str) -> None:
    ours, theirs, wanted = SIGNATURES[case]
    assert pulled_over(ours, theirs) == wanted


def test_no_more_is_asked_for_than_is_needed() -> None:
    mirror = empty()
    pulled(served(1_000), mirror)
    asked: list[str] = []

    class Listening(MemoryDisk):
        def read(self, path: str, most: int = 1 << 30) -> bytes | None:
            asked.append(path)
            return super().read(path, most)

    source = Listening(Faults())
    source.files = served(1_030).files
    assert pulled(source, mirror).exit_code == SOUND
    wanted = ["checkpoint", MANIFEST, "tile/0/004.p/6", "tile/1/000.p/4", "tile/0/003", "tile/entries/003"]
    assert asked == [*wanted, "tile/entries/004.p/6"]


# ---------------------------------------------------------------- what contradicts it

FORKS = {
    "another history": (300, (800, "other"), "at 300 records its root is another than here"),
    "another history of that size": (300, (300, "other"), "of 300 records its root is another than here"),
    "an older state": (300, (200, ""), "it covers 200 records, 300 are here; it is an older state of this log"),
    "an older state of no records": (300, (0, ""), "it covers 0 records, 300 are here; it is an older state"),
    "a smaller other history": (300, (200, "other"), "it covers 200 records, 300 are here; it is another history"),
    "another history of many": (65_600, (66_000, "other"), "at 65600 records its root is another"),
}


@pytest.mark.parametrize("case", FORKS)
def test_a_fork_changes_nothing_and_both_checkpoints_are_kept(case: str) -> None:
    size, (theirs, marked), text = FORKS[case]
    mirror, source = empty(), served(theirs, marked)
    pulled(served(size), mirror)
    before = dict(mirror.files)
    outcome = pulled(source, mirror)
    assert (outcome.exit_code, outcome.size, outcome.added) == (FORK, size, 0)
    assert outcome.text.startswith(text)
    kept = {path: mirror.files.pop(path) for path in outcome.evidence}
    assert mirror.files == before
    assert set(kept.values()) == {before["checkpoint"], source.files["checkpoint"]}
    assert all(path.startswith(f"{EVIDENCE}/") for path in kept)
    assert pulled(served(size + 7), mirror).exit_code == SOUND


def test_a_fork_is_one_though_the_mirror_is_damaged() -> None:
    mirror = empty()
    pulled(served(1_000), mirror)
    del mirror.files["tile/0/000"]
    outcome = pulled(served(200), mirror)
    assert outcome.exit_code == FORK
    assert outcome.text.endswith("what it is cannot be told, since the mirror is damaged: tile/0/000 is missing")


def test_evidence_does_not_fill_the_disk() -> None:
    mirror = empty()
    pulled(served(300), mirror)
    for number in range(MOST_EVIDENCE):
        assert pulled(served(number), mirror).exit_code == FORK
    assert len(mirror.names(EVIDENCE)) == MOST_EVIDENCE
    assert pulled(served(200), mirror).evidence == ()


# ---------------------------------------------------------------- what was not signed


def test_another_key_is_refused() -> None:
    mirror = empty()
    outcome = pulled(served(300, key=OTHER_KEY), mirror)
    assert (outcome.exit_code, mirror.files) == (INVALID, {})
    assert "no signature by a key of the log" in outcome.text


def test_every_changed_file_is_found_before_it_counts() -> None:
    """Each file that is asked for, with one byte changed, cut short, or longer: 40, and the mirror as it was."""
    chance = random.Random(5)
    grown = served(1_030)
    for path in [
        "checkpoint",
        "tile/0/004.p/6",
        "tile/1/000.p/4",
        "tile/0/003",
        "tile/entries/003",
        "tile/entries/004.p/6",
    ]:
        data = grown.files[path]
        at = chance.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        for changed in (flipped, data[:at], data + b"\n", b""):
            mirror, source = empty(), served(1_030)
            pulled(served(1_000), mirror)
            before = mirror.files["checkpoint"]
            source.files[path] = changed
            assert pulled(source, mirror).exit_code == INVALID, path
            assert mirror.files["checkpoint"] == before
            assert held(mirror) == entries(1_000)
            assert pulled(grown, mirror).exit_code == SOUND
            assert held(mirror) == entries(1_030)


def test_records_and_tiles_that_were_changed_together_are_found() -> None:
    source = served(1_000)
    other = served(1_000, "other")
    source.files = {**other.files, "checkpoint": source.files["checkpoint"]}
    mirror = empty()
    assert pulled(source, mirror).exit_code == INVALID
    assert mirror.files == {}


def test_two_records_that_changed_places_are_found() -> None:
    source = served(600)
    first, second, *rest = parse_bundle(source.files["tile/entries/001"], 256)
    source.files["tile/entries/001"] = encode_bundle([second, first, *rest])
    outcome = pulled(source, empty())
    assert (outcome.exit_code, outcome.text) == (
        INVALID,
        "what is served is not sound: tile/entries/001: its records are not those that are signed",
    )


def test_a_missing_file_is_named_and_what_came_before_it_is_not_lost() -> None:
    source, mirror = served(1_000), empty()
    kept = source.files.pop("tile/entries/002")
    outcome = pulled(source, mirror)
    assert (outcome.exit_code, outcome.text) == (INCOMPLETE, "tile/entries/002 is missing")
    assert "checkpoint" not in mirror.files
    source.files["tile/entries/002"] = kept
    del source.files["tile/entries/000"], source.files["tile/entries/001"]  # they are here already
    assert pulled(source, mirror).exit_code == SOUND
    assert held(mirror) == entries(1_000)


def test_what_an_earlier_pull_left_is_proved_again() -> None:
    source, mirror = served(1_000), empty()
    kept = source.files.pop("tile/entries/002")
    pulled(source, mirror)
    mirror.files["tile/entries/001"] = served(1_000, "other").files["tile/entries/001"]
    source.files["tile/entries/002"] = kept
    assert pulled(source, mirror).exit_code == SOUND
    assert held(mirror) == entries(1_000)


def test_nothing_is_served() -> None:
    outcome = pulled(empty(), empty())
    assert outcome.exit_code == INCOMPLETE
    assert outcome.text.startswith("there is no `checkpoint`: name the folder that holds it")


@pytest.mark.parametrize("path", ["tile/entries/001.p/44", "tile/0/001.p/44"])
def test_a_damaged_mirror_is_named_and_stays(path: str) -> None:
    mirror = empty()
    pulled(served(300), mirror)
    mirror.files[path] = mirror.files[path][:-1] + b"\xff"
    before = dict(mirror.files)
    outcome = pulled(served(400), mirror)
    assert outcome.exit_code == INVALID
    assert outcome.text.startswith("the mirror itself is not sound, and stays as it is: ")
    assert mirror.files == before


# ---------------------------------------------------------------- a log that lives, disks that fail


class Living(MemoryDisk):
    """A log that goes on to its next state when a file is asked for that its next state has no more."""

    def __init__(self, states: Sequence[MemoryDisk], gone: str) -> None:
        super().__init__(Faults())
        self._states = list(states)
        self._gone = gone
        self.files = self._states.pop(0).files

    def read(self, path: str, most: int = 1 << 30) -> bytes | None:
        if path == self._gone and self._states:
            self.files = self._states.pop(0).files
        return super().read(path, most)


def test_a_partial_file_that_went_meanwhile_is_had_from_the_next_checkpoint() -> None:
    mirror = empty()
    outcome = pulled(Living([served(300), served(310)], "tile/0/001.p/44"), mirror)
    assert (outcome.exit_code, outcome.size) == (SOUND, 310)
    assert held(mirror) == entries(310)


def test_a_partial_file_that_is_full_by_now_serves_as_well() -> None:
    mirror = empty()
    source = Living([served(300), served(600)], "tile/entries/001.p/44")
    outcome = pulled(source, mirror)
    assert (outcome.exit_code, outcome.size) == (SOUND, 300)
    assert held(mirror) == entries(300)


def test_a_log_that_always_moves_away_ends() -> None:
    class Fleeing(MemoryDisk):
        size = 10

        def read(self, path: str, most: int = 1 << 30) -> bytes | None:
            if path == "checkpoint":
                self.size += 1
                return served(self.size).files[path]
            return None

    outcome = pulled(Fleeing(Faults()), empty())
    assert outcome.exit_code == INCOMPLETE
    assert outcome.text == "its checkpoint changed 5 times while its files were gone: try again"


def test_a_host_that_does_not_answer_is_said() -> None:
    class Silent(MemoryDisk):
        def read(self, path: str, most: int = 1 << 30) -> bytes | None:
            raise SourceError("https://log.example/checkpoint cannot be read: timed out")

    mirror = empty()
    pulled(served(300), mirror)
    outcome = pulled(Silent(Faults()), mirror)
    assert (outcome.exit_code, outcome.size) == (INCOMPLETE, 300)
    assert "timed out" in outcome.text


def _keep_all(_: str) -> bool:
    return True


def _keep_none(_: str) -> bool:
    return False


def _keep_some(path: str) -> bool:
    return sum(path.encode()) % 2 == 0


@pytest.mark.parametrize("keeps", [_keep_all, _keep_none, _keep_some])
def test_an_error_or_a_power_cut_at_any_step_loses_nothing_that_counted(keeps: Callable[[str], bool]) -> None:
    fail_at = 0
    while True:
        fail_at += 1
        mirror = empty()
        pulled(served(300), mirror)
        mirror.faults.done, mirror.faults.fail_at = 0, fail_at
        try:
            pulled(served(1_030), mirror)
        except OSError:
            mirror.faults.fail_at = None
            mirror.power_cut(keeps)
            found = held(mirror)
            assert found in (entries(300), entries(1_030))
            assert pulled(served(1_040), mirror).exit_code == SOUND
            assert held(mirror) == entries(1_040)
        else:
            break
    assert fail_at > 15


# ---------------------------------------------------------------- keys that change


def rotated() -> MemoryDisk:
    """A log of 600 records whose key changed at 300."""
    disk = served(600, key=OTHER_KEY)
    seal = served(300).files["checkpoint"]
    first = sign_statement(Statement(ORIGIN, 0, verifier_of(ORIGIN, KEY), 1_000, None), ORIGIN, KEY)
    second = sign_statement(Statement(ORIGIN, 1, verifier_of(ORIGIN, OTHER_KEY), 2_000, None), ORIGIN, KEY)
    disk.files[MANIFEST] = extended_manifest(first_manifest(first), second, seal)
    return disk


@pytest.mark.parametrize("before", [0, 200, 300])
def test_a_log_whose_key_changed_is_followed_by_its_manifest(before: int) -> None:
    mirror = empty()
    pulled(served(before), mirror)
    outcome = pulled(rotated(), mirror)
    assert (outcome.exit_code, outcome.size, outcome.text) == (SOUND, 600, "")
    assert mirror.files[MANIFEST] == rotated().files[MANIFEST]


@pytest.mark.parametrize("before", [0, 100])
def test_a_log_that_is_served_from_before_its_seal_is_a_fork(before: int) -> None:
    source, mirror = rotated(), empty()
    pulled(served(before), mirror)
    held_before = held(mirror)
    source.files["checkpoint"] = served(200).files["checkpoint"]
    outcome = pulled(source, mirror)
    assert outcome.exit_code == FORK
    assert "it covers 200 records, a change of keys sealed 300" in outcome.text
    assert held(mirror) == held_before


def test_without_the_manifest_the_new_key_is_nobodys() -> None:
    source, mirror = rotated(), empty()
    pulled(served(300), mirror)
    del source.files[MANIFEST]
    assert pulled(source, mirror).exit_code == INVALID


@pytest.mark.parametrize("made_up", [False, True])
def test_a_checkpoint_that_the_next_key_signed_again_is_taken_over_unless_somebody_made_it_up(made_up: bool) -> None:
    """At the size of the seal both keys sign; a line that only names the later key would make the mirror unsound."""
    mirror, source = empty(), rotated()
    sealed = served(300).files["checkpoint"]
    again = lines_by(ORIGIN, OTHER_KEY)
    if made_up:
        blob = base64.b64encode(verifier_of(ORIGIN, OTHER_KEY).key_id + bytes(64)).decode()
        again = f"\u2014 {ORIGIN} {blob}\n".encode()
    plain = served(300)
    plain.files["checkpoint"] = sealed + (again if made_up else b"")
    assert pulled(plain, mirror).exit_code == SOUND
    text, _, _ = sealed.decode().rpartition("\n\n")
    witnessed = sign_note(text + "\n", ORIGIN, OTHER_KEY) + WITNESS
    source.files["checkpoint"] = witnessed
    assert pulled(source, mirror).exit_code == SOUND
    assert mirror.files["checkpoint"] == sealed + again + (b"" if made_up else WITNESS)
    assert pulled(rotated(), mirror).size == 600


def test_an_old_key_that_goes_on_is_a_fork() -> None:
    mirror = empty()
    pulled(rotated(), mirror)
    outcome = pulled(served(700), mirror)
    assert (outcome.exit_code, outcome.text) == (FORK, "its keys are not those that are known here")
    assert len(outcome.evidence) == 3


# ---------------------------------------------------------------- the folder


def test_a_mirror_is_verified_as_a_log_is(tmp_path: Path) -> None:
    source = build_log(tmp_path / "state", records(600))
    with held_mirror(tmp_path / "mirror", VKEY) as disk:
        assert pull(Folder(source), disk, ANCHOR, ignore).size == 600
    assert verify_log(tmp_path / "mirror", None, VKEY, ignore).exit_code == 0
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "mirror").rglob("*")}
    assert modes == {0o600, 0o700}


def test_a_folder_of_somebody_else_is_not_written_into(tmp_path: Path) -> None:
    own = build_log(tmp_path / "state", records(3))
    before = sorted(path.name for path in own.rglob("*"))
    with pytest.raises(StateError, match="holds something that is no mirror"), held_mirror(own, VKEY):
        pass
    assert sorted(path.name for path in own.rglob("*")) == before


def test_a_mirror_of_another_log_is_not_written_into(tmp_path: Path) -> None:
    with held_mirror(tmp_path / "mirror", VKEY):
        pass
    with pytest.raises(StateError, match="is a mirror under the key"), held_mirror(tmp_path / "mirror", VKEY + "x"):
        pass


MARKS = {"no JSON": b"{", "another version": b'{"format":2,"key":"x"}', "nothing": b"", "a list": b"[]"}


@pytest.mark.parametrize("case", MARKS)
def test_a_mark_that_is_none(tmp_path: Path, case: str) -> None:
    (tmp_path / MARK).write_bytes(MARKS[case])
    tmp_path.chmod(0o700)
    with pytest.raises(StateError, match="A682"), held_mirror(tmp_path, VKEY):
        pass


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(StateError, match="another process writes")
    with held_mirror(tmp_path / "mirror", VKEY), refused, held_mirror(tmp_path / "mirror", VKEY):
        pass
    with held_mirror(tmp_path / "mirror", VKEY):
        pass


def test_a_folder_that_others_may_write_into_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror").chmod(0o777)
    with pytest.raises(StateError, match="others may write"), held_mirror(tmp_path / "mirror", VKEY):
        pass


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("mine")
    with pytest.raises(StateError, match="cannot hold a mirror"), held_mirror(tmp_path / "mirror", VKEY):
        pass
    assert (tmp_path / "mirror").read_text() == "mine"


def test_a_lock_that_leads_elsewhere_is_not_opened(tmp_path: Path) -> None:
    with held_mirror(tmp_path / "mirror", VKEY):
        pass
    (tmp_path / "mirror/.lock").unlink()
    (tmp_path / "mirror/.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot hold a mirror"), held_mirror(tmp_path / "mirror", VKEY):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_there_and_right_is_not_written_again(tmp_path: Path) -> None:
    with held_mirror(tmp_path / "mirror", VKEY) as disk:
        disk.replace({"a/one": b"1", "a/two": b"2"})
        before = (tmp_path / "mirror/a/one").stat().st_ino
        disk.replace({"a/one": b"1", "a/two": b"3", "a/three": b"3"})
        assert (tmp_path / "mirror/a/one").stat().st_ino == before
        assert [disk.read(f"a/{name}", 9) for name in ("one", "two", "three")] == [b"1", b"3", b"3"]
        disk.replace({"a/one": b""})
        assert disk.read("a/one", 9) == b""


def test_the_root_of_the_other_history_is_another() -> None:
    """The histories of this file differ: else its forks were none."""
    roots = [open_checkpoint(served(300, mark).files["checkpoint"], ANCHOR).root for mark in ("", "other")]
    assert len({base64.b64encode(root) for root in roots}) == 2

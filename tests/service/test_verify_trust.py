"""`verify` with keys that change, witnesses, heads that are remembered, several logs, and single records in files."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.checkpoint import format_vkey, sign_checkpoint
from pdp.audit.disk import Folder
from pdp.audit.manifest import MANIFEST
from pdp.audit.merkle import leaf_hash, subtree_root
from pdp.audit.policy import parse_policy
from pdp.audit.proof import encode_proof, prove_record
from pdp.audit.report import Findings, Report
from pdp.audit.rotation import seals
from pdp.audit.tiles import WITNESSED
from pdp.audit.verify import verify_log
from pdp.audit.verify_trust import WITNESS_BEHIND_S, Wanted, read_claims
from pdp.audit.witness import Witnessing
from pdp.cli.audit_verify import verify
from tests.support.key_changes import T0_S, ChangingLog
from tests.support.logs import ORIGIN, VKEY, build_log, ignore, records, wal_bytes, wal_file
from tests.support.witness_server import Witness, served


def verified(log: ChangingLog, **wanted: object) -> Report:
    asked = Wanted(now_us=log.now_s * 1_000_000, **wanted)  # type: ignore[arg-type]
    return verify_log(log.state / "log", log.state / "wal", log.first.vkey, ignore, asked)


def texts(report: Report) -> list[tuple[int, str, str]]:
    return [(each.code, each.place, each.text) for each in report.findings]


@pytest.fixture
def changed(tmp_path: Path) -> ChangingLog:
    """A log whose key changed twice, with records under each key."""
    log = ChangingLog(tmp_path / "state")
    log.begin()
    for _ in range(2):
        log.grow(300)
        log.change()
    log.grow(20)
    return log


def test_a_log_whose_keys_changed_is_sound_under_its_first_key(changed: ChangingLog) -> None:
    report = verified(changed)
    assert (report.exit_code, report.keys, report.size) == (0, 3, len(changed.leaves))


def test_without_its_manifest_it_is_signed_by_a_stranger(changed: ChangingLog) -> None:
    (changed.state / "log" / MANIFEST).unlink()
    assert verified(changed).exit_code == 40


def test_an_older_manifest_does_not_know_the_key(changed: ChangingLog) -> None:
    path = changed.state / "log" / MANIFEST
    stated = json.loads(path.read_bytes())
    stated["keys"].pop()
    path.write_text(json.dumps(stated, indent=1))
    assert verified(changed).exit_code == 40


def test_a_log_rolled_back_past_a_change_of_keys_is_found_from_the_folder_alone(tmp_path: Path) -> None:
    """The seal in the manifest is a head that the log's own key signed: no other is needed to miss what came after."""
    log = ChangingLog(tmp_path / "state")
    log.begin()
    log.grow(5)
    older = log.checkpoint
    log.change()
    log.grow(300)
    assert verified(log).exit_code == 0
    (log.state / "log/checkpoint").write_bytes(older)
    report = verified(log)
    assert report.exit_code == 30
    assert (30, "checkpoint", "it covers 6 records, a change of keys sealed 7: the log was rolled back") in texts(
        report
    )


class Changes(Folder):
    """A log whose key changes while it is looked at: between its checkpoint and its manifest."""

    def __init__(self, log: Path, then: Mapping[str, bytes]) -> None:
        super().__init__(log)
        self._log, self._then = log, then

    def read(self, path: str, most: int) -> bytes | None:
        found = super().read(path, most)
        if path == "checkpoint":
            for name, data in self._then.items():
                (self._log / name).write_bytes(data)
        return found


def test_a_key_that_changes_while_it_is_looked_at_is_no_rollback(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path / "state")
    log.begin()
    older = {name: (log.state / "log" / name).read_bytes() for name in ("checkpoint", MANIFEST)}
    log.change()
    newer = {name: (log.state / "log" / name).read_bytes() for name in older}
    for name, data in older.items():
        (log.state / "log" / name).write_bytes(data)
    findings = Findings()
    claims = read_claims(Changes(log.state / "log", newer), log.first.anchor, Wanted(), findings)
    assert claims is not None
    assert claims.checkpoint.size < seals(claims.succession)[-1].size
    assert list(findings.kept) == []


@pytest.mark.parametrize("at", [1, 255, 256, 300])
def test_history_rewritten_with_the_key_of_today_is_found_from_the_folder_alone(
    changed: ChangingLog, at: int, tmp_path: Path
) -> None:
    """CVE-2023-31439: the thief has the key that signs now, and not the one that was destroyed."""
    leaves = list(changed.leaves)
    leaves[at] = leaves[at].replace(b'"k":"decision"', b'"k":"decisiom"')
    assert leaves[at] != changed.leaves[at]
    forged = build_log(tmp_path / "forged", leaves)
    root = subtree_root(tuple(map(leaf_hash, leaves)))
    (forged / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, len(leaves), root, changed.keys.sign_key))
    shutil.copy(changed.state / "log" / MANIFEST, forged / MANIFEST)
    report = verify_log(forged, None, changed.first.vkey, ignore, Wanted())
    assert report.exit_code == 40
    assert any(place == MANIFEST and "a change of keys sealed" in text for _, place, text in texts(report))


def test_a_key_that_nobody_announced_is_refused(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path / "state")
    log.begin()
    log.change()
    forged = build_log(tmp_path / "forged", records(len(log.leaves)))
    root = subtree_root(tuple(map(leaf_hash, records(len(log.leaves)))))
    (forged / "checkpoint").write_bytes(sign_checkpoint(ORIGIN, len(log.leaves), root, log.keys.sign_key))
    shutil.copy(log.state / "log" / MANIFEST, forged / MANIFEST)
    assert verify_log(forged, None, log.first.vkey, ignore, Wanted()).exit_code == 40


# ---------------------------------------------------------------- heads


def test_a_head_by_a_key_that_is_gone_since_still_counts(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path / "state")
    log.begin()
    log.grow(10)
    head = log.checkpoint
    log.change()
    log.grow(10)
    assert verified(log, known_head=head).exit_code == 0


def test_a_head_by_a_key_after_its_end_is_a_fork(changed: ChangingLog) -> None:
    """Somebody signed on with the first key, which the log says was destroyed."""
    head = sign_checkpoint(ORIGIN, 500, bytes(32), changed.first.sign_key)
    report = verified(changed, known_head=head)
    assert report.exit_code == 30
    assert "does not fit the keys of the log" in texts(report)[0][2]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(verify, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def test_heads_are_remembered_and_a_rollback_is_a_fork_with_evidence(tmp_path: Path) -> None:
    log, heads = build_log(tmp_path / "log", records(300)), tmp_path / "kept" / "heads"
    older = build_log(tmp_path / "older", records(200))
    options = ("--key", VKEY, "--heads", heads)
    assert run("--log", older, *options).exit_code == 0
    assert run("--log", log, *options).exit_code == 0
    result = run("--log", older, *options)
    assert result.exit_code == 30
    assert "it covers 200 records, the known head covers 300: the log was rolled back" in result.stdout
    (evidence,) = (tmp_path / "kept" / "forks").iterdir()
    assert str(evidence) in result.stdout
    stated = json.loads(evidence.read_bytes())
    assert (open_size(stated["known"]), open_size(stated["seen"])) == (300, 200)
    assert run("--log", log, *options).exit_code == 0


def open_size(note: str) -> int:
    return int(note.split("\n")[1])


def test_a_log_that_is_not_sound_is_not_remembered(tmp_path: Path) -> None:
    log, heads = build_log(tmp_path / "log", records(300)), tmp_path / "heads"
    (log / "tile/0/000").unlink()
    assert run("--log", log, "--key", VKEY, "--heads", heads).exit_code == 20
    assert not heads.exists()


def test_heads_in_a_file_that_is_none_are_misuse(tmp_path: Path) -> None:
    log, heads = build_log(tmp_path / "log", records(3)), tmp_path / "heads"
    heads.write_text("nothing of ours")
    result = CliRunner().invoke(verify, ["--log", str(log), "--key", VKEY, "--heads", str(heads)])
    assert "holds no heads of logs" in str(result.exception)


# ---------------------------------------------------------------- witnesses


class Watched:
    """A log with one witness, which cosigns when told."""

    def __init__(self, folder: Path, log: ChangingLog) -> None:
        self.log = log
        self.witness = Witness(
            folder / "witness.db", "witness.example/w1", bytes([9]) * 32, [log.first.vkey], lambda: self.log.now_s
        )

    @property
    def policy(self) -> str:
        return f"witness one {self.witness.vkey} {self.witness.url or 'http://127.0.0.1:1'}\nquorum one\n"

    def cosign(self) -> None:
        async def ask() -> None:
            policy = parse_policy(self.policy.encode())
            tls = ssl.create_default_context()
            async with Witnessing(self.log.disk, policy, ["127.0.0.1"], tls, lambda: self.log.now_s) as witnessing:
                assert (await witnessing.ask_all()).is_met

        with served(self.witness):
            asyncio.run(ask())

    def verified(self) -> Report:
        return verified(self.log, policy=parse_policy(self.policy.encode()))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    log = ChangingLog(tmp_path / "state")
    log.begin()
    log.grow(40)
    return Watched(tmp_path, log)


def test_a_witnessed_log_is_sound_and_says_since_when(watched: Watched) -> None:
    watched.cosign()
    watched.log.grow(5)
    report = watched.verified()
    assert (report.exit_code, report.witnessed) == (0, (41, T0_S))


def test_a_log_that_nobody_cosigned_is_stale(watched: Watched) -> None:
    report = watched.verified()
    assert report.exit_code == 11
    assert texts(report) == [(11, WITNESSED, "no quorum of witnesses cosigned a checkpoint of this log")]


def test_witnesses_that_are_behind_make_it_stale(watched: Watched) -> None:
    watched.cosign()
    watched.log.now_s += WITNESS_BEHIND_S
    assert watched.verified().exit_code == 0
    watched.log.now_s += 1
    report = watched.verified()
    assert report.exit_code == 11
    assert report.findings[0].text == f"witnesses cosigned last {WITNESS_BEHIND_S + 1} s ago, 900 s are allowed"


def test_a_log_rolled_back_under_its_witness_is_a_fork(watched: Watched, tmp_path: Path) -> None:
    """Needs the witness: the older log is whole, and signed by its key."""
    older = tmp_path / "older"
    shutil.copytree(watched.log.state / "log", older)
    watched.log.grow(10)
    watched.cosign()
    shutil.copy(watched.log.state / "log" / WITNESSED, older / WITNESSED)
    asked = Wanted(now_us=watched.log.now_s * 1_000_000, policy=parse_policy(watched.policy.encode()))
    report = verify_log(older, None, watched.log.first.vkey, ignore, asked)
    assert report.exit_code == 30
    assert "what witnesses cosigned covers 51: the log was rolled back" in report.findings[0].text


def test_a_second_history_beside_what_a_witness_saw_is_a_fork(watched: Watched, tmp_path: Path) -> None:
    watched.cosign()
    other = ChangingLog(tmp_path / "other")
    shutil.rmtree(other.keys_dir)
    shutil.copytree(watched.log.keys_dir, other.keys_dir)
    other.now_s += 1
    other.grow(45)
    for name in (MANIFEST, WITNESSED):
        shutil.copy(watched.log.state / "log" / name, other.state / "log" / name)
    asked = Wanted(now_us=watched.log.now_s * 1_000_000, policy=parse_policy(watched.policy.encode()))
    report = verify_log(other.state / "log", None, watched.log.first.vkey, ignore, asked)
    assert report.exit_code == 30
    assert "at 41 records its root is another than that of what witnesses cosigned" in report.findings[0].text


def test_a_cosignature_that_does_not_fit_is_invalid(watched: Watched) -> None:
    watched.cosign()
    path = watched.log.state / "log" / WITNESSED
    note = path.read_bytes()
    last = note.rindex(b"\n", 0, -1) + 1
    line = note[last:]
    at = len(line) // 2 + 20
    flipped = line[:at] + (b"A" if line[at : at + 1] != b"A" else b"B") + line[at + 1 :]
    path.write_bytes(note[:last] + flipped)
    assert watched.verified().exit_code == 40


def test_history_signed_again_later_does_not_pass_with_old_cosignatures(watched: Watched) -> None:
    """A witness that is not asked any more, and a log that goes on: old cosignatures are not fresh ones."""
    watched.cosign()
    watched.log.change()
    watched.log.grow(3)
    assert watched.verified().exit_code == 11


def test_a_policy_of_other_logs_is_misuse(tmp_path: Path) -> None:
    log = build_log(tmp_path / "log", records(3))
    key = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32).public_key().public_bytes_raw()
    policy = tmp_path / "policy"
    policy.write_text(f"log {format_vkey('other.example/log', key)}\nquorum none\n")
    result = CliRunner().invoke(verify, ["--log", str(log), "--key", VKEY, "--witnesses", str(policy)])
    assert "names other logs" in str(result.exception)


def test_a_record_dated_ahead_does_not_make_a_log_young(tmp_path: Path) -> None:
    log = ChangingLog(tmp_path / "state")
    log.now_s += 30 * 365 * 86_400
    log.grow()
    log.now_s -= 30 * 365 * 86_400
    report = verified(log, max_age_s=60)
    assert report.exit_code == 11
    assert "s ahead" in report.findings[0].text


def test_frames_of_another_writer_are_found(tmp_path: Path) -> None:
    log = build_log(tmp_path, records(100))
    (tmp_path / "wal" / wal_file()).write_bytes(wal_bytes([records(100, writer=9), records(200, writer=9)[100:]], 9))
    report = verify_log(log, tmp_path / "wal", VKEY, ignore)
    assert texts(report) == [(40, wal_file(), "it holds frames of writer 9")]


def test_policies_of_others_are_stale_and_not_changed(watched: Watched, tmp_path: Path) -> None:
    """Whoever verifies may trust other witnesses than the operator asks."""
    watched.cosign()
    other = Witness(tmp_path / "other.db", "witness.example/w2", bytes([8]) * 32, [], lambda: 0)
    policy = parse_policy(f"witness one {other.vkey} http://127.0.0.1:1\nquorum one\n".encode())
    assert verified(watched.log, policy=policy).exit_code == 11


# ---------------------------------------------------------------- several logs, and files


def test_several_logs_end_with_the_worst_of_them(tmp_path: Path) -> None:
    first, second = build_log(tmp_path / "first", records(30)), build_log(tmp_path / "second", records(20))
    assert run("--log", first, "--log", second, "--key", VKEY).exit_code == 0
    (second / "tile/0/000.p/20").unlink()
    result = run("--log", first, "--log", second, "--key", VKEY, "--json")
    stated = json.loads(result.stdout)
    assert (result.exit_code, stated["exit_code"]) == (20, 20)
    assert [each["exit_code"] for each in stated["logs"]] == [0, 20]


def test_each_of_several_logs_is_held_to_the_key_of_its_name(tmp_path: Path) -> None:
    mine = build_log(tmp_path / "mine", records(30))
    key = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32).public_key().public_bytes_raw()
    other = format_vkey("other.example/log", key)
    assert run("--log", mine, "--key", other, "--key", VKEY).exit_code == 0
    result = run("--log", mine, "--key", other, "--key", other)
    assert result.exit_code == 2
    assert "not one of the keys is that of the log" in result.stderr


def test_a_proof_of_one_record_is_read(tmp_path: Path) -> None:
    log = build_log(tmp_path / "log", records(300))
    data = (log / "checkpoint").read_bytes()
    proof = encode_proof(prove_record(Folder(log), 257, data))
    path = tmp_path / "record.tlog-proof"
    path.write_bytes(proof)
    result = run(path, "--key", VKEY)
    assert result.exit_code == 0
    assert "record 257 (id " in result.stdout
    path.write_bytes(proof.replace(b"index 257", b"index 256"))
    assert run(path, "--key", VKEY).exit_code == 40
    path.write_bytes(b"no proof")
    assert run(path, "--key", VKEY).exit_code == 2
    assert run(path, "--key", VKEY, "--log", log).exit_code == 2

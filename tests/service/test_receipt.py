"""Receipts: what they prove to a stranger, what of them can be changed (nothing), and what they show of a log."""

from __future__ import annotations

import ast
import io
import json
import random
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from pdp.audit.checkpoint import format_vkey
from pdp.audit.keys import load_keys
from pdp.audit.leaf import parse
from pdp.audit.opened import found_record, opened_record
from pdp.audit.receipt import make_receipt, pack_receipt, verifier
from pdp.audit.receipt_check import is_receipt, verify_receipt
from pdp.audit.record import decision_entry
from pdp.audit.replay import Undecidable, agrees, replay, undecided
from pdp.audit.standalone.signed_log import Key, read_key
from pdp.audit.standalone.verify import examine
from pdp.errors import StateError
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.jwt import Verifier
from pdp.model import Inquiry, Json, Principal
from pdp.runtime.bundle import Bundle, bundle_of, read_folder
from pdp.runtime.compiled import engine_of
from pdp.state import State
from tests.support.cases import POLICY, cases, engine
from tests.support.logs import OTHER_KEY, LiveLog
from tests.support.process import ROOT
from tests.support.receipts import (
    NOW_US,
    CaseLog,
    activation,
    case_log,
    logging,
    members_of,
    packed,
    receipt_of,
    standalone,
)

NAMES = [case.name for case in cases()]
ALLOWED = next(case.name for case in cases() if case.want["decision"] == "allow" and case.claims is not None)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> CaseLog:
    return case_log(tmp_path_factory.mktemp("receipts"))


@pytest.fixture(scope="module")
def key(logged: CaseLog) -> Key:
    return read_key(load_keys(logged.place.keys).vkey)


@pytest.fixture(scope="module")
def disclosed(logged: CaseLog) -> bytes:
    return logged.receipt(ALLOWED).data


# ---------------------------------------------------------------- what is proved


@pytest.mark.parametrize("name", NAMES)
def test_a_stranger_derives_the_answer_on_record_of(
    name: str, logged: CaseLog, key: Key, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The one file that receipts carry agrees wherever the record alone decides, and nowhere else."""
    receipt = logged.receipt(name)
    outcome = standalone(tmp_path_factory.getbasetemp()).examine(receipt.data, key)
    assert outcome.code == 0, outcome.lines
    found = found_record(logged.place.log, logged.place.wal, logged.ids[name])
    assert found is not None
    leaf = parse(found.leaf)
    if leaf.sealed is None or undecided(leaf):
        assert outcome.agrees is None
        return
    opened = opened_record(logged.place.log, logged.place.wal, load_keys(logged.place.keys), leaf)
    again = replay(leaf, opened.inputs, engine())
    before_the_policy = str(leaf.clear["rc"]).startswith(("host.", "header.", "request.method", "address."))
    assert outcome.agrees is (None if isinstance(again, Undecidable) or before_the_policy else True), outcome.lines
    assert isinstance(again, Undecidable) or agrees(leaf, opened.inputs, again)


def test_verify_py_needs_python_alone(disclosed: bytes, logged: CaseLog, tmp_path: Path) -> None:
    """Run as a stranger does: isolated, without site packages, in a folder that holds nothing else."""
    (tmp_path / "r.zip").write_bytes(disclosed)
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        archive.extract("verify.py", tmp_path)
    (tmp_path / "key").write_text(load_keys(logged.place.keys).vkey + "\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", "verify.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    sound = run("r.zip", "--key", "key")
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert "ok (8) evaluated here, the policy gives this very answer on these inputs" in sound.stdout
    assert "to be believed:" in sound.stdout
    assert "the rows of facts among them" in sound.stdout
    assert sound.stdout.endswith("result: sound\n")
    assert sound.stderr == ""
    other = format_vkey("test.example/log", OTHER_KEY.public_key().public_bytes_raw())
    assert run("r.zip", "--key", other).returncode == 40
    assert run("r.zip").returncode == 2
    assert run("r.zip", "--key", "no key").returncode == 2
    assert run("missing.zip", "--key", "key").returncode == 2
    folder = run(".", "--key", "key")
    assert (folder.returncode, ". is a folder: name the receipt as it came, a ZIP file" in folder.stderr) == (2, True)
    usage = run("--help")
    assert (usage.returncode, "verify.py RECEIPT.zip --key KEY" in usage.stdout) == (0, True)
    assert "NO this is no receipt: it is no ZIP file" in run("key", "--key", "key").stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "r.zip", "verify.py"]


def test_the_same_log_gives_the_same_bytes(logged: CaseLog, disclosed: bytes) -> None:
    assert logged.receipt(ALLOWED).data == disclosed
    assert is_receipt(disclosed)


def test_the_package_reads_it_and_compiles_the_policy_again(
    disclosed: bytes, logged: CaseLog, key: Key, tmp_path: Path
) -> None:
    path = tmp_path / "r.zip"
    path.write_bytes(disclosed)
    report = verify_receipt(path, load_keys(logged.place.keys).vkey)
    assert (report.exit_code, report.findings, report.records) == (0, (), 2)
    assert "ok the policy files compile to ir.json here, too" in report.notes
    believed = [note for note in report.notes if note.startswith("to be believed: ")]
    assert believed
    assert not any("that ir.json says" in note for note in believed)
    compiled = "that ir.json says what the policy files say: the compiler is not run here"
    assert compiled in examine(disclosed, key).believed
    assert not any("verify.py" in note for note in report.notes)


def test_a_program_in_it_that_is_not_ours_is_said_to_be_another(
    disclosed: bytes, logged: CaseLog, tmp_path: Path
) -> None:
    path = tmp_path / "r.zip"
    rest = {name: data for name, data in members_of(disclosed).items() if name != "receipt.json"}
    vkey = load_keys(logged.place.keys).vkey
    path.write_bytes(pack_receipt(rest | {"verify.py": b"print('result: sound')"}, logged.ids[ALLOWED]))
    report = verify_receipt(path, vkey)
    assert report.exit_code == 0
    assert any("verify.py in the receipt is another program" in note for note in report.notes)
    path.write_bytes(pack_receipt({name: rest[name] for name in rest if name != "verify.py"}, logged.ids[ALLOWED]))
    assert any("there is no verify.py in the receipt" in note for note in verify_receipt(path, vkey).notes)


# ---------------------------------------------------------------- what is shown


def test_without_disclosure_nothing_is_shown_beyond_the_log(logged: CaseLog, key: Key) -> None:
    receipt = logged.receipt(ALLOWED, disclose=False)
    members = members_of(receipt.data)
    assert sorted(members) == sorted(
        ["receipt.json", "leaf.json", "proof.tlog-proof", "checkpoint", "log.vkey", "verify.py"]
    )
    outcome = examine(receipt.data, key)
    assert (outcome.code, outcome.agrees) == (0, None)
    assert "-- (5) the inputs are not disclosed" in outcome.lines


SETTINGS = {
    "settings/prod.toml": b'quiet = "canary-prod"\n',
    "settings/staging.toml": b'quiet = "canary-staging"\n',
}
PLAIN = b"""language 1
module plain

setting quiet: string

token user {
  issuer "https://id.example"
  claim sub: string
}

service desk {
  audience "desk"
  host "desk.example"
  endpoint notes  GET /notes/{note}
}

allow readers
  for any user
  on desk
  when token.sub == quiet
  because "They may"
"""


def asked(service: str, path: str, **claims: Json) -> Inquiry:
    """A call with a token that a gateway proved."""
    return Inquiry(
        service=service,
        method="GET",
        path=path,
        host=f"{service}.example",
        headers=(),
        gateway="edge",
        principal=Principal("token", "user", {"aud": service, **claims}),
    )


def test_settings_of_other_environments_stay_behind(tmp_path: Path) -> None:
    bundle = bundle_of({"plain.pol": PLAIN, **SETTINGS}, "prod")
    place, record = one_record(tmp_path, bundle, asked("desk", "/notes/7", sub="canary-prod"))
    receipt = receipt_of(place, record)
    assert receipt.outcome.agrees is True
    members = members_of(receipt.data)
    assert "policy/settings/prod.toml" in members
    assert "policy/settings/staging.toml" not in members
    assert not any(b"canary-staging" in data for data in members.values())


def test_a_record_that_was_corrected_is_not_handed_out_without_its_correction(tmp_path: Path) -> None:
    with logging(tmp_path, read_folder(POLICY), engine()) as writer:
        record = writer.append("decision", {"d": "allow", "by": ["cases.x"]}, None, strict=True).id
        clear: dict[str, Json] = {"d": "deny", "by": ["deadline"], "rc": "deadline"}
        writer.append("answer.changed", clear, None, strict=True, same_id=record)
    receipt = receipt_of(State(tmp_path), record, disclose=False)
    assert "ok (4) record 3 corrects it: what left was a refusal by deadline" in receipt.outcome.lines
    members = members_of(receipt.data)
    other = json.loads(members["correction.json"])
    assert (other["k"], other["of"]) == ("answer.changed", record)


# ---------------------------------------------------------------- what no receipt is made of


def test_a_record_that_no_checkpoint_covers_gives_no_receipt(tmp_path: Path) -> None:
    live = LiveLog(tmp_path)
    with live.writing() as writer:
        record = writer.append("decision", {"d": "deny", "by": ["path"]}, None, strict=True).id
    place, vkey = State(tmp_path), live.keys.vkey
    with pytest.raises(StateError, match="no checkpoint yet"):
        make_receipt(place.log, place.wal, vkey, record)
    live.pass_quietly(live.sequencer())
    with live.writing() as writer:
        later = writer.append("decision", {"d": "deny", "by": ["path"]}, None, strict=True).id
    with pytest.raises(StateError, match="no checkpoint covers the record yet"):
        make_receipt(place.log, place.wal, vkey, later)
    assert make_receipt(place.log, place.wal, vkey, record) is not None
    assert make_receipt(place.log, place.wal, vkey, "0" * 32) is None
    with pytest.raises(StateError, match="is no decision id"):
        make_receipt(place.log, place.wal, vkey, "x")


def test_a_log_that_does_not_prove_its_own_record_gives_no_receipt(tmp_path: Path) -> None:
    with logging(tmp_path, read_folder(POLICY), engine()) as writer:
        record = writer.append("decision", {"d": "deny", "by": ["path"]}, None, strict=True).id
    (entries,) = [path for path in (tmp_path / "log" / "tile" / "entries").rglob("*") if path.is_file()]
    entries.write_bytes(entries.read_bytes().replace(b'"d":"deny"', b'"d":"dent"'))
    with pytest.raises(StateError, match="the log does not prove its record"):
        make_receipt(tmp_path / "log", tmp_path / "wal", load_keys(tmp_path / "keys").vkey, record)


# ---------------------------------------------------------------- answers that are not the policy's


def one_record(
    root: Path, bundle: Bundle, inquiry: Inquiry, change: Callable[[dict[str, Json]], None] = lambda _: None
) -> tuple[State, str]:
    """A log with one decision, whose clear fields were changed before they were recorded."""
    in_force = engine_of(bundle)
    with logging(root, bundle, in_force) as writer:
        evaluator = Evaluator(lambda: in_force, Identity(Verifier([])), service_from_host=False)
        made = evaluator.evaluate(inquiry, NOW_US)
        entry = decision_entry(made.decision, made.evidence, made.engine, NOW_US, "edge", None)
        clear = dict(entry.clear)
        change(clear)
        record = writer.append(entry.kind, clear, entry.inputs, strict=True).id
    return State(root), record


def _allow(clear: dict[str, Json]) -> None:
    clear |= {"d": "allow", "by": ["plain.readers"], "rc": "rule"}


def _other_rule(clear: dict[str, Json]) -> None:
    clear["by"] = ["plain.others"]


def _obligation(clear: dict[str, Json]) -> None:
    clear["ob"] = ["set_header x-user"]


def _endpoint(clear: dict[str, Json]) -> None:
    clear["ep"] = "desk.other"


LIES: dict[str, tuple[str, Callable[[dict[str, Json]], None], str]] = {
    "an allow where the policy denies": ("mallory", _allow, "decision: allow in the record, deny derived"),
    "another rule than the one that decided": ("canary-prod", _other_rule, "primary rule"),
    "an obligation that no rule has": ("canary-prod", _obligation, "obligations"),
    "an endpoint that the call is not for": ("canary-prod", _endpoint, "endpoint"),
}


@pytest.mark.parametrize(("sub", "change", "said"), LIES.values(), ids=LIES.keys())
def test_a_record_that_states_another_answer_than_the_policy_gives_is_found(
    sub: str, change: Callable[[dict[str, Json]], None], said: str, tmp_path: Path
) -> None:
    bundle = bundle_of({"plain.pol": PLAIN, **SETTINGS}, "prod")
    place, record = one_record(tmp_path, bundle, asked("desk", "/notes/7", sub=sub), change)
    receipt = receipt_of(place, record)
    assert (receipt.outcome.code, receipt.outcome.agrees) == (40, False)
    assert said in receipt.outcome.lines[-1]


def test_a_compiled_form_that_the_log_did_not_put_in_force_is_left_out(tmp_path: Path) -> None:
    bundle = read_folder(POLICY)
    other = structs.replace(engine(), ir_digest="0" * 64)
    with logging(tmp_path, bundle, other) as writer:
        clear: dict[str, Json] = {"d": "deny", "by": ["path"], "pb": bundle.digest}
        record = writer.append("decision", clear, b"{}", strict=True).id
    receipt = receipt_of(State(tmp_path), record)
    assert "ir.json" not in members_of(receipt.data)
    assert (receipt.outcome.code, receipt.outcome.agrees) == (0, None)
    assert "-- (7) the compiled policy is not here, or no record of the log put it in force" in receipt.outcome.lines


def test_the_last_activation_before_the_record_says_what_was_in_force(tmp_path: Path) -> None:
    bundle = read_folder(POLICY)
    clear: dict[str, Json] = {"d": "deny", "by": ["path"], "pb": bundle.digest}
    with logging(tmp_path, bundle, engine()) as writer:
        writer.append("policy.activated", activation(bundle, engine()), None, strict=True)
        record = writer.append("decision", clear, None, strict=True).id
        writer.append("policy.activated", activation(bundle, engine()), None, strict=True)
    receipt = receipt_of(State(tmp_path), record)
    assert "ok (7) record 2 of that log put the policy in force, compiled to ir.json" in receipt.outcome.lines


CASBIN = ROOT / "policies" / "examples" / "casbin"


def _turned(clear: dict[str, Json]) -> None:
    clear["d"] = "allow" if clear["d"] == "deny" else "deny"


@pytest.mark.parametrize(("change", "code"), [(lambda _: None, 0), (_turned, 40)], ids=["as it was", "turned"])
def test_a_casbin_table_is_evaluated_by_the_package_and_not_by_verify_py(
    change: Callable[[dict[str, Json]], None], code: int, tmp_path: Path
) -> None:
    place, record = one_record(tmp_path / "s", read_folder(CASBIN), asked("wiki", "/wiki/home", sub="alice"), change)
    receipt = receipt_of(place, record)
    assert (receipt.outcome.code, receipt.outcome.agrees) == (0, None)
    assert "needs Portcullis itself and RE2" in receipt.outcome.lines[-1]
    path = tmp_path / "r.zip"
    path.write_bytes(receipt.data)
    report = verify_receipt(path, load_keys(place.keys).vkey)
    assert report.exit_code == code
    assert ("ok decided by the definition: the same answer" in report.notes) is (code == 0)


# ---------------------------------------------------------------- what is changed


BOUND = (
    *("leaf.json", "proof.tlog-proof", "checkpoint", "inputs.json", "inputs.random", "bundle.json", "ir.json"),
    *("activated.json", "activated.tlog-proof", "policy/cases.pol", "policy/desk.pol"),
)
"""Parts that a signature binds, besides the list of parts."""


def edits(data: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """The same with one byte changed, inserted or left out."""
    for _ in range(count):
        at = rng.randrange(len(data))
        byte = bytes([data[at] ^ (1 << rng.randrange(8))])
        yield data[:at] + rng.choice([byte, byte + data[at : at + 1], b""]) + data[at + 1 :]


def test_every_edit_of_any_part_is_found(disclosed: bytes, key: Key) -> None:
    """Sampled: whoever edits a part of a receipt and packs it again has another receipt than its list says."""
    rng, members = random.Random("edits"), members_of(disclosed)
    assert {*BOUND, "receipt.json", "verify.py", "log.vkey"} <= members.keys()
    for name, data in members.items():
        for edited in edits(data, rng, 20):
            outcome = examine(packed({**members, name: edited}), key)
            assert outcome.code in {20, 40}, f"{name}: {edited!r}"


@pytest.mark.parametrize("name", BOUND)
def test_an_edit_is_found_too_where_the_list_was_made_to_fit(name: str, disclosed: bytes, key: Key) -> None:
    rng, members = random.Random(f"forged {name}"), members_of(disclosed)
    record = str(json.loads(members.pop("receipt.json"))["id"])
    assert examine(pack_receipt(members, record), key).code == 0
    for edited in edits(members[name], rng, 25):
        outcome = examine(pack_receipt({**members, name: edited}, record), key)
        assert outcome.code == 40, f"{edited!r}: {outcome.lines}"


def test_the_parts_of_another_record_do_not_fit(logged: CaseLog, disclosed: bytes, key: Key) -> None:
    other = next(name for name in NAMES if name != ALLOWED and "inputs.json" in members_of(logged.receipt(name).data))
    mine, theirs = members_of(disclosed), members_of(logged.receipt(other).data)
    record = str(json.loads(mine.pop("receipt.json"))["id"])
    for names in (["leaf.json"], ["proof.tlog-proof"], ["inputs.json", "inputs.random"], ["inputs.random"]):
        mixed = mine | {name: theirs[name] for name in names}
        assert examine(pack_receipt(mixed, record), key).code == 40, names


def test_a_receipt_under_the_key_of_another_log_is_refused(disclosed: bytes, key: Key) -> None:
    other = read_key(format_vkey(key.name, OTHER_KEY.public_key().public_bytes_raw()))
    outcome = examine(disclosed, other)
    assert outcome.code == 40
    named = f"{key.name}+{key.id.hex()}, another key than the one you gave, {other.name}+{other.id.hex()}"
    assert outcome.lines[-1] == f"NO log.vkey of the receipt is {named}"
    members = members_of(disclosed)
    record = str(json.loads(members.pop("receipt.json"))["id"])
    del members["log.vkey"]
    assert examine(pack_receipt(members, record), key).code == 0
    assert "not signed by a key of the log" in examine(pack_receipt(members, record), other).lines[-1]


def _without(name: str) -> Callable[[bytes], bytes]:
    def change(receipt: bytes) -> bytes:
        members = members_of(receipt)
        del members[name]
        return packed(members)

    return change


def _twice(receipt: bytes) -> bytes:
    out = io.BytesIO(receipt)
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("leaf.json", members_of(receipt)["leaf.json"])
    return out.getvalue()


def _packed_by(method: int) -> Callable[[bytes], bytes]:
    def change(receipt: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, data in members_of(receipt).items():
                archive.writestr(name, data)
        return out.getvalue()

    return change


def _encrypted(receipt: bytes) -> bytes:
    """Every member says that it is encrypted."""
    data = bytearray(receipt)
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(magic)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(magic, place + 1)
    return bytes(data)


def _with(name: str, data: bytes) -> Callable[[bytes], bytes]:
    return lambda receipt: packed({**members_of(receipt), name: data})


def _listed(**changes: Json) -> Callable[[bytes], bytes]:
    def change(receipt: bytes) -> bytes:
        members = members_of(receipt)
        stated = {**json.loads(members["receipt.json"]), **changes}
        text = json.dumps(stated, sort_keys=True, separators=(",", ":"))
        return packed({**members, "receipt.json": text.encode()})

    return change


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "nothing at all": (lambda _: b"", 40),
    "no ZIP file": (lambda _: b"PK\x03\x04" + bytes(4_000), 40),
    "an empty ZIP file": (lambda _: packed({}), 40),
    "one cut in the middle": (lambda receipt: receipt[: len(receipt) // 2], 40),
    "one cut at its end": (lambda receipt: receipt[:-1], 40),
    "a member twice": (_twice, 40),
    "members that say they are encrypted": (_encrypted, 40),
    "members packed in a way of their own": (_packed_by(zipfile.ZIP_LZMA), 40),
    "a member that nobody listed": (_with("extra.txt", b"x"), 40),
    "a member whose name leads out": (_with("../../evil", b"x"), 40),
    "a list of a later format": (_listed(format=2), 40),
    "a list for another record": (_listed(id="0" * 32), 40),
    "a list with something besides": (_listed(more=1), 40),
    "a list that is no list": (_with("receipt.json", b"[[[["), 40),
    "a list that nests without end": (_with("receipt.json", b"[" * 100_000), 40),
    "without its list": (_without("receipt.json"), 20),
    "without its record": (_without("leaf.json"), 20),
    "without its proof": (_without("proof.tlog-proof"), 20),
    "without the checkpoint": (_without("checkpoint"), 20),
    "without the inputs that it lists": (_without("inputs.json"), 20),
}


@pytest.mark.parametrize(("change", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_file_is_it_is_answered(
    change: Callable[[bytes], bytes], code: int, disclosed: bytes, key: Key
) -> None:
    outcome = examine(change(disclosed), key)
    assert (outcome.code, outcome.agrees) == (code, None), outcome.lines
    assert outcome.lines[-1].startswith("NO ")


def test_what_a_receipt_says_reaches_a_terminal_escaped(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\nresult: sound\u202e"
    with logging(tmp_path, read_folder(POLICY), engine()) as writer:
        clear: dict[str, Json] = {"d": evil, "by": [evil], "rc": evil}
        record = writer.append("decision", clear, None, strict=True).id
    outcome = receipt_of(State(tmp_path), record, disclose=False).outcome
    said = "\n".join(outcome.lines)
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert "\nresult" not in said


def test_the_program_is_one_file_of_the_standard_library() -> None:
    """No import of ours, no name defined by two of its parts, no line too long to read."""
    tree = ast.parse(verifier())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names
    defined = Counter(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)) + Counter(
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    )
    assert [name for name, count in defined.items() if count > 1] == []
    assert max(map(len, verifier().splitlines())) <= 120

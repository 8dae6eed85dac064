"""Check one record of a Portcullis decision log with Python 3.11 and its standard library alone.

    python3 -I -S verify.py RECEIPT.zip --key KEY

KEY is the verifier key of the log (`name+id+key`), or a file that holds it. Get it from somewhere else than the
receipt: what brings its own key proves nothing. For the same reason, read this program before you believe it, or take
it from a release of Portcullis; a receipt carries a copy for convenience.

    (1) the parts are those that receipt.json lists      (5) inputs.json is what the record committed to
    (2) the checkpoint is signed by KEY                  (6) the policy files are those whose digest the record names
    (3) the record is in the log that was signed         (7) the compiled policy is the one that the log put in force
    (4) what corrects the record, if anything            (8) the policy gives this very answer on these inputs

Steps 5 to 8 need a receipt that discloses them. Each step says what it checked; what was not checked is said too, and
at the end what has to be believed. Nothing is written, no network is used, nothing of the receipt is run.

Exit code: 0 sound; 2 asked wrongly; 20 a part is missing; 40 something was changed, or the policy gives another answer.
Sources: RFC 8032 (Ed25519); RFC 6962 2.1, RFC 9162 2.1.3.2 (inclusion); C2SP signed-note, tlog-checkpoint, tlog-proof.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pdp.audit.standalone.derivation import derived, differences
from pdp.audit.standalone.parts import (
    ACTIVATED,
    ACTIVATED_PROOF,
    BUNDLE,
    CHECKPOINT,
    CORRECTION,
    CORRECTION_PROOF,
    INPUTS,
    IR,
    LEAF,
    MANIFEST,
    PROOF,
    RANDOM,
    VKEY,
    read_bundle,
    read_parts,
)
from pdp.audit.standalone.policy import Policy
from pdp.audit.standalone.reading import (
    INCOMPLETE,
    INVALID,
    SOUND,
    USAGE,
    Json,
    ReceiptError,
    UndecidedError,
    items,
    read_json,
    shown,
)
from pdp.audit.standalone.signed_log import (
    Checkpoint,
    Key,
    KeyTextError,
    Period,
    check_time,
    index_of,
    periods_of,
    proved_under,
    read_key,
    read_leaf,
    signed_by,
)

DECISION = "decision"
BELIEVED_OF_IR = f"that {IR} says what the policy files say: the compiler is not run here"
"""What is believed of the compiled form, unless whoever asks compiles the files."""


class Outcome(NamedTuple):
    """What was found. Lines begin with `ok`, `--` (not checked, and why) or `NO`; `size` and `root` were signed.

    `believed` is what whoever reads this must take on trust. `agrees`: whether the policy gives the answer on record;
    None where that was not derived. `proved` counts the records that stand in the log; `in_force`: one of them put the
    policy in force that is here.
    """

    code: int
    lines: Sequence[str]
    believed: Sequence[str]
    record: str
    signed: Checkpoint | None
    agrees: bool | None
    proved: int
    in_force: bool


def examine(data: bytes, key: Key) -> Outcome:
    """Check a receipt, all its bytes given. Whatever a receipt may be, it is answered and not raised."""
    here = Examination(key)
    code = SOUND
    try:
        here.run(data)
    except ReceiptError as error:
        code = error.code
        here.lines.append(f"NO {error}")
    except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, MemoryError) as error:
        code = INVALID
        here.lines.append(f"NO the receipt holds what none of ours holds: {type(error).__name__}: {shown(error)}")
    return Outcome(code, here.lines, here.believed, here.record, here.signed, here.agrees, here.proved, here.in_force)


class Examination:
    """One receipt while it is checked; every step raises ReceiptError where something does not fit."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.periods: list[Period] = []
        self.lines: list[str] = []
        self.believed = [
            f"that {shown(key.name)}+{key.id.hex()} is the key of the log, as you were told elsewhere",
            "that everybody is shown the same log: no witness is asked here",
        ]
        self.signed: Checkpoint | None = None
        self.record = ""
        self.agrees: bool | None = None
        self.proved = 0
        self.in_force = False

    def run(self, data: bytes) -> None:
        """All steps."""
        parts = read_parts(data)
        self.lines.append(f"ok (1) the receipt holds the {len(parts)} parts that it lists")
        check_own_key(parts, self.key)
        self.periods = periods_of(parts.get(MANIFEST), self.key)
        signed, key = signed_by(parts[CHECKPOINT], self.periods)
        if key != self.key:
            self.lines.append(f"ok (2) {MANIFEST}: the key you gave leads to the key of the log {key.id.hex()}")
            self.believed.append("that this later key was good when it signed: no time is judged here")
        self.signed, root = signed, signed.root.hex()
        self.lines.append(f"ok (2) the key signed a checkpoint of {signed.size} records with the root {root}")
        leaf = read_leaf(parts[LEAF])
        self.record = str(leaf["id"])
        self.in_the_log(parts, leaf)
        self.corrected(parts)
        inputs = self.opened(parts, leaf)
        policy = self.governing(parts, leaf)
        self.derived_again(policy, leaf, inputs)

    def in_the_log(self, parts: Mapping[str, bytes], leaf: Mapping[str, Json]) -> None:
        """Step 3."""
        index = self.place(parts, LEAF, PROOF)
        self.lines.append(f"ok (3) record {index} of that log is this {shown(leaf.get('k'))}: {shown(leaf['id'])}")
        if len(self.periods) > 1:
            under, key = proved_under(parts[PROOF], self.periods)
            self.lines.append(f"       proved under its checkpoint of {under.size} records, signed by {key.id.hex()}")
        if leaf.get("k") == DECISION:
            by, reason = ", ".join(map(shown, items(leaf.get("by")))), shown(leaf.get("rc"))
            self.lines.append(f"       {shown(leaf.get('d'))} by {by} ({reason}), {instant(leaf.get('t'))}")

    def place(self, parts: Mapping[str, bytes], leaf: str, proof: str) -> int:
        """The index of a record, proved; both under the names of their parts."""
        index = index_of(parts[leaf], parts.get(proof, b""), parts[CHECKPOINT], self.periods)
        check_time(read_leaf(parts[leaf]), index, self.periods)
        self.proved += 1
        return index

    def corrected(self, parts: Mapping[str, bytes]) -> None:
        """Step 4."""
        if CORRECTION not in parts:
            self.lines.append("-- (4) no record that corrects it is here; that there is none is not proved")
            return
        other = read_leaf(parts[CORRECTION])
        place = self.place(parts, CORRECTION, CORRECTION_PROOF)
        if other.get("k") != "answer.changed" or other.get("of") != self.record:
            raise ReceiptError(f"{CORRECTION} is no record that corrects this one")
        by = ", ".join(map(shown, items(other.get("by"))))
        self.lines.append(f"ok (4) record {place} corrects it: what left was a refusal by {by}")

    def opened(self, parts: Mapping[str, bytes], leaf: Mapping[str, Json]) -> dict[str, Json] | None:
        """Step 5: the inputs, where they are disclosed."""
        if INPUTS not in parts:
            kept = "the inputs are not disclosed" if "ic" in leaf else "the record keeps no inputs"
            self.lines.append(f"-- (5) {kept}")
            return None
        written = parts.get(RANDOM, b"")
        if not re.fullmatch(rb"[0-9a-f]{64}\n", written):
            raise ReceiptError(f"{RANDOM} does not hold 32 bytes")
        if hashlib.sha256(bytes.fromhex(written.decode()) + parts[INPUTS]).hexdigest() != leaf.get("ic"):
            raise ReceiptError(f"{INPUTS} is not what the record committed to")
        self.lines.append(f"ok (5) the record committed to these inputs: SHA-256({RANDOM}, {INPUTS})")
        return read_json(parts[INPUTS], INPUTS)

    def governing(self, parts: Mapping[str, bytes], leaf: Mapping[str, Json]) -> Policy | None:
        """Steps 6 and 7: the policy that decided, where it is disclosed and the log put it in force."""
        if BUNDLE not in parts:
            self.lines.append("-- (6) the policy is not disclosed")
            return None
        here, beside = read_bundle(parts, str(leaf.get("pb")))
        self.lines.append(f"ok (6) {here} policy files are of the policy that the record names, {beside} more by hash")
        if IR not in parts or ACTIVATED not in parts:
            self.lines.append("-- (7) the compiled policy is not here, or no record of the log put it in force")
            return None
        activated, compiled = read_leaf(parts[ACTIVATED]), hashlib.sha256(parts[IR]).hexdigest()
        place = self.place(parts, ACTIVATED, ACTIVATED_PROOF)
        stated = activated.get("k"), activated.get("pb"), activated.get("ir")
        if stated != ("policy.activated", leaf.get("pb"), compiled):
            raise ReceiptError(f"{IR} is not the compiled policy that the log put in force")
        self.in_force = True
        self.lines.append(f"ok (7) record {place} of that log put the policy in force, compiled to {IR}")
        self.believed += [
            BELIEVED_OF_IR,
            "that no other compiled form of the same policy was in force when the record was written",
        ]
        try:
            return Policy(parts[IR])
        except UndecidedError as error:
            self.lines.append(f"-- (8) the answer was not derived: {error}")
            return None

    def derived_again(self, policy: Policy | None, leaf: Mapping[str, Json], inputs: Mapping[str, Json] | None) -> None:
        """Step 8."""
        if leaf.get("k") != DECISION or policy is None or inputs is None:
            self.lines.append("-- (8) no answer was derived: that takes a decision, its inputs and its policy")
            return
        try:
            found = differences(leaf, inputs, derived(policy, leaf, inputs))
        except UndecidedError as error:
            self.lines.append(f"-- (8) the answer was not derived: {error}")
            return
        self.agrees = not found
        if found:
            raise ReceiptError(f"(8) the policy gives another answer on these inputs: {'; '.join(found)}")
        self.believed.append("that the inputs, the rows of facts among them, are what they were when it was decided")
        self.lines.append("ok (8) evaluated here, the policy gives this very answer on these inputs: decision, primary")
        self.lines.append("       rule, reason, obligations, headers; until when it holds was not derived")


def check_own_key(parts: Mapping[str, bytes], key: Key) -> None:
    """The key that a receipt brings along must be the one that was given; it is believed in nothing."""
    try:
        own = read_key(parts[VKEY].decode("utf-8", "replace")) if VKEY in parts else key
    except KeyTextError as error:
        raise ReceiptError(f"{VKEY} of the receipt is no key") from error
    if own != key:
        named = f"{VKEY} of the receipt is {shown(own.name)}+{own.id.hex()}"
        raise ReceiptError(f"{named}, another key than the one you gave, {shown(key.name)}+{key.id.hex()}")


def instant(given: Json) -> str:
    """Microseconds since 1970 as a date."""
    if not isinstance(given, int) or not 0 <= given < 253_402_300_800_000_000:
        return shown(given)
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=given)).isoformat()


def main(arguments: Sequence[str]) -> int:
    """Check the receipt that the command line names."""
    match arguments:
        case [receipt, "--key", key_text] | ["--key", key_text, receipt]:
            pass
        case ["--help" | "-h"]:
            print(__doc__)
            return SOUND
        case _:
            print("usage: verify.py RECEIPT.zip --key KEY", file=sys.stderr)
            return USAGE
    if Path(receipt).is_dir():
        print(f"error: {shown(receipt)} is a folder: name the receipt as it came, a ZIP file", file=sys.stderr)
        return USAGE
    try:
        text = Path(key_text).read_text() if "+" not in key_text and Path(key_text).is_file() else key_text
        key, data = read_key(text), Path(receipt).read_bytes()
    except (KeyTextError, OSError, ValueError) as error:
        print(f"error: {shown(error)}", file=sys.stderr)
        return USAGE
    outcome = examine(data, key)
    print("\n".join(outcome.lines))
    if outcome.code == SOUND:
        print("to be believed:\n" + "\n".join(f"   {each}" for each in outcome.believed))
    print({SOUND: "result: sound", INCOMPLETE: "result: incomplete"}.get(outcome.code, "result: INVALID"))
    return outcome.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

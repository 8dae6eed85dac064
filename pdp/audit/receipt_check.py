"""A receipt, checked: what `pdp audit verify FILE` does with one.

A file and the key of the log come in, a report comes out. Everything is checked by the very program that a receipt
carries (pdp/audit/standalone); what it leaves open for want of our own parts is done here besides: the policy files are
compiled again, and a policy with Casbin tables is evaluated by its definition.

INVARIANT: nothing in the file is run, and nothing of this machine's state is read: what is found hangs on the file, the
    key and this version alone.
SECURITY: the key comes from whoever asks; the one in the file only has to be the same.
Design: audit.md 3.1; contracts.md "Exit codes of `audit verify`".

Decision: 2026-11-21. A policy that compiles to another form here is a note and no finding: another version of the
compiler did that, and the form that was in force is the one on record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pdp.audit.checkpoint import parse_vkey
from pdp.audit.leaf import parse
from pdp.audit.receipt import verifier
from pdp.audit.replay import ReplayError, Undecidable, agrees, replay, undecided
from pdp.audit.report import INVALID, SOUND, Finding, Report
from pdp.audit.standalone import parts as of
from pdp.audit.standalone.reading import read_json
from pdp.audit.standalone.signed_log import read_key
from pdp.audit.standalone.verify import BELIEVED_OF_IR, examine
from pdp.errors import PolicyError
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import load_engine
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.ir import Program
from policy_lang.ir import codec as ir_codec

_ZIP_MAGIC = b"PK\x03\x04"


def is_receipt(head: bytes) -> bool:
    """Whether a file that begins so may be a receipt, and is nothing else that a log has."""
    return head.startswith(_ZIP_MAGIC)


def verify_receipt(path: Path, vkey: str) -> Report:
    """Check a receipt against the key of its log.

    `records` of the report counts the records that were proved, `notes` hold the steps and what has to be believed.
    Errors: CheckpointError A601 where `vkey` is no key; OSError where the file cannot be read.
    """
    key = parse_vkey(vkey)
    with path.open("rb") as file:
        data = file.read(of.MOST_BYTES + 1)
    outcome = examine(data, read_key(vkey))
    findings = [Finding(outcome.code, str(path), outcome.lines[-1].removeprefix("NO "))] if outcome.code else []
    notes = [line for line in outcome.lines if not line.startswith("NO ")]
    records = 0
    if outcome.code == SOUND:
        parts = of.read_parts(data)
        records = outcome.proved
        compiled, told = _compiled_again(parts) if outcome.in_force else (False, [])
        told += _of_verifier(parts)
        if outcome.agrees is None and outcome.in_force and of.INPUTS in parts:
            same, note = _decided_again(parts)
            told.append(note)
            findings += [Finding(INVALID, str(path), note)] if same is False else []
        believed = [each for each in outcome.believed if not (compiled and each == BELIEVED_OF_IR)]
        notes += [*told, *(f"to be believed: {each}" for each in believed)]
    return Report(
        exit_code=max((each.code for each in findings), default=SOUND),
        origin=key.name,
        size=None if outcome.signed is None else outcome.signed.size,
        root=None if outcome.signed is None else outcome.signed.root.hex(),
        records=records,
        writers=0,
        pending=0,
        newest_us=None,
        findings=tuple(findings),
        findings_dropped=0,
        notes=tuple(notes),
    )


def _of_verifier(parts: Mapping[str, bytes]) -> list[str]:
    """Whether the program in the receipt, which is not run here, is ours."""
    if of.VERIFY not in parts:
        return [f"-- there is no {of.VERIFY} in the receipt: whoever has no Portcullis takes one from a release"]
    if parts[of.VERIFY] == verifier().encode():
        return []
    said = f"-- the {of.VERIFY} in the receipt is another program than that of this version, and was not run"
    return [f"{said}: another version wrote it, or somebody changed it; a release has the right one"]


def _compiled_again(parts: Mapping[str, bytes]) -> tuple[bool, list[str]]:
    """Whether the policy files compile to the form that is here, and what is said of it."""
    files = {name.removeprefix(of.POLICY): data for name, data in parts.items() if name.startswith(of.POLICY)}
    stated = read_json(parts[of.BUNDLE], of.BUNDLE).get("settings")
    try:
        program = compile_policy(files, stated if isinstance(stated, str) and stated else None).program
    except CompileError:
        return False, ["-- the policy files do not compile here: they are of another version"]
    if hashlib.sha256(ir_codec.dump(program)).digest() == hashlib.sha256(parts[of.IR]).digest():
        return True, ["ok the policy files compile to ir.json here, too"]
    return False, ["-- the policy files compile to another form here: this is another version of the compiler"]


def _decided_again(parts: Mapping[str, bytes]) -> tuple[bool | None, str]:
    """Whether the definition, with all that it needs, gives the answer on record; None where it gives none."""
    try:
        leaf, opened = parse(parts[of.LEAF]), parts[of.INPUTS]
        program = ir_codec.load(parts[of.IR])
        engine = load_engine(bundle_of(_no_facts(program)), program, planned=False)
        verdict = replay(leaf, opened, engine)
        if isinstance(verdict, Undecidable):
            return None, f"-- not decided by the definition either: {verdict.why}"
        same = None if undecided(leaf) else agrees(leaf, opened, verdict)
    except (ReplayError, PolicyError, ValueError) as error:
        return False, f"the receipt cannot be decided again: {error}"
    if same is None:
        return None, "-- the evaluators differed when the call was decided: there is nothing to agree with"
    return same, "ok decided by the definition: the same answer" if same else "the definition gives another answer"


def _no_facts(program: Program) -> dict[str, bytes]:
    """The facts of a program, all empty: the rows that were looked up come with the inputs."""
    return {
        f"facts/{relation.id}.csv": f"{','.join(name for name, _ in relation.columns)}\n".encode()
        for relation in program.relations
    }

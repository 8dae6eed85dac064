"""A log that holds the decision cases of tests/golden/decisions, and receipts of its records."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from msgspec import Struct

from pdp.audit.keys import load_keys
from pdp.audit.leaf import parse
from pdp.audit.opened import found_record, opened_record
from pdp.audit.receipt import Disclosed, Receipt, compiled_form, make_receipt, verifier
from pdp.audit.record import decision_entry
from pdp.audit.writer import LogWriter
from pdp.config_identity import IssuerConfig
from pdp.evaluate import Evaluator
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.model import Json
from pdp.runtime.bundle import Bundle, read_folder
from pdp.runtime.engine import Engine
from pdp.runtime.store import BundleStore
from pdp.state import State
from tests.support.cases import NOW, POLICY, Case, cases, engine, inquiry, issuers
from tests.support.logs import LiveLog

NOW_US = NOW * 1_000_000


class CaseLog(Struct, frozen=True):
    """A log under a signed checkpoint, and the ids of its records by the name of their case."""

    place: State
    ids: Mapping[str, str]

    def receipt(self, name: str, *, disclose: bool = True) -> Receipt:
        """The receipt of a case."""
        return receipt_of(self.place, self.ids[name], disclose=disclose)


def receipt_of(place: State, record_id: str, *, disclose: bool = True) -> Receipt:
    """The receipt of a record."""
    keys = load_keys(place.keys)
    disclosed = None
    if disclose:
        found = found_record(place.log, place.wal, record_id)
        assert found is not None
        leaf = parse(found.leaf)
        opened = None if leaf.sealed is None else opened_record(place.log, place.wal, keys, leaf)
        digest = leaf.clear.get("pb")
        bundle = BundleStore(place.bundles).load(str(digest)) if digest else None
        disclosed = Disclosed(opened, bundle, None if bundle is None else _compiled(bundle.digest, place))
    made = make_receipt(place.log, place.wal, keys.vkey, record_id, disclosed)
    assert made is not None
    return made


@cache
def _compiled(digest: str, place: State) -> bytes | None:
    """A policy is compiled once for all its receipts."""
    return compiled_form(BundleStore(place.bundles).load(digest))


@contextmanager
def logging(root: Path, bundle: Bundle, in_force: Engine) -> Iterator[LogWriter]:
    """A log in which a policy was put in force, to be written; at the end all of it is under a checkpoint."""
    live = LiveLog(root)
    (root / "bundles").mkdir()
    BundleStore(root / "bundles").keep(bundle)
    with live.writing() as writer:
        writer.append("policy.activated", activation(bundle, in_force), None, strict=True)
        yield writer
    live.pass_quietly(live.sequencer())


def activation(bundle: Bundle, in_force: Engine) -> dict[str, Json]:
    """What is recorded when a policy is put in force."""
    return {"t": NOW_US, "pb": bundle.digest, "from": "", "ir": in_force.ir_digest, "files": len(bundle.files)}


def case_log(root: Path) -> CaseLog:
    """The log of every decision case."""
    ids: dict[str, str] = {}
    evaluator = Evaluator(engine, _identity(root), service_from_host=False)
    with logging(root / "state", read_folder(POLICY), engine()) as writer:
        for case in cases():
            ids[case.name] = _record(writer, evaluator, case)
    return CaseLog(State(root / "state"), ids)


def _record(writer: LogWriter, evaluator: Evaluator, case: Case) -> str:
    made = evaluator.evaluate(inquiry(case, NOW), NOW_US)
    entry = decision_entry(made.decision, made.evidence, made.engine, NOW_US, "edge", None)
    return writer.append(entry.kind, entry.clear, entry.inputs, strict=True).id


def _identity(root: Path) -> Identity:
    configured = [
        IssuerConfig(url=each.url, keys=each.write_keys(root / f"{number}.json"), algorithms=("ES256",))
        for number, each in enumerate(issuers())
    ]
    return Identity(Verifier(read_issuers(configured)))


@cache
def standalone(folder: Path) -> ModuleType:
    """The program that receipts carry, run from a file as a stranger has it."""
    path = folder / "verify.py"
    path.write_text(verifier())
    spec = importlib.util.spec_from_file_location("stranger_verify", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def members_of(receipt: bytes) -> dict[str, bytes]:
    """The parts of a receipt."""
    with zipfile.ZipFile(io.BytesIO(receipt)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: Mapping[str, bytes]) -> bytes:
    """Parts as a file, whatever they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()

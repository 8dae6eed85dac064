"""A trace for a person, as lines, and for a program, as the JSON of language.md 5.6; and what of it stays hidden.

A private claim is never shown, nor the value of a header that a rule makes of one: it stands as a keyed fingerprint
(`fp:` and 8 bytes in hex), equal for equal values under one state's key, so that two calls can be held against each
other; without a key it is `(private)`.
Design: language.md 5.6; contracts.md "The log" (`fp:`).

Decision: 2026-11-21. The key of fingerprints is made from the key of the boxes: who may open a record may tell what a
fingerprint stands for, and nobody else may try values out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from pdp.audit.inputs import json_of
from pdp.audit.keys import load_record_keys
from pdp.errors import PdpError
from pdp.evaluate import Evaluation
from pdp.model import Json
from pdp.runtime.engine import Engine
from policy_lang.declared.mentioned import NOTHING_MENTIONED, Mentioned
from policy_lang.diagnostics import printable
from policy_lang.ir import Http, Program, Value
from policy_lang.meaning.explain import PRIVATE, header_value, private_headers, private_reads, trace_json
from policy_lang.meaning.literals import value_text
from policy_lang.meaning.routing import RouteRefusal
from policy_lang.meaning.schema import Absent, fields_of, locate
from policy_lang.meaning.words import read_types
from policy_lang.typesystem import Type
from policy_lang.verdict import ActionCall, Header, Question, RuleTrace, Truth3, Verdict

_PURPOSE = b"portcullis fingerprint 1"
_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Privacy(Struct, frozen=True):
    """The names of private inputs as a trace has them, those of the headers that are made of one, and the key of
    fingerprints, None where there is none.
    """

    names: frozenset[str]
    key: bytes | None
    headers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, program: Program, kind: str | None, endpoint: str | None, key: bytes | None = None) -> Privacy:
        """What is private in a call of a kind of caller to an endpoint, both by id."""
        names = private_reads(program, kind, endpoint)
        return cls(names, key, private_headers(program, names))

    def header(self, header: Header) -> str:
        """What is shown of the value of a header that a gateway is to set."""
        if header.name in self.headers:
            return self.fingerprint(f"set header {header.name}", header.value)
        return header_value(header)

    def fingerprint(self, name: str, value: Json) -> str:
        """What is shown of the private input `name`."""
        if self.key is None:
            return PRIVATE
        said = f"{name}\0{json.dumps(value, sort_keys=True)}".encode()
        return f"fp:{hmac.digest(self.key, said, 'sha256')[:_BYTES].hex()}"


def fingerprint_key(keys_folder: Path) -> bytes | None:
    """The key of fingerprints of a state folder; None where its keys are not at hand."""
    try:
        keys = load_record_keys(keys_folder)
    except PdpError:
        return None
    return hmac.digest(keys.box_key, _PURPOSE, hashlib.sha256)


# ---------------------------------------------------------------- lines


class Told(Struct, frozen=True):
    """What the lines of a trace say besides it: the types of what is read, by name, so that a value stands as the
    literal a policy would hold; and the settings that its clauses mention.
    """

    types: Mapping[str, Type]
    settings: Mentioned

    @classmethod
    def of(cls, program: Program, kind: str | None, endpoint: str | None, settings: Mentioned) -> Told:
        """What is told of a call of a kind of caller to an endpoint, both by id."""
        return cls(read_types(program, kind, endpoint), settings)


NOTHING_TOLD = Told({}, NOTHING_MENTIONED)

HOW = {Truth3.TRUE: "passes", Truth3.FALSE: "fails", Truth3.UNKNOWN: "unknown"}
"""How a clause came out, in a word that reads the same before `when` and before `unless`: a rule applies where all of
its clauses pass.
"""


def rule_text(
    trace: RuleTrace, *, values: bool, private: frozenset[str], key: bytes | None = None, told: Told = NOTHING_TOLD
) -> str:
    """The lines of one rule: whether it applied, and each clause with how it came out; where `values`, with the values
    that were read, those of `private` as fingerprints under `key`, and those of settings that it mentions. No name or
    text in it ends a line.
    """
    privacy = Privacy(private, key)
    shadow = " (shadow)" if trace.shadow else ""
    place = f"{trace.place}, {trace.row}" if trace.row else trace.place
    lines = [f"{'*' if trace.applies else '-'} {trace.effect} {trace.id}{shadow}  ({place})"]
    for clause in trace.clauses:
        failed = f", failed at `{clause.failed}`" if clause.failed and clause.failed != clause.text else ""
        lines.append(f"    {HOW[clause.truth]:<8} {clause.label}: {clause.text}{failed}")
        if values:
            shown = [(name, _shown(name, value, privacy, told)) for name, value in clause.reads]
            shown += told.settings.get((trace.id, clause.label), ())
            lines += [f"             {name} = {text}" for name, text in shown]
    return "\n".join(map(printable, lines))


def _shown(name: str, value: Value | None, privacy: Privacy, told: Told) -> str:
    if name in privacy.names:
        return privacy.fingerprint(name, json_of(value))
    if value is None:
        return "(unknown)" if name.startswith(("signal.", "request.")) or name.endswith(")") else "(absent)"
    return value_text(value, told.types.get(name))


# ---------------------------------------------------------------- JSON


def whole_trace(evaluation: Evaluation, verdict: Verdict, engine: Engine, privacy: Privacy, at_us: int) -> Json:
    """The trace of a decision with the values that were read and all that stands around it."""
    decision, question = evaluation.decision, evaluation.evidence.question
    around: dict[str, Json] = {
        "bundle": f"sha256:{decision.policy}",
        "at": _instant(at_us),
        "service": decision.service,
        "policy": decision.policy,
    }
    if question is not None:
        around |= _asked(engine, question, decision.endpoint, privacy)
    return around | with_fingerprints(trace_json(verdict, privacy.names, values=True), verdict, privacy)


def with_fingerprints(trace: dict[str, Json], verdict: Verdict, privacy: Privacy) -> dict[str, Json]:
    """A trace of `trace_json` in which each private read stands as its fingerprint."""
    rules = trace["rules"]
    for rule, told in zip(rules if isinstance(rules, list) else [], verdict.rules, strict=True):
        guards = rule["guards"] if isinstance(rule, dict) else []
        for guard, clause in zip(guards if isinstance(guards, list) else [], told.clauses, strict=True):
            read = guard.get("read") if isinstance(guard, dict) else None
            if isinstance(read, dict):
                read |= {
                    name: {"private": privacy.fingerprint(name, json_of(value))}
                    for name, value in clause.reads
                    if name in privacy.names
                }
    return trace


def _asked(engine: Engine, question: Question, endpoint: str | None, privacy: Privacy) -> dict[str, Json]:
    origin = question.origin
    asked: dict[str, Json] = {
        "principal": _principal(engine, question, privacy),
        "peer": origin.peer,
        "gateway": origin.gateway,
        "ip": origin.ip,
        "signals": {name: json_of(value) for name, value in question.signals.items()},
    }
    declared = engine.endpoints.get(endpoint or "")
    if declared is None:
        return asked
    asked["tags"] = dict[str, Json](declared.tags)
    call = question.call
    if isinstance(call, ActionCall):
        return asked | {"route": declared.written, "resource": {"type": call.resource, "id": call.id}}
    asked["route"] = f"{call.method} {declared.written}" if isinstance(declared.route, Http) else declared.written
    routed = engine.reference.admission.router.route(question.service, call)
    captures = {} if isinstance(routed, RouteRefusal) else routed[1]
    return asked | {"captures": {name: json_of(value) for name, value in captures.items()}}


def _principal(engine: Engine, question: Question, privacy: Privacy) -> dict[str, Json]:
    """The caller with the claims that the policy declares."""
    kind = engine.kinds.get(question.caller.kind or "")
    if kind is None:
        return {"kind": None}
    shown: dict[str, Json] = {"kind": kind.id, "form": kind.form}
    root = "token" if kind.form == "token" else "subject"
    for each in fields_of(kind):
        value = locate(each.source, question.caller.claims)
        if not isinstance(value, Absent):
            name = f"{root}.{each.name}"
            private = name in privacy.names
            shown[each.name] = {"private": privacy.fingerprint(name, value)} if private else value
    return shown


def _instant(at_us: int) -> str:
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

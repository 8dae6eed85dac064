"""The engine: one compiled policy with its facts, immutable, and the one function that decides by it.

Pure: the same bundle and the same question give the same verdict. Built from serialised IR (`pdp.runtime.compiler`)
and the bundle's facts files; nothing here parses policy text.
INVARIANT: an engine exists only whole: IR valid, every declared relation's facts at hand, and the self-test passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pdp.errors import PolicyError
from pdp.runtime.bundle import Bundle
from policy_lang import ir_codec
from policy_lang.facts import FactsError, load_facts
from policy_lang.inputs import Inputs, Recorder
from policy_lang.ir import Endpoint, Fixed, Kind, Program, Service
from policy_lang.reference import Reference
from policy_lang.request import Path
from policy_lang.verdict import ANONYMOUS, Facts, Question, Verdict


@dataclass(frozen=True, slots=True)
class Engine:
    """A policy in force. `kinds` by issuer, `services`, `endpoints` by id; `hosts` lists the services of a host.

    `words` are the literal segments of all declared paths, `claims` the names of all declared claims.
    `digest` names the bundle, `ir_digest` the compiled form (SHA-256 of its bytes); both hex.
    """

    digest: str
    ir_digest: str
    files: frozenset[str]
    program: Program
    facts: Facts
    reference: Reference
    recorder: Recorder
    kinds: Mapping[str, Kind]
    services: Mapping[str, Service]
    endpoints: Mapping[str, Endpoint]
    hosts: Mapping[str, tuple[str, ...]]
    words: frozenset[str]
    claims: frozenset[str]

    def decide(self, question: Question) -> Verdict:
        """Decide one question."""
        return self.reference.decide(question)

    def decide_and_note(self, question: Question) -> tuple[Verdict, Inputs]:
        """Decide one question, and say what the decision took in, for its record."""
        call = self.reference.admission.admit(question)
        return self.reference.judge(question, call), self.recorder.record(question, call)


def load_engine(bundle: Bundle, program: Program) -> Engine:
    """The engine of a bundle whose policy files were compiled to `program`.

    Errors: PolicyError P110 for facts files that do not fit (every problem named), P111 when the self-test fails.
    """
    try:
        facts = load_facts(program, bundle.files)
    except FactsError as error:
        raise PolicyError("P110", "the facts of the policy are not usable:\n" + "\n".join(error.problems)) from error
    hosts: dict[str, tuple[str, ...]] = {}
    for service in program.services:
        for host in service.hosts:
            hosts[host] = (*hosts.get(host, ()), service.id)
    reference = Reference.of(program)
    engine = Engine(
        digest=bundle.digest,
        ir_digest=hashlib.sha256(ir_codec.dump(program)).hexdigest(),
        files=frozenset(bundle.files),
        program=program,
        facts=facts,
        reference=reference,
        recorder=Recorder(reference.admission),
        kinds={kind.issuer: kind for kind in program.kinds},
        services={service.id: service for service in program.services},
        endpoints={endpoint.id: endpoint for endpoint in program.endpoints},
        hosts=hosts,
        words=frozenset(s.text for e in program.endpoints for s in e.segments if isinstance(s, Fixed)),
        claims=frozenset(claim.name for kind in program.kinds for claim in kind.claims),
    )
    _self_test(engine)
    return engine


def load_compiled(bundle: Bundle, compiled: bytes) -> Engine:
    """The same from serialised IR. Errors: PolicyError P112 when the IR is not valid."""
    try:
        program = ir_codec.load(compiled)
    except ValueError as error:
        raise PolicyError("P112", f"the compiled policy is not valid: {error}") from error
    return load_engine(bundle, program)


def _self_test(engine: Engine) -> None:
    """A call that no policy may allow is asked once, so that an engine that allows everything never serves."""
    nowhere = Question(
        service="",
        method="GET",
        path=Path(text="/", segments=(), trailing_slash=False, escaped=frozenset(), query=None),
        host="",
        caller=ANONYMOUS,
        now_ms=0,
        facts=engine.facts,
    )
    if engine.decide(nowhere).outcome != "deny":
        raise PolicyError("P111", "the compiled policy allows a call to no service: it is not put in force")

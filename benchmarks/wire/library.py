"""One library that decides, in a process of its own: `python -m benchmarks.wire.library NAME RULES SECONDS`.

It loads the policy, answers everything that is asked first, and refuses to be measured where an answer is wrong. Then
it decides the mix again and again for some seconds, and prints one line of JSON. A question comes as the values that
the library takes: what a caller has at hand, not what was sent over a wire. Each library is imported where it is used,
since each has a process, and but one environment has them all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, perf_counter_ns

import msgspec
from msgspec import Struct

from benchmarks.wire.policies import TEXTS, all_of, write_pol
from benchmarks.wire.questions import Question, asked_first, expected, mix

Decide = Callable[[object], bool]
FEWEST = 5
"""Decisions that are timed at least, however long one takes."""


class Timed(Struct, frozen=True):
    """What was measured: microseconds of a decision, seconds to load the policy, MiB of the process."""

    version: str
    p50: float
    p99: float
    load_s: float
    memory_mib: float


class Loaded(Struct, frozen=True):
    """A library with the policy: what decides, and what makes of a question what it is asked with."""

    version: str
    decide: Decide
    asked: Callable[[Question], object]


def _portcullis(rules: int) -> Loaded:
    """The whole decision without its record: path, endpoint, claims, rules (pdp/evaluate.py)."""
    from pdp import __version__  # noqa: PLC0415 - see above
    from pdp.evaluate import Evaluator  # noqa: PLC0415
    from pdp.identity.bearer import Identity  # noqa: PLC0415
    from pdp.identity.jwt import Verifier  # noqa: PLC0415
    from pdp.model import EXT_AUTHZ, Inquiry, Json, Principal  # noqa: PLC0415
    from pdp.runtime.bundle import read_folder  # noqa: PLC0415
    from pdp.runtime.compiled import engine_of  # noqa: PLC0415
    from policy_lang.verdict import KnownClaims  # noqa: PLC0415

    now_s = 1_800_000_000
    with TemporaryDirectory() as folder:
        write_pol(Path(folder) / "policy", rules)
        engine = engine_of(read_folder(Path(folder) / "policy"), planned=True)
    evaluator = Evaluator(lambda: engine, Identity(Verifier([])), service_from_host=False)

    def asked(question: Question) -> Inquiry:
        held: dict[str, Json] = {"accounts": [*question.accounts], "roles": [*question.roles]}
        claims = KnownClaims({"iss": "https://id.example", "sub": "u1", "aud": ["bench"], "exp": now_s + 300, **held})
        return Inquiry(
            service="bench",
            method=question.method,
            path=question.path,
            host="bench.example",
            headers=(),
            gateway="edge",
            identity=None,
            capabilities=EXT_AUTHZ,
            ip="203.0.113.7",
            request_id=None,
            principal=Principal("token", "user", claims, expires_at=now_s + 300, credential=bytes(32)),
        )

    def decide(inquiry: Inquiry) -> bool:
        return evaluator.evaluate(inquiry, now_s * 1_000_000).decision.outcome == "allow"

    return Loaded(__version__, decide, asked)  # type: ignore[arg-type]


def _pycasbin(rules: int) -> Loaded:
    """Every rule is looked at in turn; the claims come with the request, as values of Python."""
    import casbin  # noqa: PLC0415
    from casbin.persist.adapters import StringAdapter  # noqa: PLC0415

    model = casbin.model.Model()
    model.load_model_from_text((TEXTS / "casbin.conf").read_text())
    enforcer = casbin.Enforcer(model, StringAdapter(all_of("casbin.csv", rules)))
    account = re.compile(r"/accounts/([^/]+)/")

    def owns(claims: Question, path: str) -> bool:
        found = account.match(path)
        return found is not None and found[1] in claims.accounts

    def holds(claims: Question, role: str) -> bool:
        return role in claims.roles

    enforcer.add_function("owns", owns)
    enforcer.add_function("holds", holds)

    def decide(asked: tuple[Question, str, str]) -> bool:
        return bool(enforcer.enforce(*asked))

    return Loaded(version("pycasbin"), decide, lambda question: (question, question.path, question.method))  # type: ignore[arg-type]


def _cedarpy(rules: int) -> Loaded:
    """Policies are parsed once, and the entities of each caller beforehand."""
    import cedarpy  # noqa: PLC0415

    policies = cedarpy.PolicySet.from_str(all_of("bench.cedar", rules))

    def asked(question: Question) -> tuple[dict[str, object], cedarpy.Entities]:
        roles = [{"type": "Role", "id": role} for role in question.roles]
        user = {"uid": {"type": "User", "id": "u1"}, "attrs": {"accounts": question.accounts}, "parents": roles}
        request: dict[str, object] = {
            "principal": {"type": "User", "id": "u1"},
            "action": {"type": "Action", "id": question.method},
            "resource": {"type": "Endpoint", "id": f"r{question.endpoint}"},
            "context": {"account": question.account},
        }
        return request, cedarpy.Entities.from_json_str(msgspec.json.encode([user]).decode())

    def decide(made: tuple[dict[str, object], cedarpy.Entities]) -> bool:
        return bool(cedarpy.is_authorized(made[0], policies, made[1]).allowed)

    return Loaded(version("cedarpy"), decide, asked)  # type: ignore[arg-type]


def _opa(rules: int) -> Loaded:
    """OPA in the process, asked for the document, in the input of its Envoy plugin."""
    from opa_bindings.engine import OpaEngine  # noqa: PLC0415

    engine = OpaEngine()
    engine.add_policy("bench.rego", all_of("bench.rego", rules))

    def asked(question: Question) -> dict[str, object]:
        headers = {"x-accounts": ",".join(question.accounts), "x-roles": ",".join(question.roles)}
        http = {"method": question.method, "path": question.path, "headers": headers}
        return {"attributes": {"request": {"http": http}}, "parsed_path": question.path.strip("/").split("/")}

    def decide(made: dict[str, object]) -> bool:
        return engine.eval_document("bench.allow", made) is True

    return Loaded(version("opa-golib-python-bindings"), decide, asked)  # type: ignore[arg-type]


LIBRARIES: dict[str, Callable[[int], Loaded]] = {
    "Portcullis": _portcullis,
    "pycasbin": _pycasbin,
    "cedarpy": _cedarpy,
    "OPA's library": _opa,
}


def timed(load: Callable[[int], Loaded], rules: int, seconds: float) -> Timed:
    """Load, ask, measure. SystemExit for a wrong answer."""
    began = perf_counter()
    loaded = load(rules)
    # Some only compile when they are first asked.
    loaded.decide(loaded.asked(mix(rules)[0]))
    load_s = perf_counter() - began
    for question in asked_first(rules):
        if loaded.decide(loaded.asked(question)) is not expected(question, rules):
            raise SystemExit(f"wrong answer to {question}")
    times: list[int] = []
    until = perf_counter() + seconds
    for asked in cycle([loaded.asked(question) for question in mix(rules)]):
        start = perf_counter_ns()
        loaded.decide(asked)
        times.append(perf_counter_ns() - start)
        if len(times) >= FEWEST and perf_counter() > until:
            break
    times.sort()
    p50, p99 = (times[len(times) * share // 100] / 1e3 for share in (50, 99))
    memory = next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    return Timed(loaded.version, p50, p99, load_s, int(memory.split()[1]) / 1024)


def main(name: str, rules: str, seconds: str) -> None:
    """Measure one and print it."""
    print(msgspec.json.encode(timed(LIBRARIES[name], int(rules), float(seconds))).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The words of a policy that the service needs by name: what may stand in clear in a record, and what headers it takes.

In comes a program, out go sets of names, worked out once for each engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from policy_lang.ir import Action, Endpoint, Fixed, Grpc, Http, IssueToken, Program, RemoveHeader, SetHeader
from policy_lang.verdict import CAPABILITIES


class Vocabulary(Struct, frozen=True):
    """`literals` are the segments of all declared paths. `subjects` are what a reason may be about: names of claims,
    parameters, headers, properties, roles and scopes. `headers` are those that some endpoint reads, `identity_headers`
    those that some rule sets, `guarded_headers` these and those that some rule removes: a client may spell neither in
    another way. `workloads` are declared callers by SPIFFE id. `issues_tokens`: some rule has a token made.
    """

    literals: frozenset[str]
    subjects: frozenset[str]
    headers: frozenset[str]
    identity_headers: frozenset[str]
    guarded_headers: frozenset[str]
    workloads: Mapping[str, str]
    issues_tokens: bool

    @classmethod
    def of(cls, program: Program) -> Vocabulary:
        """The vocabulary of a program."""
        obligations = [each for body in program.bodies for each in (*body.must, *body.should)]
        identity_headers = frozenset(each.name for each in obligations if isinstance(each, SetHeader))
        removed = frozenset(each.name for each in obligations if isinstance(each, RemoveHeader))
        return cls(
            frozenset(text for endpoint in program.endpoints for text in _literals(endpoint)),
            frozenset(_subjects(program)) | identity_headers,
            frozenset(header.source[0] for endpoint in program.endpoints for header in endpoint.headers)
            | {"content-type"},
            identity_headers,
            identity_headers | removed,
            {workload.identity: workload.id for workload in program.workloads},
            any(isinstance(each, IssueToken) for each in obligations),
        )


def _literals(endpoint: Endpoint) -> Iterator[str]:
    match endpoint.route:
        case Http(_, segments, _):
            yield from (segment.text for segment in segments if isinstance(segment, Fixed))
        case Grpc(service, method):
            yield from (service, method)
        case Action():
            pass


def _subjects(program: Program) -> Iterator[str]:
    yield from CAPABILITIES
    for kind in program.kinds:
        yield kind.id
        yield from ("id", "aud", "scope")
        yield from (claim.name for claim in kind.claims)
        yield from (role for pair in kind.exclusive for role in (pair.left, pair.right))
    for endpoint in program.endpoints:
        yield from endpoint.scopes
        yield from (field.name for field in (*endpoint.query, *endpoint.headers, *endpoint.properties))

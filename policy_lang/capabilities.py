"""What gateways can do, and whether one can do all that a policy says it must.

A program and a gateway go in, a diagnostic for each rule that asks too much comes out. `KNOWN` holds, as data, what
gateways can do by their nature; what a particular one does is for whoever runs it to say.
An obligation counts where its rule stands in a cell of an endpoint that the gateway serves. Shadow rules have no say,
`should` may be left undone, `log` and `alert` are ours.
Source: language.md point G; contracts.md "Headers at Envoy" (Capabilities).

Decision: 2026-11-21. `answer 403` takes nothing of a gateway: that is how it refuses anyway. nginx's `auth_request`
refuses with 401 or 403 alone, so it cannot answer with another status.
Decision: 2026-11-21. `needs` asks nothing here: a step-up that cannot be sent is a refusal, and a caller who meets the
need never gets one.
Decision: 2026-11-21. A gateway that passes headers on can pass a token on. Whether there is a key to sign one with is
asked where the policy is served (language.md point D), not here.
Decision: 2026-11-21. A diagnostic names the rule, where it stands in the policy, once for each thing the gateway lacks,
however many endpoints it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_never

from msgspec import Struct

from policy_lang import ir
from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.deployment import BeyondGateway
from policy_lang.source import Source, Span
from policy_lang.verdict import Capability

Form = Literal["path", "action"]
"""How a gateway asks: about a method and a path (HTTP, gRPC), or about an action on a resource."""


class Gateway(Struct, frozen=True):
    """A gateway that may ask about calls of these forms, of these services (None: of all). `carries` are the headers
    that its own configuration knows, None where it needs to know none.
    """

    name: str
    can: frozenset[Capability]
    asks: frozenset[Form]
    services: frozenset[str] | None = None
    carries: frozenset[str] | None = None

    def serves(self, endpoint: ir.Endpoint) -> bool:
        """Whether calls of `endpoint` may come through this gateway."""
        form: Form = "action" if isinstance(endpoint.route, ir.Action) else "path"
        return form in self.asks and (self.services is None or endpoint.service in self.services)


_PATHS: frozenset[Form] = frozenset({"path"})
_HTTP: frozenset[Capability] = frozenset({"set_header", "remove_header", "issue_token", "answer", "step_up"})

KNOWN: Mapping[str, Gateway] = {
    "envoy": Gateway("envoy", _HTTP, _PATHS),
    "forward-auth": Gateway("forward-auth", _HTTP, _PATHS),
    "nginx": Gateway("nginx", _HTTP - {"answer"}, _PATHS),
    "authzen": Gateway("authzen", frozenset(), frozenset({"action"})),
}
"""Envoy's ext_authz; the forward-auth of Traefik, Caddy and APISIX; nginx's auth_request; a caller of AuthZEN, which
can do what it says of itself."""

_NAMED = 3
"""Endpoints that a diagnostic names; the rest is counted."""


def served(program: ir.Program, gateway: Gateway) -> int:
    """How many endpoints of the program the gateway serves."""
    return sum(gateway.serves(endpoint) for endpoint in program.endpoints)


def check_gateway(program: ir.Program, gateway: Gateway, sources: Mapping[str, Source]) -> tuple[Diagnostic, ...]:
    """A mistake for each rule and each thing it must have done that the gateway cannot do; by rule id.

    Shapes: `sources` are those the program was compiled from. No errors.
    """
    lacking = [_asked(body) - gateway.can for body in program.bodies]
    found: dict[tuple[int, Capability], dict[str, None]] = {}
    groups: dict[int, list[tuple[int, Capability]]] = {}
    for cell in program.cells:
        endpoint = program.endpoints[cell.endpoint]
        if not gateway.serves(endpoint):
            continue
        for group in (cell.deny, cell.require):
            # Equal groups are shared tuples, which live as long as the program.
            if id(group) not in groups:
                groups[id(group)] = [(each.rule, word) for each in group for word in lacking[each.body]]
            for key in groups[id(group)]:
                found.setdefault(key, {})[endpoint.id] = None
    return tuple(
        _mistake(program.rules[rule], word, tuple(sorted(endpoints)), gateway, sources)
        for (rule, word), endpoints in sorted(found.items())
    )


def _asked(body: ir.Body) -> frozenset[Capability]:
    """What a gateway must be able to do for a rule."""
    asked = (_capability(obligation) for obligation in body.must)
    return frozenset(each for each in asked if each is not None)


def _capability(obligation: ir.Obligation) -> Capability | None:
    match obligation:
        case ir.SetHeader():
            return "set_header"
        case ir.RemoveHeader():
            return "remove_header"
        case ir.Redact():
            return "redact"
        case ir.IssueToken():
            return "issue_token"
        case ir.Answer(status):
            return None if status == 403 else "answer"
        case ir.LogDuty() | ir.Alert():
            return None
        case _:
            assert_never(obligation)


_DOING: Mapping[Capability, str] = {
    "set_header": "set headers",
    "remove_header": "remove headers",
    "redact": "redact answers",
    "issue_token": "pass a new token on",
    "answer": "answer with another status than 403",
    "step_up": "ask for stronger authentication",
}

_ADVICE: frozenset[Capability] = frozenset({"set_header", "remove_header", "redact"})
"""What may be advice too."""


def _mistake(
    rule: ir.Rule, word: Capability, endpoints: tuple[str, ...], gateway: Gateway, sources: Mapping[str, Source]
) -> Diagnostic:
    named = ", ".join(f"`{endpoint}`" for endpoint in endpoints[:_NAMED])
    more = f" and {len(endpoints) - _NAMED} more" if len(endpoints) > _NAMED else ""
    return BeyondGateway(
        span=_span(rule, sources),
        gateway=gateway.name,
        doing=_DOING[word],
        rule=rule.id,
        where=named + more,
        word=word.replace("_", " "),
        remedy=_remedy(word),
    )


def _remedy(word: Capability) -> str:
    if word == "answer":
        return "take the `answer` away, or serve this by a gateway that can"
    if word in _ADVICE:
        return "every allow there is refused by `capability`: serve this by a gateway that can, or write `should`"
    return "every allow there is refused by `capability`: serve this by a gateway that can"


def _span(rule: ir.Rule, sources: Mapping[str, Source]) -> Span:
    """The name of a rule in its file; the file alone where its text is not at hand."""
    source = sources.get(rule.place.file)
    if source is None:
        return Span(rule.place.file, 0, 0)
    lines = source.text.split("\n")[: rule.place.line - 1]
    start = sum(len(line) + 1 for line in lines) + rule.place.column - 1
    return Span(source.name, start, start + len(rule.id.rpartition(".")[2]))

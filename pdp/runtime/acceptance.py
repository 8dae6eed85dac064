"""What the configuration asks of a policy, beyond that it compiles: refused, or warned of.

A program and the configuration's words come in. `refuse_unfit` raises for what must not be put in force; `misgivings`
are the sentences for what will not work as somebody may think: an issuer whose tokens no policy takes, a kind whose
issuer nobody trusts, tokens that nobody makes, a listener for a service that is not there, a service that is observed.
Design: contracts.md "Which service, which gateway, which caller"; language.md point J.

Decision: 2026-11-21. A service that says `observe until` and carries a label of `never_observe` is refused whatever the
date: a policy that was good only because of the day it was read on is good for nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from pdp.errors import PolicyError
from pdp.runtime.vocabulary import Vocabulary
from policy_lang.ir import Program, Service

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Conditions(Struct, frozen=True):
    """`service_from_host`: hosts say which service is meant, so that none may have two. `never_observe`: labels, with
    or without their module.
    """

    service_from_host: bool = False
    never_observe: tuple[str, ...] = ()


UNCONDITIONAL = Conditions()


def refuse_unfit(program: Program, conditions: Conditions) -> None:
    """Errors: PolicyError E411 for a host of two services, P113 for a service that must not be observed."""
    problems = list(_shared_hosts(program)) if conditions.service_from_host else []
    if problems:
        detail = "the host is to say which service is meant, and several services have the same one"
        raise PolicyError("E411", f"{detail}: {'; '.join(problems)}: set `service_from_host = false`, or part them")
    forbidden = list(_forbidden(program, conditions.never_observe))
    if forbidden:
        raise PolicyError("P113", f"{'; '.join(forbidden)}: remove `observe until`, or the label from `never_observe`")


def _shared_hosts(program: Program) -> Iterator[str]:
    for host, services in hosts_of(program).items():
        if len(services) > 1:
            yield f"{host} is a host of {', '.join(services)}"


def hosts_of(program: Program) -> dict[str, tuple[str, ...]]:
    """The services of each host."""
    hosts: dict[str, tuple[str, ...]] = {}
    for service in program.services:
        for host in service.hosts:
            hosts[host] = (*hosts.get(host, ()), service.id)
    return hosts


def _forbidden(program: Program, never: Collection[str]) -> Iterator[str]:
    observed = {service.id for service in program.services if service.observe_until_ms is not None}
    for endpoint in program.endpoints:
        for label in endpoint.labels:
            if endpoint.service in observed and (label in never or label.rpartition(".")[2] in never):
                yield f"the service `{endpoint.service}` is observed, and `{endpoint.id}` carries the label `{label}`"


def misgivings(
    program: Program,
    issuers: Collection[str],
    gateways: Sequence[tuple[str, Collection[str] | None]],
    *,
    issues_tokens: bool,
) -> list[str]:
    """Sentences about what fits the configuration badly. `gateways` are names with the services they may ask
    about, None for all. `issues_tokens`: there is somebody who makes the tokens that rules ask for.
    """
    kinds = {kind.name: kind.id for kind in program.kinds if kind.form == "token"}
    services = {service.id for service in program.services}
    found = [
        f"the policy has no token kind for the issuer {url}: its tokens are refused"
        for url in sorted(issuers)
        if url not in kinds
    ]
    found += [
        f"the issuer {url} of the token kind `{kind}` is not configured: nobody can be a `{kind}`"
        for url, kind in sorted(kinds.items())
        if url not in issuers
    ]
    found += [
        f"the gateway {gateway} may ask about `{name}`, which the policy does not declare"
        for gateway, allowed in gateways
        for name in sorted(allowed or ())
        if name not in services
    ]
    if not issues_tokens and Vocabulary.of(program).issues_tokens:
        found.append("rules of the policy issue tokens, and [minting] has no `url`: calls that need one are refused")
    return found


def loose_headers(guarded: Collection[str], gateways: Sequence[tuple[str, Collection[str] | None]]) -> list[str]:
    """Sentences about headers that rules set or remove and gateways do not know. `gateways` are names with the headers
    that their own configuration carries, None for any.
    """
    found = []
    for gateway, carried in gateways:
        loose = [] if carried is None else sorted(set(guarded) - set(carried))
        if loose:
            named = ", ".join(loose)
            found.append(f"the files of the gateway {gateway} do not know the headers {named}: write them anew")
    return found


def observations(program: Program, now_ms: int) -> list[str]:
    """A sentence for each service that is observed now: what policy refuses there passes."""
    return [f"`{each.id}` is observed until {_day(each)}" for each in program.services if _is_observed(each, now_ms)]


def _is_observed(service: Service, now_ms: int) -> bool:
    return service.observe_until_ms is not None and now_ms < service.observe_until_ms


def _day(service: Service) -> str:
    try:
        at = _EPOCH + timedelta(milliseconds=service.observe_until_ms or 0)
    except OverflowError:
        return "the end of time"
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")

"""`pdp decide`: decide one call without a server, and say why.

Decision: 2026-11-21. The digest of the configuration binds here as in the service, unless --policies names a folder:
who asks what another policy would say says so.
Decision: 2026-11-21. A request that names a gateway of the configuration is decided as that gateway asks, by its
identity and its capabilities; any other is asked by a gateway that can do everything, so that what the policy says is
what is shown.
Decision: 2026-11-21. An issuer whose keys are asked for over a network is asked only for a token that is as its issuer
makes them, signature apart, and only where what the service kept is not enough (pdp/identity/once.py). How old keys are
is told by the clock of this host, whatever --now says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
from msgspec.structs import replace

from pdp.cli.check_progress import working
from pdp.cli.decide_inquiry import Asked, inquiry_of, what_is_missing, written_request
from pdp.cli.decide_reach import Shown, keys_json, keys_text, read_token, report, shown
from pdp.cli.options import (
    config_option,
    configured,
    json_option,
    path_type,
    policies_option,
    settings_option,
    state_option,
)
from pdp.cli.traces import Privacy, Told, fingerprint_key, rule_text, whole_trace
from pdp.config import Config
from pdp.config_identity import IssuerConfig
from pdp.errors import ConfigError
from pdp.evaluate import Evaluation, Evaluator, verdict_of
from pdp.gateways import Gateways
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwks import KeySet
from pdp.identity.jwt import Verifier
from pdp.identity.network import Outside
from pdp.identity.once import KeysOnce, keys_once
from pdp.model import Inquiry, Json
from pdp.request_form import WrittenRequest, instant_us
from pdp.runtime.acceptance import Conditions
from pdp.runtime.bundle import Bundle
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.runtime.sources import source_of
from pdp.state import State
from policy_lang.compile import settings_mentioned
from policy_lang.diagnostics import printable
from policy_lang.meaning.background import Background
from policy_lang.meaning.explain import duty_texts, sentence, trace_json
from policy_lang.verdict import CAPABILITIES

REACH_JSON = """With --reach, --json writes verified, reason, at, issuer, kind, audience, scopes, issued_at, not_before,
expires_at, seconds_left, bound, personal (each: claim, declared, private), reach (endpoints, endpoints_opened,
services, services_opened, and a count for each state) and endpoints (each: id, service, call, state, reason, subject,
rules, challenges, unsettled). A state is opens, opens_after_step_up, may_open or closed; what hangs on the rest of the
call stands in unsettled (each: rule, clause, inputs).

Where the keys of the token's issuer are asked for over a network, --json also writes keys: issuer, source (kept, by the
service in its state, or asked, just now), age_s, and failure, which is why the issuer was asked in vain."""

Answer = TypeVar("Answer")


@click.command(short_help="Decide one call, without a server.", epilog=REACH_JSON)
@click.argument("method", required=False)
@click.argument("url", required=False)
@click.option("--service", help="The service asked about; without it the host decides.")
@click.option("--token", type=path_type, help="A file with the caller's token; - reads standard input.")
@click.option("--as", "kind", help="Decide as a token of this kind, unproved; with --set for its claims.")
@click.option(
    "--set", "claims", multiple=True, metavar="CLAIM=VALUE", help="A claim for --as, as the token carries it."
)
@click.option("--ip", help="The address that the call comes from.")
@click.option("--peer", metavar="SPIFFE-ID", help="The workload that the call comes from, spiffe://….")
@click.option("--request", "request_path", type=path_type, help="A file with the whole request, JSON or YAML.")
@click.option("--now", help="The instant to decide at, such as 2026-03-01T12:00:00Z; without it, now.")
@click.option("--explain", is_flag=True, help="Print the trace: each rule, each clause, and what it read.")
@click.option("--reach", is_flag=True, help="Decide no call: say what --token is, and which endpoints it opens.")
@config_option
@policies_option
@settings_option
@state_option
@json_option
@click.pass_context
def decide(
    ctx: click.Context,
    method: str | None,
    url: str | None,
    service: str | None,
    token: Path | None,
    kind: str | None,
    claims: tuple[str, ...],
    ip: str | None,
    peer: str | None,
    request_path: Path | None,
    now: str | None,
    config_path: Path | None,
    policies: Path | None,
    settings: str | None,
    state: Path | None,
    *,
    explain: bool,
    reach: bool,
    as_json: bool,
) -> None:
    """Decide one call by the policy, without a server.

    METHOD URL is the call, such as GET https://orders.shop.example/accounts/a1. The policy is that of --policies, or of
    pdp.toml, or the current folder.

    A claim of --set is JSON, or else a text. A request of --request may also hold an action, headers, a gateway, facts
    and readings of signals; policy_lang/README.md, "One request, written down", lists its members.

    A private claim, and a header made of one, stands as a fingerprint under the key of the state.

    With --reach, says of a token what it is, which endpoints it opens whatever the call, which perhaps, and what in it
    looks personal.

    Keys that an issuer is asked for over a network are those the service keeps in its state; else it is asked now.
    What is revoked, and how long sessions rested, is not looked at: `pdp serve` does.

    No record is taken. Ends 0 for allow, 1 for deny and step-up, 2 for bad input; with --reach 0 for a token that is
    verified, 1 for another.
    """
    config = configured(config_path)
    place = State(state or config.state)
    digest = None if policies is not None and policies.is_dir() else config.bundle_digest
    bundle, engine = _engine(config, policies or config.policies or Path(), digest, settings or config.settings)
    beside = any((method, service, kind, claims, ip, peer))
    if reach:
        if token is None or beside or url is not None or request_path is not None or explain:
            raise click.UsageError("--reach tells of --token FILE: give no call beside it, and no --explain")
        told_us = time.time_ns() // 1_000 if now is None else instant_us(now, "--now")
        ctx.exit(report(*_reached(engine, config, place, token, told_us), as_json=as_json))
    is_call = method is not None and url is not None
    asked = Asked(method or "", url or "", service, token, kind, claims, ip, peer) if is_call else None
    written = _written(engine, asked, request_path, beside=beside or token is not None)
    at_us = instant_us(now, "--now") if now is not None else written.now_us
    at_us = time.time_ns() // 1_000 if at_us is None else at_us
    inquiry = _asked_by(config, written.inquiry)
    trusted = () if kind is not None else config.issuers
    evaluation, keys = _answered(trusted, place, lambda each: _evaluated(engine, config, each, inquiry, at_us))
    _show(evaluation, bundle, engine, fingerprint_key(place.keys), at_us, keys, explain=explain, as_json=as_json)
    ctx.exit(0 if evaluation.decision.outcome == "allow" else 1)


def _reached(engine: Engine, config: Config, place: State, token: Path, now_us: int) -> tuple[Shown, KeysOnce | None]:
    """What there is to tell of a token, and where the keys came from (`_answered`)."""
    text = read_token(token)
    verified, keys = _answered(config.issuers, place, lambda verifier: verifier.verify(text, now_us // 1_000_000))
    return shown(engine, verified, config.issuers, text, token, now_us), keys


def _evaluated(engine: Engine, config: Config, verifier: Verifier, inquiry: Inquiry, at_us: int) -> Evaluation:
    """Tokens are issued where the service would; for a gateway that the configuration does not have, always."""
    known = inquiry.gateway in Gateways.of(config.gateways).by_name
    evaluator = Evaluator(
        lambda: engine,
        Identity(verifier),
        service_from_host=config.service_from_host,
        issues_tokens=config.minting.url is not None or not known,
    )
    return evaluator.evaluate(inquiry, at_us)


def _answered(
    issuers: Sequence[IssuerConfig], place: State, answer: Callable[[Verifier], Answer]
) -> tuple[Answer, KeysOnce | None]:
    """What `answer` says with a verifier of these issuers; and where the keys came from that are asked for over a
    network, if it needed any. It is asked again with these. Errors: ConfigError C104.
    """
    trusted, missing = read_issuers(issuers), list[str]()
    first = answer(Verifier(trusted, missing.append))
    sought = next((each for each in issuers if each.keys is None and each.url in missing), None)
    if sought is None:
        return first, None

    def with_keys(keys: KeySet) -> Answer:
        missing.clear()
        known = [replace(each, keys=keys) if each.url == sought.url else each for each in trusted]
        return answer(Verifier(known, missing.append))

    def suffices(keys: KeySet) -> bool:
        with_keys(keys)
        return not missing

    with working(f"asking {sought.url} for its keys"), _told_once():
        found = asyncio.run(keys_once(sought, place.issuers, Outside(), suffices))
    return with_keys(found.keys), found


@contextmanager
def _told_once() -> Iterator[None]:
    """While the block runs, what a source of keys logs is not printed for want of a log: it stands in what is told."""
    log, nowhere = logging.getLogger("pdp.identity"), logging.NullHandler()
    log.addHandler(nowhere)
    try:
        yield
    finally:
        log.removeHandler(nowhere)


def _written(engine: Engine, asked: Asked | None, request_path: Path | None, *, beside: bool) -> WrittenRequest:
    """The request of a file, or the one that the command line says; `beside`: it says something of one."""
    if request_path is not None:
        if beside:
            why = "give no METHOD, --service, --token, --as, --set, --ip or --peer beside it"
            raise ConfigError("C202", f"--request holds the whole request: {why}")
        return written_request(engine, request_path)
    if asked is None:
        raise click.UsageError("give METHOD and URL, or --request FILE")
    return WrittenRequest(inquiry_of(engine, asked), None)


def _engine(config: Config, place: Path, digest: str | None, settings: str | None) -> tuple[Bundle, Engine]:
    """The policy folder, or the built policy where a digest names one, and its engine."""
    conditions = Conditions(config.service_from_host, config.never_observe)
    source = source_of(place, digest, settings, conditions)
    bundle = source.read()
    if source.pinned:
        # One call, whose whole trace may be wanted: the definition gives it, plans do not.
        return bundle, replace(asyncio.run(source.engine(bundle))[0], plans=None)
    return bundle, engine_of(bundle, conditions)


def _asked_by(config: Config, inquiry: Inquiry) -> Inquiry:
    """The same, asked by the gateway that it names."""
    gateway = Gateways.of(config.gateways).by_name.get(inquiry.gateway)
    if gateway is None:
        return replace(inquiry, capabilities=CAPABILITIES)
    return replace(inquiry, identity=gateway.identity, capabilities=gateway.passing_on)


def _show(
    evaluation: Evaluation,
    bundle: Bundle,
    engine: Engine,
    key: bytes | None,
    at_us: int,
    keys: KeysOnce | None,
    *,
    explain: bool,
    as_json: bool,
) -> None:
    decision, principal = evaluation.decision, evaluation.evidence.principal
    verdict = verdict_of(decision)
    kind = principal.name if principal is not None else None
    privacy = Privacy.of(engine.program, kind, decision.endpoint, key)
    if as_json:
        plain: dict[str, Json] = {"service": decision.service, "policy": decision.policy}
        trace = (
            whole_trace(evaluation, verdict, engine, privacy, at_us)
            if explain
            else plain | trace_json(verdict, privacy.names, values=False)
        )
        if keys is not None and isinstance(trace, dict):
            trace |= {"keys": keys_json(keys)}
        click.echo(json.dumps(trace, indent=2))
        return
    colour = {"allow": "green", "deny": "red", "step_up": "yellow"}[decision.outcome]
    asked = "".join(f" {challenge.name}" for challenge in decision.challenges)
    outcome = click.style(decision.outcome + asked, fg=colour)
    click.echo(f"{outcome} by {', '.join(decision.by)} ({decision.reason})")
    click.echo(sentence(verdict, Background.of(engine.program, kind, verdict)))
    if decision.reason == "request.missing" and evaluation.evidence.inquiry is not None:
        click.echo(what_is_missing(evaluation.evidence.inquiry))
    for words in duty_texts(decision.duties, privacy.header):
        click.echo(f"must {words}")
    for words in duty_texts(decision.advice, privacy.header):
        click.echo(f"should {words}")
    if keys is not None:
        click.echo(f"keys of {printable(keys.issuer)}: {keys_text(keys)}")
    if explain:
        mentioned = settings_mentioned(bundle.files, bundle.settings)
        told = Told.of(engine.program, kind, decision.endpoint, mentioned)
        for rule in decision.rules:
            click.echo(rule_text(rule, values=True, private=privacy.names, key=key, told=told))

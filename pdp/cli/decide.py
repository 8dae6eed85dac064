"""`pdp decide`: decide one call without a server, and say why.

Decision: 2026-11-21. A request that names a gateway of the configuration is decided as that gateway asks, by its
identity and its capabilities; any other is asked by a gateway that can do everything, so that what the policy says is
what is shown.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import click
import yaml

from pdp.canonical import Refusal, canonical_host
from pdp.cli.options import (
    config_option,
    configured,
    json_option,
    path_type,
    policies_option,
    policy_folder,
    settings_option,
    state_option,
)
from pdp.cli.traces import Privacy, fingerprint_key, rule_text, whole_trace
from pdp.config import Config
from pdp.errors import ConfigError
from pdp.evaluate import Evaluation, Evaluator, verdict_of
from pdp.identity.bearer import Identity
from pdp.identity.issuers import read_issuers
from pdp.identity.jwt import Verifier
from pdp.model import Inquiry, Json, Principal
from pdp.request_form import WrittenRequest, instant_us, read_request
from pdp.runtime.acceptance import Conditions
from pdp.runtime.built import read_built
from pdp.runtime.bundle import read_folder
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine, load_compiled
from pdp.state import State
from policy_lang.meaning.explain import duty_texts, private_reads, sentence, trace_json
from policy_lang.verdict import CAPABILITIES


@click.command()
@click.argument("method", required=False)
@click.argument("url", required=False)
@click.option("--service", help="The service asked about; without it the host decides.")
@click.option("--token", type=path_type, help="A file with the caller's token; - reads standard input.")
@click.option("--as", "kind", help="Decide as a token of this kind, unproved; with --set for its claims.")
@click.option("--set", "claims", multiple=True, metavar="CLAIM=VALUE", help="A claim for --as (JSON or string).")
@click.option("--request", "request_path", type=path_type, help="A file with the whole request, JSON or YAML.")
@click.option("--now", help="The instant to decide at, such as 2026-03-01T12:00:00Z; without it, now.")
@click.option("--explain", is_flag=True, help="Print the trace: each rule, each clause, and what it read.")
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
    request_path: Path | None,
    now: str | None,
    config_path: Path | None,
    policies: Path | None,
    settings: str | None,
    state: Path | None,
    *,
    explain: bool,
    as_json: bool,
) -> None:
    """Decide one call by the policy, without a server.

    METHOD URL is the call, such as GET https://orders.shop.example/accounts/a1.

    A request of --request may name an action and a resource in place of method, path and host, a principal, a peer, a
    gateway and readings of signals. With --explain, a private claim stands as a fingerprint under the state's key.

    No record is taken. Ends 0 for allow, 1 for deny and step-up, 2 for bad input.
    """
    config = configured(config_path)
    engine = _engine(config, policy_folder(config, policies), settings or config.settings)
    if request_path is not None:
        if method is not None or token is not None or kind is not None:
            raise ConfigError("C202", "--request holds the whole request: give no METHOD, --token or --as beside it")
        written = read_request(_load(request_path), str(request_path))
    else:
        if method is None or url is None:
            raise click.UsageError("give METHOD and URL, or --request FILE")
        written = WrittenRequest(_inquiry(engine, method, url, service, token, kind, claims), None)
    at_us = instant_us(now, "--now") if now is not None else written.now_us
    at_us = time.time_ns() // 1_000 if at_us is None else at_us
    identity = Identity(Verifier(() if kind is not None else read_issuers(config.issuers)))
    evaluator = Evaluator(lambda: engine, identity, service_from_host=config.service_from_host)
    evaluation = evaluator.evaluate(_asked_by(config, written.inquiry), at_us)
    key = fingerprint_key(State(state or config.state).keys) if explain else None
    _show(evaluation, engine, key, at_us, explain=explain, as_json=as_json)
    ctx.exit(0 if evaluation.decision.outcome == "allow" else 1)


def _engine(config: Config, place: Path, settings: str | None) -> Engine:
    """The engine of the policy folder, or of the built policy where the configuration names one."""
    conditions = Conditions(config.service_from_host, config.never_observe)
    if config.bundle_digest is not None and place.is_file():
        built = read_built(place, config.bundle_digest)
        return load_compiled(built.bundle, built.compiled, conditions)
    return engine_of(read_folder(place, settings), conditions)


def _asked_by(config: Config, inquiry: Inquiry) -> Inquiry:
    """The same, asked by the gateway that it names."""
    for listener in config.listeners:
        if listener.gateway == inquiry.gateway:
            able = frozenset(each for each in CAPABILITIES if each in listener.capabilities)
            return replace(inquiry, identity=listener.identity, capabilities=able)
    return replace(inquiry, capabilities=CAPABILITIES)


def _load(path: Path) -> Json:
    try:
        text = path.read_text(encoding="utf-8")
        return cast("Json", json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError("C203", f"cannot read the request in {path}: {error}") from error


def _inquiry(
    engine: Engine,
    method: str,
    url: str,
    service: str | None,
    token: Path | None,
    kind: str | None,
    claims: tuple[str, ...],
) -> Inquiry:
    host, target = _split(url)
    if kind is None and claims:
        raise ConfigError("C204", "--set gives a claim to --as KIND: name the kind, or use --token FILE")
    if kind is not None and token is not None:
        raise ConfigError("C204", "give --token or --as, not both")
    headers = () if token is None else (("authorization", f"Bearer {_token(token)}"),)
    principal = None if kind is None else Principal("token", kind, dict(_claim(text) for text in claims))
    return Inquiry(
        service=service if service is not None else _service_of(engine, host),
        method=method,
        path=target,
        host=host,
        headers=headers,
        gateway="cli",
        principal=principal,
    )


def _split(url: str) -> tuple[str, str]:
    """Host and path with query, as a gateway would pass them on: nothing is decoded or repaired."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError("C205", f"`{url}` is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigError("C205", f"`{url}` is no URL: write https://host/path")
    return parts.netloc, url.split("://", 1)[1].removeprefix(parts.netloc) or "/"


def _service_of(engine: Engine, host: str) -> str | None:
    canonical = canonical_host(host)
    candidates = () if isinstance(canonical, Refusal) else engine.hosts.get(canonical, ())
    if len(candidates) > 1:
        raise ConfigError("C206", f"{host} is a host of {', '.join(candidates)}: say which with --service")
    return candidates[0] if candidates else None


def _token(path: Path) -> str:
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            return str(file.read()).strip()
    except (OSError, ValueError) as error:
        raise ConfigError("C207", f"cannot read the token in {path}: {error}") from error


def _claim(text: str) -> tuple[str, Json]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError("C204", f"--set {text}: write CLAIM=VALUE")
    try:
        return name, cast("Json", json.loads(value))
    except (ValueError, RecursionError):
        return name, value


def _show(
    evaluation: Evaluation, engine: Engine, key: bytes | None, at_us: int, *, explain: bool, as_json: bool
) -> None:
    decision, principal = evaluation.decision, evaluation.evidence.principal
    verdict = verdict_of(decision)
    kind = principal.name if principal is not None else None
    privacy = Privacy(private_reads(engine.program, kind, decision.endpoint), key)
    if as_json:
        plain = {"service": decision.service, "policy": decision.policy}
        trace = (
            whole_trace(evaluation, verdict, engine, privacy, at_us)
            if explain
            else plain | trace_json(verdict, privacy.names, values=False)
        )
        click.echo(json.dumps(trace, indent=2))
        return
    colour = {"allow": "green", "deny": "red", "step_up": "yellow"}[decision.outcome]
    asked = "".join(f" {challenge.name}" for challenge in decision.challenges)
    outcome = click.style(decision.outcome + asked, fg=colour)
    click.echo(f"{outcome} by {', '.join(decision.by)} ({decision.reason})")
    click.echo(sentence(verdict))
    for words in duty_texts(decision.duties):
        click.echo(f"must {words}")
    for words in duty_texts(decision.advice):
        click.echo(f"should {words}")
    if explain:
        for rule in decision.rules:
            click.echo(rule_text(rule, values=True, private=privacy.names, key=key))

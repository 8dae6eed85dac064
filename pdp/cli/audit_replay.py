"""`pdp audit replay`: past calls decided again, by the policy of their record or by another.

Exit codes: 0 everything comes out the same, 1 something does not (or evidence is not whole), 2 bad input, 3 our fault.

Decision: 2026-11-22. What no record can tell ends 1 under `--policy`, since it is not known to stay: a new claim makes
much of history undecidable. A single call to no endpoint does so too, for as long as the log holds it: a pipeline that
means to pass over what cannot be told says so with `--undecidable-ok`, and flips and damage still end 1.
Decision: 2026-11-22. A built candidate needs its digest in a configuration, as everywhere: what is compiled in it is
run. `pdp.toml` names the policy in force, so that a candidate is named by its folder, or by a `--config` of its own.
Decision: 2026-11-21. Before a box is opened, an `audit.replay` leaf is durable that states who asks (`user`), the
`mode`, the span (`since`, `until`), the service (`sv`), and of a candidate its digest (`pb`) and where facts come from
(`facts`). No value is shown, but whoever chooses the policy chooses the questions: a candidate that denies one subject
tells by its flips which calls were that subject's. One leaf a run says that it was asked, and what; and `--verify`,
which opens as many boxes, is stated alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from pdp.audit.keys import RecordKeys, load_record_keys
from pdp.audit.notice import write_durably
from pdp.audit.replay_candidate import Candidate, FactsFrom
from pdp.audit.replay_engines import Asked, stored_engines
from pdp.audit.replay_history import replay_history
from pdp.audit.replay_log import LogPlace, Past, Span, decisions
from pdp.audit.replaying import DEFINED_EVERY, verify_decisions
from pdp.audit.selection import Selection
from pdp.cli.audit_log_nothing import nothing_there
from pdp.cli.audit_replay_text import history_json, history_lines, verified_json, verified_lines
from pdp.cli.instants import instant_us
from pdp.cli.log_keys import stands
from pdp.cli.options import (
    config_option,
    configured,
    json_option,
    path_type,
    settings_option,
    shown_path,
    state_option,
)
from pdp.cli.record_bar import RecordBar
from pdp.config import Config
from pdp.errors import PolicyError, StateError
from pdp.model import Json
from pdp.runtime.acceptance import Conditions
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.runtime.sources import source_of
from pdp.state import State

OUR_FAULT = 3

_UNNAMED = frozenset({"P132", "P135"})
"""Refusals of a built file that the configuration does not name by its digest."""


@click.command(short_help="Decide past calls again, by their own policy or by another.")
@click.option("--verify", is_flag=True, help="By the policy of each record: every answer must come out the same.")
@click.option(
    "--policy",
    type=path_type,
    metavar="DIR|BUNDLE",
    help="By this policy: what would come out otherwise. A built file needs its `bundle_digest` in --config.",
)
@settings_option
@click.option(
    "--facts",
    type=click.Choice(["recorded", "current"]),
    default="recorded",
    show_default=True,
    help="With --policy: whether rows of facts that a record lacks are missing, or those of the policy's own files.",
)
@click.option("--since", "since", metavar="TIME", help="From then on: RFC 3339, a day, or how long ago (10m, 2h, 3d).")
@click.option("--until", "until", metavar="TIME", help="Before then.")
@click.option("--service", metavar="NAME", help="Only the calls for this service.")
@click.option(
    "--undecidable-ok",
    is_flag=True,
    help="With --policy: calls that no record can tell about do not end 1 by themselves.",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="With --verify: decide each call by the language's definition too, not some of them.",
)
@config_option
@state_option
@json_option
@click.pass_context
def replay(
    ctx: click.Context,
    policy: Path | None,
    settings: str | None,
    facts: FactsFrom,
    since: str | None,
    until: str | None,
    service: str | None,
    config_path: Path | None,
    state: Path | None,
    *,
    verify: bool,
    undecidable_ok: bool,
    thorough: bool,
    as_json: bool,
) -> None:
    """Decide the calls of the log again.

    With --verify, each by the policy that decided it: decision, primary rule and obligations must come out the same.
    With --policy, each by a candidate: what stays the same, what flips, and what cannot be said for want of inputs that
    no record holds. No value is shown; that it was asked is itself recorded first.

    Needs the keys in the state folder. Ends 0, or 1 where something comes out otherwise, a record is damaged, or (but
    for --undecidable-ok) what a candidate would answer cannot be told for want of inputs.
    """
    if verify == (policy is not None):
        raise click.UsageError("give either --verify or --policy DIR")
    if (thorough and not verify) or (verify and (settings is not None or facts != "recorded" or undecidable_ok)):
        raise click.UsageError(
            "--thorough goes with --verify, --settings and --facts go with --policy, and so does --undecidable-ok"
        )
    config = configured(config_path)
    place = State(state or config.state)
    since_us, until_us = _instants(since, until)
    span = Span(since_us, until_us, service)
    if not place.log.is_dir():
        raise StateError("S120", f"there is no log in {place.root}: name the state folder with --state")
    keys = load_record_keys(place.keys)
    engine = None if policy is None else _candidate(config, policy, settings)
    write_durably(place.root, keys, "audit.replay", _stated(span, engine, facts))
    bar = RecordBar(time.monotonic)
    form = _Form(as_json, undecidable_ok)
    try:
        past = decisions(LogPlace(place.log, place.wal), span, bar.show)
        told = _run(place, keys, past, engine, facts, 1 if thorough else DEFINED_EVERY, form)
        asked = Selection(since_us, until_us, frozenset() if service is None else frozenset({service}))
        note = "" if told.decisions else nothing_there(place, asked)
    except OSError as error:
        click.echo(f"error: the log cannot be read: {error}", err=True)
        ctx.exit(OUR_FAULT)
    finally:
        bar.close()
    click.echo(told.text)
    if note:
        click.echo(note, err=True)
    ctx.exit(0 if told.is_calm else 1)


class _Form(Struct, frozen=True):
    """How it is told, and whether what cannot be told counts."""

    as_json: bool
    undecidable_ok: bool


class _Told(Struct, frozen=True):
    """What came of it, as it is printed; `is_calm`: nothing came out otherwise, and all evidence is whole."""

    text: str
    is_calm: bool
    decisions: int


def _run(
    place: State,
    keys: RecordKeys,
    past: Iterator[Past],
    engine: Engine | None,
    facts: FactsFrom,
    every: int,
    form: _Form,
) -> _Told:
    """Decide again, and say what came of it."""
    engines = stored_engines(place.bundles)
    if engine is None:
        verified = verify_decisions(past, keys, engines, every)
        shown = verified_json(verified) if form.as_json else verified_lines(verified)
        return _Told(_text(shown), verified.is_sound, verified.decisions)
    history = replay_history(past, keys, engines, Candidate(Asked(engine), facts))
    is_calm = not history.flips and not history.broken if form.undecidable_ok else history.is_calm
    if form.as_json:
        return _Told(_text(history_json(history, engine.digest)), is_calm, history.decisions)
    lines = history_lines(history, engine.digest, undecidable_ok=form.undecidable_ok)
    return _Told(_text(lines), is_calm, history.decisions)


def _text(told: dict[str, Json] | list[str]) -> str:
    return json.dumps(told, indent=2, sort_keys=True) if isinstance(told, dict) else "\n".join(told)


def _instants(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    now_us = time.time_ns() // 1_000
    since_us = None if since is None else instant_us(since, "--since", now_us)
    until_us = None if until is None else instant_us(until, "--until", now_us)
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise click.UsageError("--until must lie after --since")
    return since_us, until_us


def _stated(span: Span, engine: Engine | None, facts: FactsFrom) -> dict[str, Json]:
    """The clear fields of the leaf that says what is asked."""
    asked: dict[str, Json] = {
        "t": time.time_ns() // 1_000,
        "user": os.geteuid(),
        "mode": "verify" if engine is None else "policy",
        "since": span.since_us,
        "until": span.until_us,
        "sv": span.service,
    }
    if engine is not None:
        asked |= {"pb": engine.digest, "facts": facts}
    return {name: value for name, value in asked.items() if value is not None}


def _candidate(config: Config, place: Path, settings: str | None) -> Engine:
    """The engine of the folder, or of the built policy where the configuration's digest names it."""
    if not stands(place.exists):
        raise PolicyError("P101", f"no policy folder at {shown_path(place)}: name one with --policy")
    digest = None if place.is_dir() else config.bundle_digest
    conditions = Conditions(config.service_from_host, config.never_observe)
    source = source_of(place, digest, settings or config.settings, conditions)
    try:
        bundle = source.read()
    except PolicyError as error:
        if error.code not in _UNNAMED:
            raise
        why = "is a file, and no `bundle_digest` names it"
        remedy = "name the folder it was built from, or with --config a pdp.toml whose `bundle_digest` is its own"
        raise PolicyError(error.code, f"{shown_path(place)} {why}: {remedy}") from error
    if source.pinned:
        return asyncio.run(source.engine(bundle))[0]
    return engine_of(bundle, conditions, planned=True)

"""`pdp audit show`: one record, and why it was decided so.

Decision: 2026-11-22. Of a log elsewhere (`--log`) the clear part is shown alone: which keys and which policies are its
own, nothing beside it could say. With the keys of a state, `--state` names that.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TypeGuard

import click
from msgspec import Struct
from msgspec.structs import replace

from pdp.audit import ids
from pdp.audit.box import BoxError, open_box, salt_of
from pdp.audit.clauses import rule_that_held, trace_that_held
from pdp.audit.corrections import correction_of
from pdp.audit.keys import RecordKeys, load_record_keys
from pdp.audit.leaf import Leaf, parse
from pdp.audit.notice import write_durably
from pdp.audit.reader import find, start_leaf
from pdp.audit.replay import ReplayError, Undecidable, agrees, replay, undecided
from pdp.cli.audit_log_options import elsewhere, own
from pdp.cli.audit_show_record import escaped, record_lines
from pdp.cli.options import config_option, configured, json_option, path_type, shown_path, state_option
from pdp.cli.traces import HOW, NOTHING_TOLD, Told, rule_text
from pdp.errors import PdpError, PolicyError, StateError
from pdp.model import Json
from pdp.runtime.compiled import engine_of
from pdp.runtime.store import BundleStore
from pdp.state import State
from policy_lang.compile import settings_mentioned
from policy_lang.diagnostics import printable
from policy_lang.meaning.background import NO_BACKGROUND, Background
from policy_lang.meaning.explain import sentence, trace_json
from policy_lang.verdict import Verdict


class Why(Struct, frozen=True):
    """What re-evaluation came to: the verdict, where the record decides, with what its words need; `note` says what
    could be done.

    `agrees` is None where nothing could be compared. `held` are the lines of the rule that decided, from the policy
    alone, where there is no verdict and the record says of its clauses that all were true.
    """

    verdict: Verdict | None
    note: str
    agrees: bool | None = None
    opened: bytes | None = None
    told: Told = NOTHING_TOLD
    background: Background = NO_BACKGROUND
    held: tuple[str, ...] = ()


@click.command(short_help="Show one record, and why it was decided so.")
@click.argument("record_id", metavar="ID")
@click.option("--why", is_flag=True, help="Decide it again by the policy of that record, and say why.")
@click.option("--values", is_flag=True, help="With --why: show the values too. This is itself recorded first.")
@config_option
@state_option
@click.option("--log", "log_dir", type=path_type, help="A log or a mirror elsewhere: its clear part, without any key.")
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    record_id: str,
    config_path: Path | None,
    state: Path | None,
    log_dir: Path | None,
    *,
    why: bool,
    values: bool,
    as_json: bool,
) -> None:
    """Show the record of the decision ID.

    With --why and the key in the state folder, the decision is made again by the policy that made it, and must come out
    the same. Ends 0, or 1 where there is no such record or it does not come out the same. Refusals that came while the
    log could not keep up share a record, which says how many they are. Nothing is proved: `pdp audit verify` does that.
    """
    if values and not why:
        raise click.UsageError("--values goes with --why")
    if log_dir is not None and (values or state is not None):
        raise click.UsageError(
            "--log shows the clear part of a log elsewhere: it goes with neither --values nor --state"
        )
    if not ids.is_shaped(record_id):
        raise StateError("S120", f"`{record_id}` is no decision id: it has 32 hex digits")
    ours = None if log_dir is not None else State(state or configured(config_path).state)
    place = elsewhere(log_dir or Path()) if ours is None else own(ours)
    found = find(place.log, place.wal, record_id)
    leaf = None if found is None else parse(found.leaf)
    if leaf is None or not _is_ours(ours, leaf, record_id):
        click.echo(
            printable(f"no record {record_id} in {shown_path(place.log if ours is None else ours.root)}"), err=True
        )
        ctx.exit(1)
    reason = None
    if why:
        reason = ELSEWHERE if ours is None else _with_held(ours, leaf, _why(ours, leaf, values=values))
    corrected = correction_of(place.log, place.wal, record_id)
    if as_json:
        stated = _json(leaf, reason, values=values)
        by = None if corrected is None else corrected.id
        click.echo(json.dumps(stated | {"corrected_by": by}, indent=2, sort_keys=True))
    else:
        _print(leaf, reason, values=values)
        if leaf.id != record_id:
            click.echo(f"{record_id} is one of the {escaped(leaf.clear.get('ct'))} refusals that share this record")
        if corrected is not None:
            said = printable(f"a refusal by {corrected.by} ({corrected.reason}), record {corrected.id}")
            click.echo(f"the answer that left was another: {said}")
    ctx.exit(1 if reason is not None and reason.agrees is False else 0)


def _is_ours(place: State | None, leaf: Leaf, record_id: str) -> bool:
    """Whether an id for which there is a record was given by this log. Of one that shares a record only the number was
    found; the rest of it is told by the key of ids, where that is at hand.
    """
    if leaf.id == record_id or place is None:
        return True
    try:
        return ids.IdKey(load_record_keys(place.keys).id_key).check(record_id)
    except PdpError:
        return True


def _why(place: State, leaf: Leaf, *, values: bool) -> Why:
    if leaf.kind != "decision":
        return Why(None, f"a record of kind {leaf.kind} is no decision")
    if leaf.sealed is None:
        return Why(None, f"{_not_kept(leaf)}: it cannot be decided again")
    try:
        keys = load_record_keys(place.keys)
    except PdpError as error:
        return Why(None, f"the values are sealed, and the key is not at hand: {error.detail}")
    try:
        opened = _opened(place, keys, leaf)
    except BoxError as error:
        return Why(None, f"the sealed inputs do not belong to this record: {error}", agrees=False)
    if values:
        clear: dict[str, Json] = {"t": time.time_ns() // 1_000, "of": leaf.id, "user": os.geteuid()}
        write_durably(place.root, keys, "audit.reidentify", clear)
    digest = leaf.clear.get("pb")
    if not isinstance(digest, str) or not digest:
        asked = "was in force" if leaf.clear.get("rc") == "internal.no_policy" else "was asked"
        return Why(None, f"no policy {asked}: nothing can be decided again", opened=opened)
    try:
        bundle = BundleStore(place.bundles).load(digest)
        engine = engine_of(bundle)
        verdict = replay(leaf, opened, engine)
        same = not isinstance(verdict, Undecidable) and not undecided(leaf) and agrees(leaf, opened, verdict)
    except ReplayError as error:
        return Why(None, str(error), agrees=False)
    if isinstance(verdict, Undecidable):
        return Why(None, f"not decided again: {verdict.why}", opened=opened)
    kind = leaf.clear.get("pk")
    kind = kind if isinstance(kind, str) else None
    told = Told.of(engine.program, kind, verdict.endpoint, settings_mentioned(bundle.files, bundle.settings))
    background = Background.of(engine.program, kind, verdict)
    if undecided(leaf):
        note = "it was refused since the evaluators differed; this is what the definition says"
        return Why(verdict, note, opened=opened, told=told, background=background)
    note = "decided again by the policy of that record: the same" if same else NOT_THE_SAME
    return Why(verdict, note, agrees=same, opened=opened, told=told, background=background)


def _with_held(place: State, leaf: Leaf, reason: Why) -> Why:
    """The same with the clauses of the rule that decided, where they are told by its policy alone."""
    rule = rule_that_held(leaf)
    if rule is None or reason.verdict is not None:
        return reason
    try:
        bundle = BundleStore(place.bundles).load(escaped(leaf.clear.get("pb")))
        trace = trace_that_held(leaf, engine_of(bundle).program)
    except PolicyError as error:
        lines = [
            f"every clause of {escaped(rule)} was true; which these are is not known here: {escaped(error.detail)}"
        ]
    else:
        unknown = f"every clause of {escaped(rule)} was true, it says; its policy has no such rule there"
        lines = [unknown] if trace is None else [rule_text(trace, values=False, private=NOTHING_PRIVATE)]
    return replace(reason, held=tuple(lines))


def _not_kept(leaf: Leaf) -> str:
    if leaf.clear.get("ll") == "minimal":
        return "its inputs were not kept (log minimal)"
    return "its inputs are not in the record, which could not hold them"


def _opened(place: State, keys: RecordKeys, leaf: Leaf) -> bytes:
    identifier = ids.parse(leaf.id)
    start = start_leaf(place.log, place.wal, identifier.boot, identifier.writer)
    if start is None:
        raise BoxError("the log.start record of its writer is not in the log")
    return open_box(keys.box_key, salt_of(parse(start.leaf)), keys.origin, leaf)


NOT_THE_SAME = "decided again: NOT the same; run `pdp audit verify`, which says whether the record was changed"
ELSEWHERE = Why(None, "the values are sealed, and neither key nor policy stands beside a log elsewhere")

NOTHING_PRIVATE: frozenset[str] = frozenset()
"""With --values everything is shown, private claims too: that it was is on record before."""


def _print(leaf: Leaf, reason: Why | None, *, values: bool) -> None:
    for line in record_lines(leaf):
        click.echo(line)
    if reason is None:
        return
    click.echo("")
    if reason.verdict is None:
        for line in (*_recorded_rules(leaf), *reason.held):
            click.echo(line)
        click.echo(reason.note)
        return
    click.echo(sentence(reason.verdict, reason.background))
    for trace in reason.verdict.rules:
        click.echo(rule_text(trace, values=values, private=NOTHING_PRIVATE, told=reason.told))
    click.echo(reason.note)
    if values and reason.opened is not None:
        click.echo(json.dumps(json.loads(reason.opened), indent=2, sort_keys=True))
    elif not values:
        click.echo("values are sealed; --values shows them, and that is recorded")


def _recorded_rules(leaf: Leaf) -> list[str]:
    shown = []
    recorded = leaf.clear.get("rl")
    for rule in recorded if isinstance(recorded, list) else []:
        match rule:
            case [str(name), *clauses]:
                shown.append(f"- {escaped(name)}")
                shown += [_clause(each) for each in clauses if _is_clause(each)]
    return shown


def _clause(clause: list[Json]) -> str:
    label, letter, *failed = clause
    return f"    {_how(letter):<8} {escaped(label)}  {escaped(failed[0]) if failed else ''}".rstrip()


def _how(letter: Json) -> str:
    """How a clause came out, in the words of a trace, by the letter that a record has for it."""
    return next((word for truth, word in HOW.items() if truth.value[0].upper() == letter), escaped(letter))


def _is_clause(clause: Json) -> TypeGuard[list[Json]]:
    return isinstance(clause, list) and len(clause) in {2, 3}


def _json(leaf: Leaf, reason: Why | None, *, values: bool) -> dict[str, Json]:
    shown: dict[str, Json] = {"id": leaf.id, "kind": leaf.kind, **leaf.clear}
    if reason is not None:
        shown["why"] = reason.note
        shown["agrees"] = reason.agrees
        if reason.held:
            shown["held"] = [line for lines in reason.held for line in lines.splitlines()]
        if reason.verdict is not None:
            shown["trace"] = trace_json(reason.verdict, NOTHING_PRIVATE, values=values)
        if values and reason.opened is not None:
            shown["inputs"] = json.loads(reason.opened)
    return shown

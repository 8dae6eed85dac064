"""Which records of which logs `pdp audit log` lists: its options come in, a `Selection` and the places of logs go out.

Errors: UsageError for a time that is none, for a log that is named twice; StateError S120 for a place without a log.
Design: contracts.md "Command line" (`log`).

Decision: 2026-11-21. The state's own log is listed where it is asked for, or where no other log is named: `--log` alone
    is for another machine, which may have no state of its own.
Decision: 2026-11-21. A log twice (by the name it gives itself) is refused: its records would come and count twice.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from msgspec import Struct

from pdp.audit.archive import Archived
from pdp.audit.disk import Folder
from pdp.audit.following import Following
from pdp.audit.rows import Note
from pdp.audit.selection import Selection
from pdp.audit.tiles import CHECKPOINT
from pdp.cli.instants import instant_us
from pdp.cli.options import config_option, configured, path_type, shown_path, state_option
from pdp.errors import StateError
from pdp.state import State


class Place(Struct, frozen=True):
    """Where a log stands, and its write-ahead logs; None beside a copy or a mirror, which is its tree."""

    log: Path
    wal: Path | None


def _words(name: str, text: str, choices: Sequence[str] | None = None) -> Callable[..., Callable[..., None]]:
    kind = None if choices is None else click.Choice(choices)
    return click.option(f"--{name}", f"{name}s", multiple=True, type=kind, help=text)


_SELECTING = (
    click.option("--since", metavar="TIME", help="From then on: RFC 3339, a day, or how long ago (90s, 10m, 2h, 3d)."),
    click.option("--until", metavar="TIME", help="Before then."),
    _words("service", "Calls of this service. Like the filters below it may be repeated: any of its words will do."),
    _words("endpoint", "Calls of this endpoint, or of this shape of an undeclared path."),
    _words("rule", "Calls that this rule decided (MODULE.RULE), or this word: default, token, route …"),
    _words("decision", "Calls that were answered so.", ("allow", "deny", "step_up")),
    _words("gateway", "Calls that this gateway asked about."),
    _words("reason", "Calls answered for this reason; `path` takes every `path.…`."),
    _words("kind", "Records of this kind, such as decision or admin; `log` takes every `log.…`."),
)

_PLACES = (
    config_option,
    state_option,
    click.option(
        "--log", "log_dirs", type=path_type, multiple=True, help="A log or a mirror elsewhere; may be repeated."
    ),
)


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters, and call it with a `selection` in their place."""

    @functools.wraps(command)
    def called(
        *arguments: object,
        since: str | None,
        until: str | None,
        services: tuple[str, ...],
        endpoints: tuple[str, ...],
        rules: tuple[str, ...],
        decisions: tuple[str, ...],
        gateways: tuple[str, ...],
        reasons: tuple[str, ...],
        kinds: tuple[str, ...],
        **others: object,
    ) -> None:
        now_us = time.time_ns() // 1_000
        since_us = None if since is None else instant_us(since, "--since", now_us)
        until_us = None if until is None else instant_us(until, "--until", now_us)
        if since_us is not None and until_us is not None and until_us <= since_us:
            raise click.UsageError("--until is not after --since: no record is of that time")
        selection = Selection(
            since_us,
            until_us,
            frozenset(services),
            frozenset(endpoints),
            frozenset(rules),
            frozenset(decisions),
            frozenset(gateways),
            reasons,
            kinds,
        )
        command(*arguments, selection=selection, **others)

    return _with(_SELECTING, called)


def of_logs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which logs, and call it with `places`."""

    @functools.wraps(command)
    def called(
        *arguments: object, config_path: Path | None, state: Path | None, log_dirs: tuple[Path, ...], **others: object
    ) -> None:
        places = [elsewhere(folder) for folder in log_dirs]
        if state is not None or not places:
            places.insert(0, own(State(state or configured(config_path).state)))
        command(*arguments, places=places, **others)

    return _with(_PLACES, called)


def opened(places: Sequence[Place], note: Note) -> list[Following]:
    """The logs at these places. Errors: those of `Following`; UsageError for one that is there twice."""
    logs: list[Following] = []
    for place in places:
        wal = None if place.wal is None else Folder(place.wal)
        log = Following(Archived(Folder(place.log)), wal, note)
        if log.origin and any(log.origin == each.origin for each in logs):
            raise click.UsageError(f"{shown_path(place.log)} is {log.origin} again: name each log once")
        logs.append(log)
    return logs


def _with(options: Sequence[Callable[..., Callable[..., None]]], command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def own(state: State) -> Place:
    """The log of a state. Errors: StateError S120 where it has none."""
    if not state.log.is_dir():
        raise StateError("S120", f"there is no log in {state.root}: name the state folder with --state")
    return Place(state.log, state.wal)


def elsewhere(folder: Path) -> Place:
    """A copy or a mirror that stands by itself. Errors: StateError S120 for a folder without a log."""
    if not (folder / CHECKPOINT).exists():
        inner = "the `log` folder in it" if (folder / "log" / CHECKPOINT).exists() else "the folder with a `checkpoint`"
        raise StateError("S120", f"there is no log in {folder}: name {inner} with --log")
    return Place(folder, None)

"""The model and the policy that the verbs of `pdp casbin` take, and how they are read.

In go MODEL, a file, and POLICY, a file or a `casbin_rule` table of a database; out comes `Taken`: the definitions, the
rows, the table where there is one, and every diagnostic.
INVARIANT: a table is there exactly where no diagnostic is an error.
Source: language.md 6.4.

Decision (2026-11-21): rows of a database stand in messages by their number in the order of `id`, after the place, as
lines of a file do.
Decision (2026-11-21): which of several definitions are combined is said by their names, `--use r2 --use p2`; those that
are not named are the first ones. What Casbin calls an enforce context is chosen there by a suffix, for all four.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from msgspec import Struct

from pdp.casbin_rule import Record, RuleTable, read_rule_table, rule_table
from pdp.cli.check_progress import working
from pdp.cli.options import path_type, shown_path
from pdp.errors import PdpError
from policy_lang.casbin.definitions import MOST_CHARACTERS, Model, Sections, read_model
from policy_lang.casbin.rows import MOST_BYTES, Options, PolicyRows, read_rows, rows_of
from policy_lang.casbin.tables import table as table_of
from policy_lang.diagnostics import Diagnostic, nearest, ordered, printable, render
from policy_lang.ir.tables import ARITY, FunctionName, Mode, Table
from policy_lang.source import Source

LONGEST_CHARACTER = 4
"""Bytes of a code point in UTF-8."""


_DEFINITION = re.compile(r"^\s*\[\s*(request_definition|policy_definition|matchers)\s*\]", re.MULTILINE | re.IGNORECASE)
"""What stands in every model and in no policy."""


class CasbinInputError(PdpError):
    """A model, a policy or requests that cannot be read: the operator's to mend."""


class Wishes(Struct, frozen=True):
    """What the options of a verb say: `use` are names of definitions."""

    mode: Mode
    matching: Mapping[str, FunctionName]
    domain_matching: Mapping[str, FunctionName]
    zone: str | None
    use: tuple[str, ...] = ()


class Taken(Struct, frozen=True):
    """A model and a policy, read. `policy` is its text, or its records where it came from a database; `place` names it.
    `table` is None where it is refused.
    """

    source: Source
    policy: str | Sequence[Record]
    place: str
    model: Model
    rows: PolicyRows
    sections: Sections
    options: Options
    table: Table | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def sources(self) -> Mapping[str, Source]:
        """The texts that diagnostics show."""
        return {self.source.name: self.source, self.rows.source.name: self.rows.source}


# ---------------------------------------------------------------- options


def _function(text: str) -> FunctionName | None:
    return next((name for name in ARITY if name == text), None)


def _matching(_: click.Context, option: click.Parameter, written: tuple[str, ...]) -> Mapping[str, FunctionName]:
    """`g=keyMatch2` for each, as a mapping."""
    found: dict[str, FunctionName] = {}
    for each in written:
        graph, sign, named = each.partition("=")
        function = _function(named.strip())
        if not (sign and graph.strip()) or graph.strip() in found:
            raise click.BadParameter(f"`{each}`: write each role definition once, as g=keyMatch2", param=option)
        if function is None:
            hint = nearest(named.strip(), ARITY) or f"there are {', '.join(ARITY)}"
            raise click.BadParameter(f"no function is called `{named.strip()}`; {hint}", param=option)
        found[graph.strip()] = function
    return found


_MATCHING = (
    click.option(
        "--match",
        "matching",
        multiple=True,
        metavar="G=FUNCTION",
        callback=_matching,
        help="The function by which names of a role definition are compared, such as g=keyMatch2; may be repeated.",
    ),
    click.option(
        "--match-domain",
        "domain_matching",
        multiple=True,
        metavar="G=FUNCTION",
        callback=_matching,
        help="The same for its domains.",
    ),
    click.option("--zone", metavar="NAME", help="The time zone of timeMatch, such as Europe/Berlin."),
)


def completed_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A file, for a shell that completes what may be an address too."""
    return [CompletionItem(incomplete, type="file")]


_SHARED = (
    click.argument("model", type=path_type),
    click.argument("policy", shell_complete=completed_files),
    click.option(
        "--mode",
        type=click.Choice(["strict", "compat"]),
        default="strict",
        show_default=True,
        help="strict refuses what fails open in Casbin; compat answers as Casbin does, and warns.",
    ),
    *_MATCHING,
    click.option(
        "--use", multiple=True, metavar="NAME", help="Take this definition, such as p2, in place of the first; repeat."
    ),
)


def matching_options(command: Callable[..., None]) -> Callable[..., None]:
    """What a program sets beside the two files: `--match`, `--match-domain`, `--zone`."""
    for option in reversed(_MATCHING):
        command = option(command)
    return command


def casbin_options(command: Callable[..., None]) -> Callable[..., None]:
    """What all verbs take: MODEL, POLICY, and how they are read, which the command gets as its `wishes`."""

    @functools.wraps(command)
    def wishing(
        *arguments: object,
        mode: Mode,
        matching: Mapping[str, FunctionName],
        domain_matching: Mapping[str, FunctionName],
        zone: str | None,
        use: tuple[str, ...],
        **others: object,
    ) -> None:
        command(*arguments, wishes=Wishes(mode, matching, domain_matching, zone, use), **others)

    taking: Callable[..., None] = wishing
    for option in reversed(_SHARED):
        taking = option(taking)
    return taking


# ---------------------------------------------------------------- reading


def taken(model: Path, policy: str, wishes: Wishes) -> Taken:
    """Read a model and a policy.

    Errors: CasbinInputError I411 a file that cannot be read or is not UTF-8, I412 a definition that there is not;
        RuleTableError; UsageError where the two are swapped. What is wrong with what they say is among the diagnostics.
    """
    place = rule_table(policy)
    with working(f"reading {shown_path(Path(policy)) if place is None else place.shown}"):
        return _taken(model, policy, place, wishes)


def _taken(model: Path, policy: str, place: RuleTable | None, wishes: Wishes) -> Taken:
    source = Source(shown_path(model), _text(model, MOST_CHARACTERS * LONGEST_CHARACTER))
    options = Options(wishes.mode, wishes.matching, wishes.domain_matching, wishes.zone)
    read = read_model(source, mode=wishes.mode)
    whole: str | Sequence[Record]
    if place is None:
        whole = _text(Path(policy), MOST_BYTES)
        name = shown_path(Path(policy))
        if _DEFINITION.search(whole) and not _DEFINITION.search(source.text):
            why = f"{name} holds the definitions of a model, and {source.name} holds none"
            raise click.UsageError(f"{why}: MODEL comes first, then POLICY")
        rows = read_rows(Source(name, whole), read, options)
    else:
        whole = read_rule_table(place)
        name = place.shown
        rows = rows_of(whole, read, options, name=name)
    sections = _sections(read, wishes.use)
    table, diagnostics = table_of(read, rows, sections, options)
    return Taken(source, whole, name, read, rows, sections, options, table, ordered(diagnostics))


def program_of(found: Taken, *, compat_tried: bool = False) -> Table:
    """The table of what was read; how many warnings there are stands on standard error. `compat_tried`: compat refuses
    it too.

    Errors: CasbinInputError I414, after every diagnostic.
    """
    if found.table is None:
        click.echo(render(found.diagnostics, found.sources) + "\n", err=True)
        untried = found.options.mode == "strict" and not compat_tried
        remedy = "; --mode compat takes what Casbin takes" if untried else ", nor in compat" if compat_tried else ""
        raise CasbinInputError("I414", f"{found.source.name}, {printable(found.place)}: they do not compile{remedy}")
    if found.diagnostics:
        count = len(found.diagnostics)
        said = f"{count} warning{'' if count == 1 else 's'}"
        click.echo(f"{found.source.name}, {printable(found.place)}: {said}; `pdp casbin check` shows them", err=True)
    return found.table


def _text(path: Path, most: int) -> str:
    """The text of a file; of a larger one so much that its reader sees that it is."""
    try:
        with path.open("rb") as file:
            data = file.read(most + LONGEST_CHARACTER)
    except OSError as error:
        raise CasbinInputError("I411", f"cannot read {path}: {error.strerror or error}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) > most and error.start >= most:
            return data[: error.start].decode("utf-8")
        line = data.count(b"\n", 0, error.start) + 1
        raise CasbinInputError("I411", f"{path}:{line} is not UTF-8: save the file as UTF-8") from None


def _sections(model: Model, use: tuple[str, ...]) -> Sections:
    """The definitions that are combined. A model that is refused may lack the one named: then its diagnostics speak."""
    found: dict[str, str] = {"r": "r", "p": "p", "e": "e", "m": "m"}
    known: Mapping[str, Mapping[str, object]] = {
        "r": model.requests,
        "p": model.policies,
        "e": model.effects,
        "m": model.matchers,
    }
    every = [name for names in known.values() for name in names]
    for name in use:
        letter = name[:1]
        if every and name not in known.get(letter, {}):
            hint = nearest(name, every) or f"there are {', '.join(every)}"
            raise CasbinInputError("I412", f"--use: the model has no `{name}`; {hint}")
        if letter in found:
            found[letter] = name
    return Sections(found["r"], found["p"], found["e"], found["m"])

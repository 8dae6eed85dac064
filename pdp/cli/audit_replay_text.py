"""What came of deciding the past again, as lines for a person and as JSON for a program.

`Verified` or `History` comes in, lines or a mapping go out. Names of rules and endpoints are text of whoever wrote the
policy or the record: on a line, what a terminal would obey or not show stands as its number.

    verify   result decisions agreed defined differed differing undecidable broken
    policy   candidate decisions same flipped flips undecidable assumed broken

An element of `differing` has id, at, policy, recorded and now; one of `flips` flip, by, endpoint, and like those of
`undecidable` (why, inputs, endpoint) and `broken` (why) a count, the first and the last instant, and examples (ids).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pdp.audit.replay_groups import Group
from pdp.audit.replay_history import INPUTS, NOWHERE, History
from pdp.audit.replaying import MOST_DIFFERING, Verified
from pdp.cli.instants import instant_text
from pdp.model import Json
from policy_lang.diagnostics import printable

NONE_THERE = "no decision lies in this span"

_HEADS = ("COUNT", "FLIP", "DECIDED NOW BY", "ENDPOINT", "FIRST", "LAST", "EXAMPLES")


def verified_lines(verified: Verified) -> list[str]:
    """What `--verify` came to."""
    undecidable, broken = _count(verified.undecidable), _count(verified.broken)
    lines = [
        f"decisions    {verified.decisions}",
        f"agreed       {verified.agreed}, {verified.defined} asked of the definition too",
        f"undecidable  {undecidable}",
        *_reasons(verified.undecidable),
        f"differed     {verified.differed}",
    ]
    for each in verified.differing:
        said = f"recorded {each.recorded}, now {each.now}"
        lines.append(
            f"  {each.id}  {instant_text(each.at_us)}  policy {printable(each.policy[:12])}  {printable(said)}"
        )
    if verified.differed > len(verified.differing):
        lines.append(f"  and {verified.differed - len(verified.differing)} more: {MOST_DIFFERING} are shown")
    lines += [f"damaged      {broken}", *_reasons(verified.broken)] if broken else []
    return [*lines, _result(verified)]


def _result(verified: Verified) -> str:
    if not verified.decisions:
        return NONE_THERE
    if not verified.is_sound:
        return "NOT every past decision comes out as it was recorded: run `pdp audit verify`"
    return "every past decision that its record decides comes out the same"


def verified_json(verified: Verified) -> dict[str, Json]:
    """The same for a program."""
    differing: list[Json] = [
        {
            "id": each.id,
            "at": instant_text(each.at_us),
            "policy": each.policy,
            "recorded": each.recorded,
            "now": each.now,
        }
        for each in verified.differing
    ]
    return {
        "result": "same" if verified.is_sound else "not the same",
        "decisions": verified.decisions,
        "agreed": verified.agreed,
        "defined": verified.defined,
        "differed": verified.differed,
        "differing": differing,
        "undecidable": [_json(each, ("why",)) for each in verified.undecidable],
        "broken": [_json(each, ("why",)) for each in verified.broken],
    }


def history_lines(history: History, candidate: str, *, undecidable_ok: bool) -> list[str]:
    """What `--policy` came to. `undecidable_ok`: what no record can tell is passed over."""
    lines = [
        f"candidate    {candidate[:12]}",
        f"decisions    {history.decisions}",
        f"same         {history.same}",
        f"flipped      {history.flipped}",
        f"undecidable  {_count(history.undecidable)}",
        *_reasons(history.undecidable),
    ]
    lines += [f"damaged      {_count(history.broken)}", *_reasons(history.broken)] if history.broken else []
    if history.assumed:
        lines.append(f"of {history.assumed} the record does not say what the gateway can do: as Envoy can was assumed")
    if history.flips:
        return [*lines, "", *_table([_HEADS, *map(_row, history.flips)])]
    if not history.decisions:
        return [*lines, NONE_THERE]
    lines.append(_nothing_flips(history))
    if history.undecidable and not history.broken and not undecidable_ok:
        lines.append("it ends 1 only for what cannot be told: with --undecidable-ok that ends 0")
    return lines


def history_json(history: History, candidate: str) -> dict[str, Json]:
    """The same for a program."""
    undecidable: list[Json] = []
    for each in history.undecidable:
        inputs: list[Json] = [*each.words[1].split(INPUTS)] if each.words[1] else []
        undecidable.append(_json(each, ("why", "inputs", "endpoint")) | {"inputs": inputs})
    return {
        "candidate": candidate,
        "decisions": history.decisions,
        "same": history.same,
        "flipped": history.flipped,
        "assumed": history.assumed,
        "flips": [_json(each, ("flip", "by", "endpoint")) for each in history.flips],
        "undecidable": undecidable,
        "broken": [_json(each, ("why",)) for each in history.broken],
    }


def _count(groups: Iterable[Group]) -> int:
    return sum(each.count for each in groups)


def _reasons(groups: Iterable[Group]) -> Iterator[str]:
    for each in groups:
        why, *more = each.words
        told = ": ".join(part for part in (why, more[0] if more else "") if part)
        place = f" at {more[1]}" if len(more) > 1 and more[1] != NOWHERE else ""
        yield f"  {each.count:>9}  {printable(told + place)}  ({', '.join(each.examples)})"


def _row(group: Group) -> tuple[str, ...]:
    flip, by, endpoint = map(printable, group.words)
    first, last = instant_text(group.first_us), instant_text(group.last_us)
    return str(group.count), flip, by, endpoint, first, last, " ".join(group.examples)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns side by side, the first to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for count, *cells in rows:
        laid_out = (cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join((count.rjust(widths[0]), *laid_out)).rstrip()


def _json(group: Group, names: Sequence[str]) -> dict[str, Json]:
    named: dict[str, Json] = dict(zip(names, group.words, strict=True))
    return named | {
        "count": group.count,
        "first": instant_text(group.first_us),
        "last": instant_text(group.last_us),
        "examples": [*group.examples],
    }


def _nothing_flips(history: History) -> str:
    return "nothing flips of what can be told" if history.undecidable else "nothing flips"

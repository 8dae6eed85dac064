"""The items of one `casbin` block, sorted out: which files, which words, which bindings; and the table they make.

A block goes in with the files of the bundle; out come `Items`, or None after every mistake in them was reported, and
from those the model and the table that its policy makes of it, with all that is said of the two.
Source: language.md 6.4; policy_lang/casbin.

Decision (2026-11-21): `as` has no default. Whether the denies of a table deny, or are kept within it, is for whoever
imports it to say.
Decision (2026-11-21): paths go from the folder of the policy file, as contracts.md has it (policy_lang/attached.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar, get_args

from msgspec import Struct

from policy_lang import tree
from policy_lang.attached import beside
from policy_lang.casbin.definitions import Model, Sections, read_model
from policy_lang.casbin.rows import Options, read_rows
from policy_lang.casbin.tables import MATCHING_FUNCTIONS, table
from policy_lang.diagnostics import Diagnostic, Label, has_errors, nearest
from policy_lang.ir.tables import FunctionName, Mode, Table
from policy_lang.mistakes.casbin_models import UnknownFunction
from policy_lang.mistakes.votes import (
    BadFilePath,
    FileNotUtf8,
    ItemTwice,
    NoDatabaseHere,
    NoFunctionHere,
    NoItem,
    NoSuchFile,
    UnknownDefinition,
    UnknownWord,
)
from policy_lang.source import Source

Reach = Literal["full", "grants_only"]

_EXAMPLES: Mapping[str, str] = {
    "model": 'model "legacy/model.conf"',
    "policy": 'policy "legacy/policy.csv"',
    "bind": "bind sub = token.sub, obj = request.path, act = request.method",
    "on": "on wiki",
    "as": "as full",
}
"""What every block has, and an example of it."""

_DATABASE = re.compile(r"(sqlite|postgres(ql)?|mysql)[a-z0-9+]*:", re.IGNORECASE | re.ASCII)
"""How the address of a database begins, which `pdp casbin` reads and no block does."""

_WORDS: Mapping[str, tuple[str, ...]] = {"as": get_args(Reach), "mode": get_args(Mode)}

N = TypeVar("N", bound=tree.Node)


class Items(Struct, frozen=True):
    """What a block says. `reach`: whether the denies of the table deny. `model` and `policy` are texts."""

    model: Source
    policy: Source
    bindings: tuple[tree.Binding, ...]
    on: tree.OnClause
    reach: Reach
    options: Options
    use: tuple[tree.Name, ...]


def items_of(
    block: tree.CasbinDecl, source: Source, files: Mapping[str, bytes], found: list[Diagnostic]
) -> Items | None:
    """The items of a block that stands in `source`; None where one is missing or wrong, which was reported."""
    before = len(found)
    model, policy = (_file(block, what, source, files, found) for what in ("model", "policy"))
    bindings = [binding for item in block.items if isinstance(item, tree.CasbinBind) for binding in item.bindings]
    _report_twice(((binding.parameter, binding.parameter.value) for binding in bindings), found)
    on = _one(block, [item for item in block.items if isinstance(item, tree.OnClause)], "on", found)
    reach = _word(block, "as", found)
    mode: Mode = "compat" if _word(block, "mode", found) == "compat" else "strict"
    matching, domain_matching = (_matching(block, domains=domains, found=found) for domains in (False, True))
    zone = _one(block, [item for item in block.items if isinstance(item, tree.CasbinZone)], "zone", found)
    use = _one(block, [item for item in block.items if isinstance(item, tree.CasbinUse)], "use", found)
    if not bindings:
        found.append(_missing(block, "bind"))
    if model is None or policy is None or on is None or has_errors(found[before:]):
        return None
    return Items(
        model=model,
        policy=policy,
        bindings=tuple(bindings),
        on=on,
        reach="full" if reach == "full" else "grants_only",
        options=Options(mode, matching, domain_matching, None if zone is None else zone.zone.value),
        use=() if use is None else use.names,
    )


class Made(Struct, frozen=True):
    """A table, and the definitions that it was made of."""

    table: Table
    sections: Sections


def table_of(id_: str, items: Items, found: list[Diagnostic]) -> Made | None:
    """The table of a block; None after a mistake.

    Whatever is said of the model and of the policy is appended to `found`.
    """
    model = read_model(items.model, mode=items.options.mode)
    unknown: list[Diagnostic] = []
    sections = _sections(model, items.use, unknown)
    if unknown and not has_errors(model.diagnostics):  # of a model that was read in part nobody knows what it defines
        found += unknown
        return None
    made, said = table(model, read_rows(items.policy, model, items.options), sections, items.options, id_)
    found += (_here(each) if isinstance(each, UnknownFunction) else each for each in said)
    return None if made is None else Made(made, sections)


def _here(found: UnknownFunction) -> NoFunctionHere:
    """The same mistake, in a block."""
    return NoFunctionHere(span=found.span, others=found.others, hint=found.hint, name=found.name)


def _sections(model: Model, use: Sequence[tree.Name], found: list[Diagnostic]) -> Sections:
    """The definitions that are combined: those named, else the first of each."""
    known: Mapping[str, Mapping[str, object]] = {
        "r": model.requests,
        "p": model.policies,
        "e": model.effects,
        "m": model.matchers,
    }
    chosen: dict[str, str] = {}
    _report_twice(((name, name.text[:1]) for name in use), found)
    for name in use:
        letter = name.text[:1]
        if name.text not in known.get(letter, {}):
            every = [each for names in known.values() for each in names]
            hint = nearest(name.text, every)
            listed = ", ".join(f"`{each}`" for each in every)
            found.append(UnknownDefinition(span=name.span, name=name.text, known=listed, hint=hint))
        else:
            chosen[letter] = name.text
    return Sections(**chosen)


# ---------------------------------------------------------------- one item


def _one(block: tree.CasbinDecl, items: Sequence[N], what: str, found: list[Diagnostic]) -> N | None:
    """The item that may stand once; one that has to and does not is reported."""
    _report_twice(((item, what) for item in items), found)
    if not items and what in _EXAMPLES:
        found.append(_missing(block, what))
    return items[0] if items else None


def _missing(block: tree.CasbinDecl, what: str) -> NoItem:
    return NoItem(span=block.name.span, name=block.name.text, item=what, example=_EXAMPLES[what])


def _report_twice(said: Iterable[tuple[tree.Node, str]], found: list[Diagnostic]) -> None:
    """Report whatever is said a second time."""
    first: dict[str, tree.Node] = {}
    for node, what in said:
        if what in first:
            others = (Label(first[what].span, "first here"),)
            found.append(ItemTwice(span=node.span, what=f"`{what}`", others=others))
        first.setdefault(what, node)


def _word(block: tree.CasbinDecl, what: Literal["as", "mode"], found: list[Diagnostic]) -> str | None:
    words = [item for item in block.items if isinstance(item, tree.CasbinWord) and item.what == what]
    item = _one(block, words, what, found)
    if item is None:
        return None
    known = _WORDS[what]
    if item.word.text not in known:
        listed = f"stands {' or '.join(f'`{each}`' for each in known)}"
        hint = nearest(item.word.text, known)
        found.append(UnknownWord(span=item.word.span, item=what, word=item.word.text, known=listed, hint=hint))
    return item.word.text


def _matching(block: tree.CasbinDecl, *, domains: bool, found: list[Diagnostic]) -> Mapping[str, FunctionName]:
    """The functions by which names, or domains, of role definitions are compared."""
    what = "match_domain" if domains else "match"
    items = [item for item in block.items if isinstance(item, tree.CasbinMatch) and item.domains is domains]
    _report_twice(((item, f"{what} {item.graph.text}") for item in items), found)
    matching: dict[str, FunctionName] = {}
    for item in items:
        function = next((each for each in MATCHING_FUNCTIONS if each == item.function.value), None)
        if function is None:
            item_, word = f"{what} {item.graph.text} =", item.function.value
            listed = f"stands one of {', '.join(MATCHING_FUNCTIONS)}"
            hint = nearest(word, MATCHING_FUNCTIONS)
            found.append(UnknownWord(span=item.function.span, item=item_, word=word, known=listed, hint=hint))
        else:
            matching[item.graph.text] = function
    return matching


def _file(
    block: tree.CasbinDecl,
    what: Literal["model", "policy"],
    source: Source,
    files: Mapping[str, bytes],
    found: list[Diagnostic],
) -> Source | None:
    """The text of the file that an item names."""
    named = [item for item in block.items if isinstance(item, tree.CasbinFile) and item.what == what]
    item = _one(block, named, what, found)
    if item is None:
        return None
    span, written = item.path.span, item.path.value
    path = beside(source.name, written)
    if path is None or source.text[span.start : span.end] != f'"{written}"':
        found.append(NoDatabaseHere(span=span) if _DATABASE.match(written) else BadFilePath(span=span, path=written))
        return None
    data = files.get(path)
    if data is None:
        found.append(NoDatabaseHere(span=span) if _DATABASE.match(written) else NoSuchFile(span=span, path=path))
        return None
    try:
        return Source(path, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        found.append(FileNotUtf8(span=span, path=path, line=data.count(b"\n", 0, error.start) + 1))
        return None

"""Mistakes in `casbin` blocks: what they bind to the parameters of a model, and their other items (E601, E604, E605,
E624, W628).

What is wrong with the model and the policy themselves is said by the classes of casbin_models.py and casbin_rows.py, at
its place in those files.
Design: language.md 6.4.
"""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic
from policy_lang.mistakes.casbin_models import UnknownFunction

_NO_VALUE = "a parameter of a Casbin model has no value, none that Casbin can be asked about, or none that rows name"
_ITEM = "an item of a `casbin` block is missing, double or wrong"


# ---------------------------------------------------------------- parameters


class Unbound(Diagnostic, frozen=True, kw_only=True):
    """`parameter` as the model writes it, `r.sub` or `r.sub.Age`; `written` as a block has to."""

    code = "E601"
    about = _NO_VALUE
    title = "the model asks for `{parameter}`, and nothing is bound to it"
    help = "write under `bind`:  {written} = token.…, or another input that every such call has"

    parameter: str
    written: str


class NoValue(Diagnostic, frozen=True, kw_only=True):
    """`why` says what keeps it from having one, `remedy` what to do."""

    code = "E601"
    about = _NO_VALUE
    title = "`{name}` cannot be bound: {why}"
    help = "{remedy}"

    name: str
    why: str
    remedy: str


class UnknownParameter(Diagnostic, frozen=True, kw_only=True):
    code = "E605"
    title = "`{parameter}` is no parameter of the model: its `{definition}` has {known}"

    parameter: str
    definition: str
    known: str


class NeverEqual(Diagnostic, frozen=True, kw_only=True):
    """`name` is what is bound, `what` its values, in words; `where` says whose text it is, `remedy` what to write."""

    code = "E601"
    about = _NO_VALUE
    title = "`{text}` is never what `{name}` is: {what}"
    label = "{where}"
    help = "{remedy}"

    text: str
    name: str
    what: str
    where: str
    remedy: str


class NoFunctionHere(UnknownFunction, frozen=True, kw_only=True):
    """Unlike `compile_casbin`, a block is given no functions."""

    label = "neither one of Casbin's, nor a role definition, and a block takes no function of one's own"
    help = "ask it by a rule beside the block, and leave it out of the matcher"


class SharedNames(Diagnostic, frozen=True, kw_only=True):
    """`name` is what is bound, `kinds` are those that have it, in words; `remedy` says how they are told apart."""

    code = "W628"
    title = "`{name}` is asked of several kinds of callers: {kinds}"
    label = "a row that is meant for one of them holds for all who are called so"
    help = "{remedy}"
    severity = "warning"

    name: str
    kinds: str
    remedy: str


# ---------------------------------------------------------------- items


class ItemTwice(Diagnostic, frozen=True, kw_only=True):
    """`what` is the item, or what it is about, quoted where it is text."""

    code = "E624"
    about = _ITEM
    title = "{what} is said twice"
    label = "again here"
    help = "keep one of the two"

    what: str


class NoItem(Diagnostic, frozen=True, kw_only=True):
    """`example` is what one looks like."""

    code = "E624"
    about = _ITEM
    title = "the block `{name}` has no `{item}`"
    help = "write in it a line such as  {example}"

    name: str
    item: str
    example: str


class UnknownWord(Diagnostic, frozen=True, kw_only=True):
    """`known` are the words that may stand there."""

    code = "E624"
    about = _ITEM
    title = "`{item} {word}` means nothing: there {known}"

    item: str
    word: str
    known: str


class BadFilePath(Diagnostic, frozen=True, kw_only=True):
    code = "E624"
    about = _ITEM
    title = "`{path}` names no file that a policy may hold"
    help = (
        "name it from the folder of this file, with `/` between, without `..`, hidden names and escapes; put the file "
        "below that folder"
    )

    path: str


class NoDatabaseHere(Diagnostic, frozen=True, kw_only=True):
    """What is named is not repeated: a password may stand in it."""

    code = "E624"
    about = _ITEM
    title = "a database is named where a block reads files alone"
    label = "what decides is files, whose digest stands in every record"
    help = "let `pdp new --from-casbin MODEL DATABASE FOLDER` write the rows to a file, and name that"


class NoSuchFile(Diagnostic, frozen=True, kw_only=True):
    """`path` within the bundle."""

    code = "E624"
    about = _ITEM
    title = "there is no file `{path}`"
    help = "put it there, or name the one that is meant: paths go from the folder of this file"

    path: str


class FileNotUtf8(Diagnostic, frozen=True, kw_only=True):
    """`line` counts from 1."""

    code = "E624"
    about = _ITEM
    title = "`{path}` is not UTF-8: line {line} holds bytes that are no character"
    help = "save the file as UTF-8"

    path: str
    line: int


class UnknownDefinition(Diagnostic, frozen=True, kw_only=True):
    code = "E624"
    about = _ITEM
    title = "the model does not define `{name}`"
    label = "it would be combined here"
    help = "it defines {known}"

    name: str
    known: str

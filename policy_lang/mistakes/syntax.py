"""The mistakes of the parser, E1xx: text that is not a policy, or not one of this version.

E113 (no policy file at all) and the second use of E110 (a rule named like a word of the closed list) belong to later
phases. E109 does not exist: the renderer caps what is shown.
Design: language.md 3 (lexical notes) and 4.6.

Decision: 2026-11-21. E101 has several classes: `Unexpected` is the general one, the others name a slip as what it is.
A slip keeps the code, since a reader looks up the code to learn what kind of mistake it is, not which slip.
"""

from __future__ import annotations

from typing import ClassVar

from policy_lang.diagnostics import Diagnostic

NO_GRAMMAR = "the text does not follow the grammar"
TOO_MUCH = "nested too deep, or too many operands in one chain"


class NotUtf8(Diagnostic, frozen=True, kw_only=True):
    """`offset` counts bytes from 0."""

    code: ClassVar[str] = "E100"
    title: ClassVar[str] = "the file is not UTF-8: byte {offset} starts no character"
    help: ClassVar[str] = "save the file as UTF-8"

    offset: int


class Unexpected(Diagnostic, frozen=True, kw_only=True):
    """`found` and `expected` are words for a person, quoted where they are text of the file."""

    code: ClassVar[str] = "E101"
    about: ClassVar[str] = NO_GRAMMAR
    title: ClassVar[str] = "expected {expected}, found {found}"
    label: ClassVar[str] = "not expected here"

    found: str
    expected: str


class Slip(Diagnostic, frozen=True, kw_only=True):
    """A spelling of another language. `what` says what is wrong, `remedy` what to write."""

    code: ClassVar[str] = "E101"
    about: ClassVar[str] = NO_GRAMMAR
    title: ClassVar[str] = "{what}"
    label: ClassVar[str] = "{remedy}"

    what: str
    remedy: str


class Misplaced(Diagnostic, frozen=True, kw_only=True):
    """`word` opens a part that stands after one it has to precede."""

    code: ClassVar[str] = "E101"
    about: ClassVar[str] = NO_GRAMMAR
    title: ClassVar[str] = "`{word}` stands too late"
    help: ClassVar[str] = "a file holds, in this order: `language`, `module`, its imports, its declarations"

    word: str


class Repeated(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E101"
    about: ClassVar[str] = NO_GRAMMAR
    title: ClassVar[str] = "{what} is said twice"
    label: ClassVar[str] = "the second time"
    help: ClassVar[str] = "keep one of them"

    what: str


class NoModule(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E102"
    title: ClassVar[str] = "the file has no `module` line"
    help: ClassVar[str] = "open it with a line such as  module shop.orders"


class HiddenCharacter(Diagnostic, frozen=True, kw_only=True):
    """`named` is the code point as U+XXXX."""

    code: ClassVar[str] = "E103"
    title: ClassVar[str] = "{named} is a control or invisible character"
    label: ClassVar[str] = "it may make the text look like another"
    help: ClassVar[str] = "delete it; in a string write it as an escape, such as `\\u{{200D}}`"

    named: str


class TooDeep(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E104"
    about: ClassVar[str] = TOO_MUCH
    title: ClassVar[str] = "nested deeper than {most}"
    help: ClassVar[str] = "name a part of it by a `condition`"

    most: int


class ChainTooLong(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E104"
    about: ClassVar[str] = TOO_MUCH
    title: ClassVar[str] = "{length} operands are joined by `{word}`, more than {most}"
    help: ClassVar[str] = "test membership in a set or a relation instead"

    word: str
    length: int
    most: int


class FileTooLarge(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E105"
    title: ClassVar[str] = "the file has {size} bytes, more than {most}"
    help: ClassVar[str] = "split it into several files, and keep rows of data in relations"

    size: int
    most: int


class StringTooLong(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E106"
    title: ClassVar[str] = "the string has {length} characters, more than {most}"
    help: ClassVar[str] = "shorten it"

    length: int
    most: int


class TooBig(Diagnostic, frozen=True, kw_only=True):
    """`what` is "the integer" or "the duration"."""

    code: ClassVar[str] = "E107"
    title: ClassVar[str] = "{what} does not fit 64 bits"
    help: ClassVar[str] = (
        "an integer is at least -9223372036854775808 and at most 9223372036854775807, a duration as many milliseconds"
    )

    what: str


class NoSuchTime(Diagnostic, frozen=True, kw_only=True):
    """`what` is "date", "instant" or "duration"."""

    code: ClassVar[str] = "E108"
    title: ClassVar[str] = "`{text}` is no {what}"
    help: ClassVar[str] = "a date is written `2026-01-31`, an instant `2026-01-31T12:00:00Z`; no leap seconds"

    text: str
    what: str


class ReservedName(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E110"
    title: ClassVar[str] = "`{word}` is a reserved word and cannot be a name"
    help: ClassVar[str] = "a reserved word may only follow a dot, or name a claim, a parameter or a column"

    word: str


class UnknownLanguage(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E111"
    title: ClassVar[str] = "language {version} is not known here"
    help: ClassVar[str] = "this version reads `language 1`"

    version: str


class BadEscape(Diagnostic, frozen=True, kw_only=True):
    """`found` names the escape, or the character that needs one."""

    code: ClassVar[str] = "E112"
    title: ClassVar[str] = "{found} is not a character of a string"
    help: ClassVar[str] = (
        'escapes are `\\"`, `\\\\`, `\\n`, `\\r`, `\\t` and `\\u{{…}}` with the number of a character, no surrogate'
    )

    found: str


class BadPath(Diagnostic, frozen=True, kw_only=True):
    code: ClassVar[str] = "E120"
    title: ClassVar[str] = "{found} does not belong in a path"
    help: ClassVar[str] = (
        "a segment is text (percent-encode what is not unreserved), `{{name}}`, `{{name: type}}`, `*`, or a last `**`"
    )

    found: str


class NoSuchAddress(Diagnostic, frozen=True, kw_only=True):
    """`what` is "address" or "range of addresses"."""

    code: ClassVar[str] = "E122"
    title: ClassVar[str] = "`{text}` is no {what}"
    help: ClassVar[str] = (
        "an address is four numbers up to 255 without leading zeros, or IPv6; a range ends with `/` and a length up to "
        "32, or 128 for IPv6"
    )

    text: str
    what: str

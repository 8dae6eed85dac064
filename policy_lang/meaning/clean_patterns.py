"""Patterns that say nothing odd, read at a glance: what a policy of 100,000 rows mostly holds.

In comes a text, out comes its form, or None where it is to be read sign by sign: the text may then be anything. A clean
text is no trap and can be read, and its form is the whole truth but for what each function says.
INVARIANT: a form that comes out is the one that reading sign by sign gives (key_signs.py, globs.py, linear_regex.py);
tests/casbin/test_clean_patterns.py compares them.
Source: language.md 6.4; Casbin's documentation, "Functions".

Decision (2026-11-21): a second way to read what the first one reads too is kept for its speed: 2 µs for a text in place
of 60 under keyMatch2, 140 under regexMatch and 240 under globMatch, and each row is read.
"""

from __future__ import annotations

import re

from policy_lang.meaning.key_signs import KeyFunction
from policy_lang.meaning.pattern_forms import Exact, Prefix, Segments

LONGEST = 512
"""Characters of the longest text that is read so: whatever is made of it stays far below every limit."""

_META = r".^$|()\[\]{}+?*\\"

_CLEAN_COLON = re.compile(rf"(?:(?:[^/:{_META}]*|:\w+)/)*(?:[^/:{_META}]*|:\w+|(?<=/)\*)")
_CLEAN_BRACES = re.compile(rf"(?:(?:[^/{_META}]*|\{{\w+\}})/)*(?:[^/{_META}]*|\{{\w+\}}|(?<=/)\*)")

_NAME_COLON = re.compile(r"[^:^$|()\[\]{}?*\\]*")
_NAME = re.compile(r"[^^$|()\[\]{}?*\\]*")
_NAME_SIGN = re.compile(r"[.+]")

_CLEAN_REGEX = re.compile(r"""\^?([A-Za-z0-9 !"#%&',/:;<=>@_`~-]*)(\$?)""", re.ASCII)

_GLOB_TEXT = r"[^*?\[\]{}\\/\ud800-\udfff\uffff]"
_CLEAN_GLOB = re.compile(rf"/?(?:(?:{_GLOB_TEXT}+|\*)/+)*(?:{_GLOB_TEXT}+|\*)")


def clean_key(function: KeyFunction, text: str) -> Exact | Segments | None:
    """A key whose every segment is text, one wildcard, or at the end a star; of keyMatch5 the form before the query.

    Beyond the form: where it goes on, there is one more segment at least, and no line break from there on.
    """
    if len(text) > LONGEST:
        return None
    colon = function in {"keyMatch2", "keyGet2"}
    if not (_CLEAN_COLON if colon else _CLEAN_BRACES).fullmatch(text):
        return None
    sign = ":" if colon else "{"
    if sign not in text and not text.endswith("*"):
        return Exact(text)
    segments = text.split("/")
    rest = segments[-1] == "*"
    if rest:
        segments.pop()
        if len(segments) == 1 and not segments[0]:
            return None
    parts = tuple([None if segment[:1] == sign else segment for segment in segments])
    if function == "keyMatch4":
        wildcards = [segment for segment in segments if segment[:1] == sign]
        if len(set(wildcards)) < len(wildcards):
            return None
    return Segments(parts, rest)


def sign_in_name(function: KeyFunction, text: str) -> str:
    """The first `.` or `+` of a text that has no wildcard, no star and no other sign of regular expressions: of
    `j.doe@x.org`, which is a name, whatever a regular expression says. Empty where there is none, or the text is none.
    """
    found = _NAME_SIGN.search(text)
    if found is None or ".+" in text or text[:1] == "+":
        return ""
    names = _NAME_COLON if function in {"keyMatch2", "keyGet2"} else _NAME
    return found[0] if names.fullmatch(text) else ""


def clean_regex(text: str) -> Exact | Prefix | None:
    """An expression that is text, with or without its beginning and its end; the form is the truth."""
    found = _CLEAN_REGEX.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    return Exact(found[1]) if found[2] else Prefix(found[1])


def clean_glob(text: str) -> Segments | None:
    """A glob whose every segment is text or a star, none of them the last one only by a `/` behind it; the form of the
    name with single slashes. Beyond the form: what a star takes does not begin with a dot.
    """
    if len(text) > LONGEST or text.startswith("*/") or not _CLEAN_GLOB.fullmatch(text):
        return None
    first, *others = text.split("/")
    kept = [first, *(segment for segment in others if segment)]
    parts = tuple([None if segment == "*" else segment for segment in kept])
    return Segments(parts, rest=False) if any(parts) else None

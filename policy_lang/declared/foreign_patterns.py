"""Hints for patterns of `like` and segments of paths that are written as other languages write them.

The text goes in; one line that says what to write instead comes out, or nothing. Hints decide nothing: whoever asks has
found a mistake already, or warns.
Source: language.md 3 "Path patterns", 4.1.
"""

from __future__ import annotations

import re

from policy_lang.syntax.slip_rows import snake_case

_REGEX = re.compile(r"^\^|\$$|\.\*|\.\+|\\|\[.*\]|\([^|\n]*+\|[^)\n]*+\)")
_ENDS = re.compile(r"^(?:\.[*+])+|(?:\.[*+])+$")
_PLACEHOLDER = re.compile(r"[:$]([A-Za-z_][A-Za-z0-9_]*)")
_SYSTEM = frozenset(("$all", "$batch", "$count", "$entity", "$metadata", "$query", "$ref", "$value"))
"""Segments that OData gives a meaning (OData 4.01, Part 2, 4): texts, not captures."""

_FIRST = re.compile(r"\{([a-z][a-z0-9_]*)\}.*\{")
_BESIDE = re.compile(r"([^{}]*)\{([a-z][a-z0-9_]*)(?:\s*:\s*[a-z]+)?\}([^{}]*)")


# ---------------------------------------------------------------- patterns of `like`


def like_hint(pattern: str) -> str:
    """What to write for a text that is no pattern of `like`."""
    if "%" in pattern:
        meant = pattern.replace("%", "*")
        return f"`%` and `_` of SQL stand for themselves here: write {_asked(meant)}"
    if _REGEX.search(pattern):
        return f"this is no regular expression; `*` stands for any text: write {_of_regex(pattern)}"
    if "*" not in pattern and pattern:
        self_standing = "; `_` stands for itself" if "_" in pattern else ""
        return f'for the whole text write `== "{pattern}"`, for what begins with it `like "{pattern}*"`{self_standing}'
    return ""


def _of_regex(pattern: str) -> str:
    core = _ENDS.sub("", pattern.removeprefix("^").removesuffix("$"))
    if not core or re.search(r"[\\^$*+?()\[\]|]", core):
        return '`like "prefix*"`, `like "*suffix"` or `like "*within*"`, joined by `or`'
    before = "" if pattern.startswith("^") and not pattern.startswith(("^.*", "^.+")) else "*"
    behind = "" if pattern.endswith("$") and not pattern.endswith((".*$", ".+$")) else "*"
    return _asked(f"{before}{core}{behind}")


def _asked(meant: str) -> str:
    core = meant.removeprefix("*").removesuffix("*")
    if not core or "*" in core:
        return '`like "prefix*"`, `like "*suffix"` or `like "*within*"`, joined by `and` or `or`'
    return f'`== "{meant}"`' if core == meant else f'`like "{meant}"`'


def anchor(pattern: str) -> str:
    """The `^` that a pattern begins with, or the `$` that it ends with; empty for neither."""
    if len(pattern) < 2:
        return ""
    return "^" if pattern.startswith("^") else "$" if pattern.endswith("$") else ""


# ---------------------------------------------------------------- segments of a path


def capture_meant(segment: str) -> str:
    """A name for the capture that a literal segment looks like, `:id` or `$id`; empty where it looks like none."""
    looks = _PLACEHOLDER.fullmatch(segment)
    return "" if looks is None or segment in _SYSTEM else snake_case(looks[1])


def path_hint(path: str) -> str:
    """What to write for the first segment of a path that looks like a capture of another language."""
    for segment in path.split("/"):
        name = capture_meant(segment)
        if name:
            return f"`{segment}` is this very text: write `{{{name}}}` for any segment"
    return ""


def segment_hint(segment: str) -> str:
    """What to write for a segment that is part text, part capture, such as `{id}:approve`."""
    beside = _BESIDE.fullmatch(segment)
    if beside is None:
        several = _FIRST.search(segment)
        return f"capture the whole segment, `{{{several[1]}}}`, and compare it as a whole" if several else ""
    before, name, behind = beside.groups()
    if "*" in before + behind or not before + behind:
        return ""
    asked = f'"{before}*"' if before else f'"*{behind}"'
    return f"capture the whole segment, `{{{name}}}`, and ask for the rest in a rule: `path.{name} like {asked}`"

"""The braces of globs: a text with `{a,b}` in it to the texts that it stands for.

In comes a text, out come its alternatives in order, or the `Trap` that says why the braces cannot be read. A `\\` and
the character after it stay as they are.
An empty text is dropped beside others, as the shell does.
INVARIANT: what is held at any time is bounded by `_MOST` texts of the length of the first.
Source: language.md 6.4; the braces of the shell, of which only the well-formed ones are read (globs.py).
"""

from __future__ import annotations

from itertools import pairwise

from policy_lang.meaning.linear_regex import LONGEST_PATTERN, unreadable
from policy_lang.meaning.pattern_forms import Trap

_MOST = 64
_DEEPEST = 8


def alternatives(text: str) -> tuple[str, ...] | Trap:
    """The texts without braces, each once."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        first = waiting.pop()
        found = _first_group(first)
        if isinstance(found, Trap):
            return found
        if found is None:
            done.append(first)
            continue
        start, end, slots = found
        waiting += [first[:start] + slot + first[end:] for slot in reversed(slots)]
        if len(waiting) + len(done) > _MOST:
            return unreadable(f"its braces stand for more than {_MOST} patterns")
    if sum(len(each) for each in done) > LONGEST_PATTERN:
        return unreadable(f"the patterns that its braces stand for have more than {LONGEST_PATTERN} characters in all")
    return tuple(dict.fromkeys(each for each in done if each)) or ("",)


def comma_outside(text: str) -> bool:
    """Whether a comma stands outside all braces."""
    depth = 0
    for _, character in _marks(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            return True
    return False


def _first_group(text: str) -> tuple[int, int, list[str]] | Trap | None:
    """Where the first group begins and ends, and what stands between its commas; None where there is none."""
    start, depth, cuts = -1, 0, list[int]()
    for at, character in _marks(text):
        if character == "{":
            start = at if depth == 0 else start
            depth += 1
        elif character == "}":
            depth -= 1
        elif depth == 1:
            cuts.append(at)
        if depth < 0 or depth > _DEEPEST or (character == "{" and text[at - 1 : at] == "$"):
            return unreadable("its braces are not closed, or too deep, or follow a `$`")
        if character == "}" and depth == 0:
            return _group(text, start, at, cuts)
    return None if depth == 0 else unreadable("a brace is not closed")


def _group(text: str, start: int, end: int, cuts: list[int]) -> tuple[int, int, list[str]] | Trap:
    if not cuts or ".." in text[start:end]:
        return unreadable("braces are read only around texts with commas between, without `..`")
    bounds = [start, *cuts, end]
    return start, end + 1, [text[first + 1 : last] for first, last in pairwise(bounds)]


def _marks(text: str) -> list[tuple[int, str]]:
    """The places of the braces and commas that no backslash precedes."""
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(text):
        if text[at] in "{},":
            found.append((at, text[at]))
        at += 2 if text[at] == "\\" else 1
    return found

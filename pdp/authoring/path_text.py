"""Path templates of other languages as patterns of ours, or why there is none that says the same.

Segments go in, read by whoever knows the other language; out comes pattern text that `policy_lang.meaning.patterns`
accepts, or a `NoPattern`. INVARIANT: a pattern holds no path that the template does not hold, but for
what a template says of the text within one segment. A literal `*` is no wildcard.
Specification: policy_lang/meaning/patterns.py; OpenAPI 3.2 4.8.2 (path templating).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from pdp.authoring.pol_text import Names, identifier
from policy_lang.meaning.patterns import PatternFault, parse_pattern
from policy_lang.request import MAX_PATH, MAX_SEGMENTS

CaptureWord = Literal["string", "int", "uuid"]

_WHOLE = re.compile(r"\{([^{}/]+)\}")
_NOT_RAW = {"*": "%2A", "(": "%28", ")": "%29", ",": "%2C"}
"""Characters that mean something in a pattern, or that the grammar does not read in one."""


class NoPattern(Struct, frozen=True):
    """Why no pattern says what a template says, and what to do about it."""

    why: str


def template_captures(template: str) -> tuple[str, ...]:
    """The names in braces, in order, whole segments or not."""
    return tuple(_WHOLE.findall(template))


def template_pattern(template: str, types: Mapping[str, CaptureWord]) -> str | NoPattern:
    """The pattern of a path such as `/users/{id}`, with the types of its captures."""
    if not template.startswith("/"):
        return NoPattern(f"`{template[:80]}` does not begin with `/`: write `/{template[:80]}`")
    if len(template) > MAX_PATH or template.count("/") > MAX_SEGMENTS:
        return NoPattern("the path is longer than any that is answered: shorten it")
    captured = template_captures(template)
    if len(set(captured)) != len(captured):
        return NoPattern(f"`{template[:80]}` captures one name twice: name them apart")
    names = Names()
    written: list[str] = []
    for segment in template[1:].split("/"):
        whole = _WHOLE.fullmatch(segment)
        if whole is not None:
            written.append(capture(names.take(identifier(whole[1], "part")), types.get(whole[1], "string")))
        elif "{" in segment or "}" in segment:
            return partial_segment(segment)
        else:
            written.append(literal(segment))
    return checked("/" + "/".join(written))


def capture(name: str, type_: CaptureWord) -> str:
    """One capture as a policy writes it."""
    return f"{{{name}}}" if type_ == "string" else f"{{{name}: {type_}}}"


def literal(segment: str) -> str:
    """A literal segment with the characters escaped that a pattern does not hold raw."""
    return "".join(_NOT_RAW.get(character, character) for character in segment)


def template_shape(template: str) -> str:
    """The shape that an endpoint for the template has, also one written by hand where no pattern says the same."""
    return "/".join("{}" if "{" in segment else literal(segment) for segment in template.split("/"))


def partial_segment(segment: str) -> NoPattern:
    """What is said of a segment that is a capture only in part."""
    return NoPattern(
        f"a capture is a whole segment, and `{segment[:80]}` is one only in part: declare the endpoint by hand with a "
        'whole one such as `{part}`, and say in its rules what it looks like: when path.part like "…*"'
    )


def checked(pattern: str) -> str | NoPattern:
    """The pattern, where it is one."""
    fault = parse_pattern(pattern)
    if isinstance(fault, PatternFault):
        return NoPattern(f"{fault.why}: correct the path, or declare the endpoint by hand")
    return pattern


def pattern_with_names(written: str, wanted: str) -> str:
    """The pattern `wanted`, of the shape of `written`, with the names that captures have there.

    A capture keeps a type that no document can say (`opaque`).
    """
    parts: list[str] = []
    for one, other in zip(written.split("/"), wanted.split("/"), strict=True):
        if not one.startswith("{"):
            parts.append(one)
            continue
        name, _, type_ = (piece.strip() for piece in one[1:-1].partition(":"))
        word = other[1:-1].partition(":")[2].strip() or "string"
        said = type_ or "string"
        kept = said == word or said not in {"string", "int", "uuid"}
        parts.append(one if kept else capture(name, "int" if word == "int" else "uuid" if word == "uuid" else "string"))
    return "/".join(parts)

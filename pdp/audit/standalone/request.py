"""The path and query of a request: canonical and decoded once, or refused. Nothing is repaired.

Why a path is not canonical is not told apart here; policy_lang/request.py does that.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

RAW = "!$&'()*+,=:@"
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
ESCAPES = re.compile(r"((?:%[0-9A-Fa-f]{2})+)")
PIECE = re.compile(rf"(?:[{re.escape(UNRESERVED + RAW)}]|%[0-9A-Fa-f]{{2}})+")
INVISIBLE = dict.fromkeys(
    (
        *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0, *range(0x180B, 0x1810)),
        *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)),
        *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
    )
)
"""Code points that do not show, and that some servers drop."""
CUTS = re.compile(r"[/\\;?#%]")
FITS_A_CUT = re.compile("[\u00a5\u066a\u2044\u20a9\u20e5\u2215\u2216\u29f5\u29f8\u29f9]")


class Target(NamedTuple):
    """A canonical path: segments decoded once; those written with an escape that was not needed, or with `%2F`."""

    segments: list[str]
    slash: bool
    escaped: frozenset[int]
    slashed: frozenset[int]
    query: str | None

    @property
    def text(self) -> str:
        return "/" + "/".join(each.replace("/", "%2F") for each in self.segments) + ("/" if self.slash else "")


def read_target(raw: str) -> Target | None:
    """A path and query; None where it is not canonical and so refused by `path`: nothing is repaired."""
    text, mark, query = raw.partition("?")
    written = text[1:].split("/")
    slash = len(written) > 1 and not written[-1]
    written = written[:-1] if slash or text == "/" else written
    if not text.startswith("/") or len(text) > 8192 or len(written) > 256 or "#" in query:
        return None
    segments, escaped, slashed = [], set(), set()
    for place, segment in enumerate(written):
        pieces = [read_piece(each) for each in re.split("%2[Ff]", segment)]
        if None in pieces:
            return None
        segments.append("/".join(each[0] for each in pieces if each))
        if any(each and each[1] for each in pieces):
            escaped.add(place)
        if len(pieces) > 1:
            slashed.add(place)
    return Target(segments, slash, frozenset(escaped), frozenset(slashed), query if mark else None)


def read_piece(written: str) -> tuple[str, bool] | None:
    """A segment decoded, or what stands between two `%2F` of one, and whether it has an escape of a raw character."""
    if written in {".", ".."} or not PIECE.fullmatch(written):
        return None
    decoded, escaped = "", False
    for number, part in enumerate(ESCAPES.split(written)):
        plain = part if number % 2 == 0 else unescaped(part)
        if plain is None or (number % 2 and any(each in UNRESERVED + "\\%;?#" or is_control(each) for each in plain)):
            return None
        escaped = escaped or (number % 2 == 1 and any(each in RAW for each in plain))
        decoded += plain
    if decoded != decoded.strip(" ") or (not decoded.isascii() and (len(decoded) > 512 or is_disguised(decoded))):
        return None
    return decoded, escaped


def unescaped(escapes: str) -> str | None:
    try:
        return bytes.fromhex(escapes.replace("%", "")).decode()
    except UnicodeDecodeError:
        return None


def is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f"


def is_disguised(segment: str) -> bool:
    """Whether some server makes of the segment what may not stand in a path."""
    form, visible = unicodedata.normalize("NFKC", segment), segment.translate(INVISIBLE)
    dots = form.translate(INVISIBLE).replace("\u3002", ".")
    cut = CUTS.search(form) or FITS_A_CUT.search(segment)
    return dots in {"", ".", ".."} or visible != visible.strip() or bool(cut)


def read_query(raw: str | None) -> list[tuple[str, str]] | str:
    """The parameters in order, or why they cannot be read."""
    pieces, found = (raw or "").split("&", 512), []
    if len(pieces) > 512:
        return "schema.query_size"
    for piece in filter(None, pieces):
        name, _, value = piece.partition("=")
        pair = []
        for written in (name, value):
            decoded, fault = read_parameter(written)
            if fault:
                return fault
            pair.append(decoded)
        found.append((pair[0], pair[1]))
    return found


def read_parameter(written: str) -> tuple[str, str]:
    """A name or a value decoded once, or the reason why not; the first fault from the left decides."""
    decoded = ""
    for part in re.findall(r"(?:%[0-9A-Fa-f]{2})+|.", written, re.DOTALL):
        plain = unescaped(part) if len(part) > 1 else " " if part == "+" else part
        if plain is not None and any(map(is_control, plain)):
            return "", "schema.query_control"
        if part == ";":
            return "", "schema.query_semicolon"
        if plain is None or part == "%" or not "!" <= part[0] <= "~":
            return "", "schema.query_encoding"
        decoded += plain
    return decoded, ""

"""What back ends may take a request target for: every reading that some server or framework is known to have.

A target goes in, the paths come out that it may be read as: decoded never, once or twice, `\\` as `/`, path parameters
cut off or not, empty and dot segments resolved or not, without regard to case and form, cut at a NUL or a fragment,
dots and blanks at the end dropped, a suffix taken for a format. Independent of the code that is tested.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes, urlsplit


def readings(target: bytes) -> set[str]:
    """The paths that a target may be taken for."""
    written = target.partition(b"?")[0]
    starts = {written, target.partition(b"#")[0].partition(b"?")[0], _without_authority(written)}
    decoded = set(starts)
    for _ in range(3):
        decoded |= {unquote_to_bytes(each) for each in decoded}
    texts = {text for each in decoded for text in _texts(each)}
    return {_resolved(text) for text in {cut for each in texts for cut in _cut(each)}}


def reaches(target: bytes, protected: str) -> bool:
    """Whether some reading of a target is the protected path, or lies below it."""
    return any(path == protected or path.startswith(protected + "/") for path in readings(target))


def _without_authority(written: bytes) -> bytes:
    match = re.fullmatch(rb"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/\\]*(.*)", written, re.DOTALL)
    return match[1] if match else written


def _texts(raw: bytes) -> Iterator[str]:
    yield raw.decode("latin-1")
    yield raw.decode("utf-8", "replace")
    # Decoders that do not mind overlong forms.
    plain = re.sub(rb"[\xc0\xc1]([\x80-\xbf])", _overlong, raw)
    plain = re.sub(rb"\xe0([\x80-\x9f])([\x80-\xbf])", _overlong, plain)
    yield plain.decode("utf-8", "replace")
    yield re.sub(r"%u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), raw.decode("latin-1"))


def _overlong(found: re.Match[bytes]) -> bytes:
    first = found[0][0]
    point = ((first & 0x1F) << 6 | found[1][0] & 0x3F) if first != 0xE0 else 0
    if first == 0xE0:
        point = (found[1][0] & 0x3F) << 6 | found[2][0] & 0x3F
    return chr(point).encode("utf-8", "replace")


def _cut(text: str) -> Iterator[str]:
    ends = (text, text.partition("\x00")[0], text.partition("#")[0], text.partition("?")[0])
    for end, slashes, parameters in itertools.product(ends, (False, True), (False, True)):
        path = end.replace("\\", "/").replace("\u2215", "/").replace("\uff0f", "/") if slashes else end
        yield re.sub(r";[^/]*", "", path) if parameters else path


def _resolved(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).upper().casefold()
    folded = "".join(c for c in folded if unicodedata.category(c) not in {"Cf", "Cc", "Mn"})
    path = posixpath.normpath("/" + re.sub(r"/+", "/", folded).lstrip("/"))
    segments = [re.sub(r"(::?\$.*|[. +]+)$", "", each.strip()) for each in path.split("/")]
    path = posixpath.normpath("/".join(segments)) if any(segments) else "/"
    head, _, tail = path.rpartition("/")
    return f"{head}/{re.sub(r'[.][a-z0-9]{1,8}$', '', tail)}" if tail else path


def host_of(target: bytes) -> str | None:
    """The host of a target in absolute form."""
    try:
        return urlsplit(target.decode("latin-1")).hostname
    except ValueError:
        return None

"""Request targets that try to reach `/admin` past a rule about it, and clean ones that must not suffer for that.

Every class is published: dot segments, slashes, path parameters, needless, double, overlong and `%u` escapes, control
characters, case, compatibility forms, file-system spellings, absolute forms, query and fragment confusion
(security.md 0.3, 2.2: Envoy CVE-2019-9901, CVE-2021-29492, CVE-2021-32779; Istio CVE-2021-31920; Heimdall
CVE-2026-32811, CVE-2026-42272, CVE-2026-42274; OPA-Envoy CVE-2026-26205; Spring's StrictHttpFirewall). Seeded: the same
seed draws the same targets. A target is the bytes that stand between method and version in a request line, so none
holds a space or a line end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from urllib.parse import quote

PROTECTED = ("/admin", "/admin/users", "/admin/users/17/keys")
OPEN = ("/public", "/public/a", "/a/b", "/files/2026")

_ESCAPES: tuple[Callable[[str], str], ...] = (
    lambda c: f"%{ord(c):02x}",
    lambda c: f"%{ord(c):02X}",
    lambda c: f"%25{ord(c):02x}",
    lambda c: f"%u{ord(c):04x}",
    lambda c: f"%c{ord(c) >> 6:x}%{0x80 | ord(c) & 0x3F:02x}",
    lambda c: f"%e0%8{ord(c) >> 6:x}%{0x80 | ord(c) & 0x3F:02x}",
    lambda c: f"%{ord(c):02x}".replace("%", "%%32%35"),
    lambda c: c.upper(),
    lambda c: quote(chr(ord(c) + 0xFEE0)) if c.isalpha() else c,
    lambda c: quote(c + "\u00ad"),
)

_BACK = (
    *("/..", "/%2e%2e", "/.%2e", "/%2E.", "/..;", "/..;a=b", "/%252e%252e", "/..%00", "/..%09", "/..%20", "/.. "),
    *("%2f..", "%2F..", "%5c..", "\\..", "/..\\", "%252f..", "%c0%af..", "/%c0%ae%c0%ae", "/%ef%bc%8e%ef%bc%8e"),
    *("/%u002e%u002e", "/..%ef%bc%8f", "/...", "/./..", "//..", "/.;/..", "/%2e/%2e%2e"),
)

_SEPARATORS = (
    *("//", "///", "/./", "/%2e/", "/;/", "/;a=b/", "%2f", "%2F", "%5c", "%5C", "\\", "%252f", "%c0%af", "%ef%bc%8f"),
    *("/%00/", "/%20/", "/%09/", "/%0a", "%u2215", "/.;/", "/%3b/", "%e2%88%95"),
)

_ENDINGS = (
    *("/", "//", "/.", "/./", "/..", ".", "..", "...", ";", ";a=b", ";/x", "%3b", "%3Bx", "%00", "%00.css", "%20", "+"),
    *("%09", "%0a", "%0d%0a", "%23", "%23x", "#", "#x", "%3f", "%3fx=y", "?", "??", "&", "~", "%7f", "%c2%a0", "%ff"),
    *(".json", ".css", ".JSP", "/.css", "/x.css", ";.css", "%2e", "%2ejson", "::$DATA", "%3a%3a$DATA", ":$I30:$INDEX"),
    *(
        "%e2%80%8b",
        "%ef%bb%bf",
        "%c2%ad",
        "/%2e",
        "%252f",
        "/%2f",
        "\\",
        "%5c",
        "/*",
        "*",
        "|",
        "%7c",
        "`",
        "^",
        '"',
        "<",
    ),
)

_FIXED = (
    *(
        "http://wide.example/admin",
        "http://shut.example/admin",
        "https://wide.example/admin",
        "http:///admin",
        "http:/admin",
    ),
    *("//wide.example/admin", "//shut.example//admin", "///wide.example/admin", "/\\wide.example/admin", "admin", "*"),
    *("ftp://wide.example/admin", "file:///admin", "javascript:/admin", "wide.example:80/admin", "@/admin", "/@/admin"),
    *(
        "/public?/../admin",
        "/public?/../../admin",
        "/?/admin",
        "/?x=/admin",
        "/public?x=%2f..%2fadmin",
        "/public?../admin",
    ),
    *("/public#/../admin", "/public%23/../admin", "/public%3f/../admin", "/public;/../admin", "/public%3b/../admin"),
    *("/public/..#/admin", "/public;x=/../admin", "/?#/admin", "/#/admin", "#/admin", "?/admin", "/public%00/../admin"),
    *(
        "/public/\u2025/admin",
        "/public/%e2%80%a5/admin",
        "/%e2%80%a4%e2%80%a4/admin",
        "/.%ef%bc%8e/admin",
        "/\u0131/admin",
    ),
    *(
        "/adm\u0131n",
        "/ADM%C4%B0N",
        "/adm%C4%B1n",
        "/%61dmin",
        "/a%64min",
        "/admi%6e",
        "/admi%6E",
        "/%41DMIN",
        "/aDmIn",
    ),
)


def hostile_targets(seed: int, count: int) -> Iterator[bytes]:
    """`count` targets: the fixed ones first, then drawn ones, each once."""
    draw = random.Random(f"hostile {seed}")
    seen: set[bytes] = set()
    fixed = iter([*_FIXED, *(path + ending for path in PROTECTED for ending in _ENDINGS)])
    while len(seen) < count:
        target = _line(next(fixed, None) or draw.choice(_DRAWN)(draw))
        if target not in seen and target not in _PLAINLY:
            seen.add(target)
            yield target


_PLAINLY = frozenset(path.encode() for path in PROTECTED)
"""What is plainly refused tries nothing."""


def _line(target: str) -> bytes:
    raw = target.encode("utf-8", "surrogateescape")
    return raw.replace(b" ", b"%20") or b"/"


def _climbing(draw: random.Random) -> str:
    up = "".join(draw.choice(_BACK) for _ in range(draw.randint(1, 4)))
    return draw.choice(OPEN) + up + draw.choice(("", *_SEPARATORS)) + draw.choice(PROTECTED).removeprefix("/")


def _separated(draw: random.Random) -> str:
    segments = draw.choice(PROTECTED).removeprefix("/").split("/")
    written = draw.choice(("/", *_SEPARATORS))
    for number, segment in enumerate(segments):
        written += (draw.choice(("/", *_SEPARATORS)) if number else "") + segment
    return written


def _escaped(draw: random.Random) -> str:
    path = draw.choice(PROTECTED)
    escape, share = draw.choice(_ESCAPES), draw.choice((0.1, 0.4, 1.0))
    return "".join(escape(c) if draw.random() < share and (c != "/" or draw.random() < 0.3) else c for c in path)


def _cased(draw: random.Random) -> str:
    return "".join(c.upper() if draw.random() < 0.5 else c for c in draw.choice(PROTECTED))


def _ended(draw: random.Random) -> str:
    path = draw.choice((_cased, _escaped, _separated))(draw)
    return path + draw.choice(_ENDINGS) + draw.choice(("", draw.choice(_ENDINGS)))


def _behind_a_query(draw: random.Random) -> str:
    return draw.choice(OPEN) + draw.choice(("?", "%3f", "#", ";", "%00", "&")) + _climbing(draw)


def _absolute(draw: random.Random) -> str:
    start = draw.choice(("http://", "HTTP://", "https://", "//", "http:", "/http://", "\\\\"))
    host = draw.choice(("wide.example", "shut.example", "user@wide.example", "wide.example:80", "wide.example%2eevil"))
    return start + host + draw.choice((_cased, _escaped, _separated, _climbing))(draw)


_DRAWN = (_climbing, _climbing, _separated, _separated, _escaped, _escaped, _cased, _ended, _behind_a_query, _absolute)

_WORDS = (
    *(
        "orders",
        "invoices",
        "users",
        "search",
        "v1",
        "v2.1",
        "reports",
        "2026-03-01",
        "2026-03-01T12:30:00Z",
        "a_b",
        "x~y",
    ),
    *(
        "anna.b@example.com",
        "o'brien",
        "(draft)",
        "batch:run",
        "items:batchGet",
        "price,desc",
        "1+1",
        "a=b",
        "$value",
        "!",
    ),
    *("3f2b8c1e-6f0e-4a57-9d5f-0d6c8c7c2b11", "0", "-7", "1234567890", "report.pdf", "photo.final.JPG", ".well-known"),
    *(
        "r%C3%A9sum%C3%A9",
        "%E6%9D%B1%E4%BA%AC",
        "a%20b",
        "Stra%C3%9Fe%2012",
        "%F0%9F%98%80",
        "caf%C3%A9.txt",
        "100%20%26%20more",
    ),
    *("com.example.Orders", "urn:isbn:0451450523", "did:example:123", "Getting-Started", "README", "administration"),
)
_VALUES = (
    "1",
    "a+b",
    "a%20b",
    "2026-03-01T12%3A30%3A00Z",
    "x%2Fy",
    "%7B%22a%22%3A1%7D",
    "q%3D1",
    "a,b",
    "",
    "caf%C3%A9",
)


def clean_targets(seed: int, count: int) -> Iterator[bytes]:
    """Targets as sound APIs have them: nothing escaped that may stand raw, nothing raw that must be escaped."""
    draw = random.Random(f"clean {seed}")
    for _ in range(count):
        path = "/" + "/".join(draw.choice(_WORDS) for _ in range(draw.randint(1, 6)))
        pairs = [f"{draw.choice(('page', 'q', 'sort', 'filter[x]'))}={draw.choice(_VALUES)}" for _ in range(3)]
        query = "?" + "&".join(pairs[: draw.randint(1, 3)]).replace("[", "%5B").replace("]", "%5D")
        yield (path + (query if draw.random() < 0.4 else "")).encode("ascii")

"""Published attacks on tokens, by cause: what is presented, by what word it is refused, and for which reason.

Each differs from a credential that is allowed (`CONTROLS`) in the one thing that its sentence names, and is signed by a
key of its issuer wherever the attack is not one on the signature (`tests/support/signature_attacks.py`).
Sources: security.md 2.1; RFC 6750, 7515, 7519, 7797, 7800, 8705, 8725, 9068; the advisories named in the sentences.

`ATTACKS` need nothing. `LURES` name a place, and are made for the URL and the file of one that lies in wait.

Decision: 2026-11-21. What no profile asks for and no pin forbids is the policy's to refuse: a token of `MACHINES`
without `aud` is refused by `audience`, and one without `sub` by `schema`.
"""

from __future__ import annotations

import base64
import json
import string
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from tests.support.signature_attacks import (
    ALGORITHMS,
    ED,
    ES,
    FOREIGN,
    MACHINES,
    OF_MACHINES,
    SIGNATURES,
    SYMMETRIC,
    USERS,
    control_of_the_padding,
    machine,
    payload,
    public,
    symmetric,
    unsigned,
    user,
)
from tests.support.tokens import NOW, b64, compact, header_of

SESSION_MAX_S = 3600
"""How long a session of a machine may be."""

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


class Call(Struct, frozen=True):
    """What the bearer wants to do, and may by a good token."""

    service: str
    path: str

    @property
    def host(self) -> str:
        return f"{self.service}.example"


LEDGER, REPORTS = Call("ledger", "/accounts/a1"), Call("reports", "/reports/2026")


class Attack(Struct, frozen=True):
    """The headers of a call, values as bytes, and by what word and for which reason it is refused."""

    headers: tuple[tuple[str, bytes], ...]
    reason: str
    by: str = "token"
    call: Call = LEDGER


def presented(*values: str | bytes, **others: bytes) -> tuple[tuple[str, bytes], ...]:
    """One `authorization` for each value, and other headers (`_` for `-`)."""
    credentials = [("authorization", each.encode() if isinstance(each, str) else each) for each in values]
    return (*credentials, *((name.replace("_", "-"), value) for name, value in others.items()))


def _bearer(token: str) -> tuple[tuple[str, bytes], ...]:
    return presented(f"Bearer {token}")


def _saying(claims: str | bytes) -> str:
    """A token of `ES` over these claims."""
    return compact(ES, header_of(ES), claims)


def _headed(header: str | bytes) -> str:
    """A token of `ES` with this header."""
    return compact(ES, header, payload())


def _with(member: str, into: str) -> str:
    """The JSON of an object with one member more at its end."""
    return f"{into[:-1]}, {member}}}"


def _claiming(member: str | bytes) -> bytes:
    """The JSON of the claims with one member more."""
    return payload().encode()[:-1] + b", " + (member.encode() if isinstance(member, str) else member) + b"}"


def _spelt(first: str, second: str) -> str:
    """A token of `ES` whose first two parts are these texts, signed as they are."""
    message = f"{first}.{second}"
    return f"{message}.{b64(ES.sign(message.encode()))}"


def _left_over(text: str) -> str:
    """The base64url of a JSON text, with a bit set after its last byte."""
    spelt = b64((text + " " * ((1 - len(text)) % 3)).encode())
    return _next(spelt)


def _next(spelt: str) -> str:
    """Another text, which a lenient reader takes for the same bytes."""
    return spelt[:-1] + _ALPHABET[_ALPHABET.index(spelt[-1]) | 1]


def _deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


_GOOD = user()
_FIRST, _SECOND, _THIRD = _GOOD.split(".")
_EXP = str(NOW + 600)
_BOUND = b64(bytes(range(32)))

_SPELLINGS: dict[str, str] = {
    "nothing between the dots (RFC 7515 7.1)": "..",
    "sixteen thousand dots (RFC 7515 7.1)": "." * 16_000,
    "a dot before (RFC 7515 7.1)": f".{_GOOD}",
    "a dot after (RFC 7515 7.1)": f"{_GOOD}.",
    "a part missing (RFC 7515 7.1)": f"{_FIRST}.{_SECOND}",
    "alg none, without its last dot (RFC 7519 6)": unsigned("none")[:-1],
    "an empty header (RFC 7515 7.1)": _spelt("", _SECOND),
    "an empty payload (RFC 7515 7.1)": _spelt(_FIRST, ""),
    "a header that is JSON and not base64url (RFC 7515 7.1)": f'{{"alg":"none"}}.{_SECOND}.{_THIRD}',
    "padding after the header (RFC 7515 2)": _spelt(f"{_FIRST}==", _SECOND),
    "padding after the payload (RFC 7515 2)": _spelt(_FIRST, f"{_SECOND}=="),
    "padding after the signature (RFC 7515 2; PyJWT 2.15.1)": f"{_GOOD}==",
    "the alphabet with + and / (RFC 7515 2)": _spelt(_FIRST, "+/+/"),
    "a blank in the header (RFC 7515 2)": f"{_GOOD[:9]} {_GOOD[9:]}",
    "a tab in the payload (RFC 7515 2)": f"{_FIRST}.{_SECOND[:9]}\t{_SECOND[9:]}.{_THIRD}",
    "a blank after (RFC 7515 2)": f"{_GOOD} ",
    "a question mark within (RFC 7515 2; PyJWT 2.15.1)": f"{_FIRST}.{_SECOND[:9]}?{_SECOND[9:]}.{_THIRD}",
    "an escaped dot (RFC 7515 7.1)": _GOOD.replace(".", "%2e", 1),
    "a dot of full width (RFC 7515 7.1)": _GOOD.replace(".", "\uff0e", 1),
    "a digit of full width (RFC 7515 2)": f"{_FIRST}.{_SECOND}.\uff11{_THIRD[1:]}",
    "a letter beyond ASCII (RFC 7515 2)": f"{_FIRST}.{_SECOND}\u00e9.{_THIRD}",
    "bits left over after the header (RFC 4648 3.5)": _spelt(_left_over(header_of(ES)), _SECOND),
    "bits left over after the payload (RFC 4648 3.5)": _spelt(_FIRST, _left_over(payload())),
    "bits left over after the signature (RFC 4648 3.5)": _next(_GOOD),
    "a length that base64 never has (RFC 4648 4)": f"{_FIRST}.{_SECOND}.AAAAA",
    "a JWE of five parts (RFC 7516 3.1; CVE-2023-51774)": ".".join(
        [b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), *(b64(bytes(size)) for size in (256, 12, 60, 16))]
    ),
    "a JWE around claims that nobody signed (CVE-2026-29000)": ".".join(
        [b64(b'{"alg":"dir","enc":"A256GCM","cty":"JWT"}'), "", b64(bytes(12)), _SECOND, b64(bytes(16))]
    ),
    "a JWE in three parts, soundly signed (CVE-2023-51774)": user({"enc": "A256GCM"}),
    "the JSON serialisation without a comma (RFC 7519 7.2)": json.dumps({"payload": _GOOD}),
    "zip, the payload deflated (RFC 8725 3.6; CVE-2024-33664)": compact(
        ES, header_of(ES, zip="DEF"), zlib.compress(payload().encode(), wbits=-15)
    ),
    "zip, the payload as it is (RFC 8725 3.6)": user({"zip": "DEF"}),
    "a token within a token (RFC 8725 2.3)": compact(ES, header_of(ES, cty="JWT"), _GOOD),
    "b64 false, the payload detached (RFC 7797 5.2; CVE-2026-48525)": _spelt(
        b64(header_of(ES, b64=False, crit=["b64"]).encode()), ""
    ),
}

_TWICE = {
    f"{name} twice, the {sound} one sound (RFC 8725 2.6; RFC 7519 4)": _saying(
        _with(member, payload()) if sound == "first" else f"{{{member}, {payload()[1:]}"
    )
    for name, member in {
        "exp": '"exp": 9999999999',
        "iss": f'"iss": "{MACHINES}"',
        "aud": '"aud": "reports"',
        "sub": '"sub": "root"',
        "exp, its name escaped,": '"\\u0065xp": 9999999999',
    }.items()
    for sound in ("first", "last")
} | {
    f"{name} twice in the header (RFC 7515 4)": _headed(_with(member, header_of(ES)))
    for name, member in {
        "alg": '"alg": "none"',
        "kid": '"kid": "foreign"',
        "typ": '"typ": "JWT"',
        "kid, the same both times,": f'"kid": "{ES.kid}"',
    }.items()
}

_PAYLOADS: dict[str, str | bytes] = {
    "a payload that is a list": "[]",
    "a payload that is a text": '"x"',
    "a payload that is a number": "1",
    "a payload that is null": "null",
    "a payload that is no JSON": "sub=root",
    "a payload with something after it": payload() + "{}",
    "a payload with a comma too many": payload()[:-1] + ",}",
    "a payload with a comment": payload() + "/**/",
    "a payload in UTF-16": payload().encode("utf-16"),
    "a payload after a byte order mark": b"\xef\xbb\xbf" + payload().encode(),
    "a payload with a byte of no UTF-8": _claiming(b'"x": "\xff"'),
    "a payload with an overlong slash": _claiming(b'"x": "\xc0\xaf"'),
    "a payload with half a pair in UTF-8": _claiming(b'"x": "\xed\xa0\x80"'),
    "a payload with a raw NUL": _claiming(b'"x": "\x00"'),
    "sub half a pair": payload(sub="\ud800"),
    "a name half a pair": _claiming('"\\uDFFF": 1'),
    "half a pair deep within": _claiming('"x": [{"y": "\\udc00"}]'),
    "NaN": _claiming('"x": NaN'),
    "Infinity": _claiming('"x": -Infinity'),
    "a number beyond a double": _claiming('"x": 1e999'),
    "an integer beyond 64 bits": _claiming(f'"x": {2**63}'),
    "an integer of 9,000 digits": _claiming(f'"x": {"9" * 9_000}'),
    "a member of a member twice": _claiming('"cnf": {"x5t#S256": "a", "x5t#S256": "b"}'),
    "exp NaN": payload().replace(_EXP, "NaN"),
    "exp Infinity": payload().replace(_EXP, "Infinity"),
    "exp with underscores": payload().replace(_EXP, "9_999_999_999"),
    "exp in Arabic digits": payload().replace(_EXP, "\u0661\u0668\u0660\u0660\u0660\u0660\u0660\u0666\u0660\u0660"),
    "exp in digits of full width": payload().replace(_EXP, "\uff11\uff18" + "\uff10" * 8),
    "exp with a zero before it": payload().replace(_EXP, f"0{_EXP}"),
    "exp with a sign before it": payload().replace(_EXP, f"+{_EXP}"),
    "exp in hexadecimal": payload().replace(_EXP, hex(NOW + 600)),
    "exp beyond a double": payload().replace(_EXP, "1e999"),
    "depth 17": payload(deep=_deep(16)),
    "depth 6,000": "[" * 6_000 + "]" * 6_000,
    "depth without end": '{"a":' * 2_000,
    "quotation marks without end": '"' + '\\"' * 5_000,
}

_JSON_HEADERS: dict[str, str | bytes] = {
    "a header that is a list": f"[{header_of(ES)}]",
    "a header that is a text": '"ES256"',
    "a header that is null": "null",
    "a header after a byte order mark": b"\xef\xbb\xbf" + header_of(ES).encode(),
    "a header of depth 17": header_of(ES, deep=_deep(16)),
    "a header of depth 6,000": "[" * 6_000 + "]" * 6_000,
    "kid half a pair": header_of(ES, kid="\ud800"),
}

_JSON = {f"{cause} (RFC 8725 2.6, 3.7; RFC 7493 2)": _saying(claims) for cause, claims in _PAYLOADS.items()} | {
    f"{cause} (RFC 8725 2.6, 3.7; RFC 7493 2)": _headed(header) for cause, header in _JSON_HEADERS.items()
}

_LARGE: dict[str, str] = {
    "16 KB and a byte (CVE-2025-61920)": "a" * (16 * 1024 + 1),
    "17 KB, soundly signed (CVE-2025-61920)": user(pad="x" * 12_500),
    "a header of 60 KB, soundly signed (CVE-2025-61920)": user({"pad": "x" * 45_000}),
    "a payload of 80 KB, soundly signed (CVE-2025-61920)": user(pad="x" * 60_000),
    "a signature of 100 KB (CVE-2025-61920)": f"{_FIRST}.{_SECOND}.{'A' * 100_000}",
    "8,000 members (security.md 2.1)": _saying(payload(**dict.fromkeys(map(str, range(8_000)), 0))),
}

_KEYS_IN_HEADERS: dict[str, str] = {
    "jwk, a stranger's own (CVE-2018-0114)": user({"jwk": FOREIGN.jwk(), "kid": FOREIGN.kid}, by=FOREIGN),
    "jwk, a stranger's own under a kid of the issuer (CVE-2018-0114)": user(
        {"jwk": FOREIGN.jwk(kid=ES.kid)} | {"kid": ES.kid}, by=FOREIGN
    ),
    "jwk, the issuer's own (RFC 8725 3.10)": user({"jwk": ES.jwk()}),
    "jwk, symmetric (CVE-2018-0114)": symmetric(ES, b"secret", jwk={"kty": "oct", "k": b64(b"secret")}),
    "jwk null (RFC 8725 3.10)": user({"jwk": None}),
    "jku, a stranger's (RFC 8725 2.9, 3.10)": user({"jku": "https://evil.example/jwks"}, by=FOREIGN),
    "jku, by the issuer's name (RFC 8725 2.9)": user({"jku": f"{USERS}@evil.example/jwks"}, by=FOREIGN),
    "x5u, a file (RFC 8725 2.9)": user({"x5u": "file:///etc/passwd"}),
    "x5c, a chain that nobody signed (RFC 8725 3.10)": user(
        {"x5c": [base64.b64encode(public(FOREIGN, Encoding.DER)).decode()]}, by=FOREIGN
    ),
}

_CRITICAL: dict[str, str] = {
    "crit with a name that nobody knows (CVE-2026-32597, CVE-2025-59420)": user({"crit": ["x"], "x": "require-mfa"}),
    "crit with a name that is absent (CVE-2026-35042)": user({"crit": ["absent"]}),
    "crit with a name that may not stand there (RFC 7515 4.1.11)": user({"crit": ["exp"]}),
    "crit empty (RFC 7515 4.1.11)": user({"crit": []}),
    "crit null (RFC 7515 4.1.11)": user({"crit": None}),
    "crit a text (RFC 7515 4.1.11)": user({"crit": "exp"}),
    "crit of itself (RFC 7515 4.1.11)": user({"crit": ["crit"]}),
    "b64 false and critical (RFC 7797 6; CVE-2026-48525)": user({"b64": False, "crit": ["b64"]}),
    "b64 false and not critical (RFC 7797 6)": user({"b64": False}),
}

_KIDS = {
    f"kid {name} (RFC 8725 2.9, 3.10)": user({"kid": kid})
    for name, kid in {
        "a path": "../../../../../../dev/null",
        "a path with a NUL": f"../../{ES.kid}\0.pem",
        "SQL": "x' UNION SELECT 'k'--",
        "SQL that is always true": "' OR '1'='1",
        "a command": f"{ES.kid}|/bin/id",
        "a command in backquotes": "`id`",
        "a template": "{{7*7}}",
        "a format": "%s%s%n",
        "LDAP": "*)(uid=*",
        "a pattern": "*",
        "a name of Python": "__class__",
        "a name of JavaScript": "__proto__",
        "with a NUL after it": f"{ES.kid}\0",
        "with a line end after it": f"{ES.kid}\r\nx: y",
        "with a blank after it": f"{ES.kid} ",
        "in another case": ES.kid.upper(),
        "in a letter that looks like its own": f"\u0435{ES.kid[1:]}",
        "of 10 KB": "k" * 10_240,
        "of 257 characters": "k" * 257,
        "empty": "",
        "null": None,
        "a number": 0,
        "true": True,
        "a list": [ES.kid],
        "an object": {"kid": ES.kid},
        "nobody's": "nobody",
        "missing, of several": ...,
        "of a key of another issuer": OF_MACHINES.kid,
    }.items()
}

_TYPES = {
    f"typ of {name}": user({"typ": typ})
    for name, typ in {
        "an ID token (RFC 8725 2.8)": "JWT",
        "an ID token, by a name of its own (RFC 8725 3.11)": "id-token+jwt",
        "a logout token (OpenID Connect Back-Channel Logout 1.0 2.4)": "logout+jwt",
        "a DPoP proof (RFC 9449 4.2)": "dpop+jwt",
        "a security event (RFC 8417 2.3)": "secevent+jwt",
        "an answer of introspection (RFC 9701 5)": "token-introspection+jwt",
        "a request object (RFC 9101 10.8)": "oauth-authz-req+jwt",
        "what begins like ours (RFC 8725 3.11)": "at+jwt+x",
        "what ends like ours (RFC 8725 3.11)": "xat+jwt",
        "ours with a parameter (RFC 7515 4.1.9)": "at+jwt; charset=utf-8",
        "ours with a blank (RFC 7515 4.1.9)": "at+jwt ",
        "ours under text (RFC 7515 4.1.9)": "text/at+jwt",
        "ours under application twice (RFC 7515 4.1.9)": "application/application/at+jwt",
        "nothing (RFC 9068 4)": ...,
        "null (RFC 9068 4)": None,
        "a list (RFC 9068 4)": ["at+jwt"],
    }.items()
} | {
    "cty JWT over claims (RFC 7519 5.2)": user({"cty": "JWT"}),
    "cty jwt, with application (RFC 7519 5.2)": user({"cty": "application/jwt"}),
    "cty of an access token (RFC 7519 5.2)": user({"cty": "application/at+jwt"}),
    "typ of another issuer's tokens (RFC 8725 3.12)": machine({"typ": "at+jwt"}),
    "cty a list (RFC 7515 4.1.10)": user({"cty": ["JWT"]}),
}

_ISSUERS = {
    f"iss {name}": user(iss=issuer)
    for name, issuer in {
        "a stranger's (RFC 8725 3.8)": "https://evil.example",
        "that begins like ours (CVE-2024-53861)": f"{USERS}.evil.example",
        "a part of ours (CVE-2024-53861)": USERS[:-1],
        "a part of ours from its middle (CVE-2024-53861)": "id.example",
        "that ends like ours (CVE-2024-53861)": f"https://evil.example/{USERS}",
        "with ours for a user (RFC 8725 3.8)": f"{USERS}@evil.example",
        "ours and a slash (RFC 7519 4.1.1)": f"{USERS}/",
        "ours and a port (RFC 7519 4.1.1)": f"{USERS}:443",
        "ours and a fragment (RFC 7519 4.1.1)": f"{USERS}#",
        "ours in upper case (RFC 7519 4.1.1)": USERS.upper(),
        "ours by http (RFC 7519 4.1.1)": USERS.replace("https", "http"),
        "ours and a NUL (RFC 7519 4.1.1)": f"{USERS}\0",
        "ours and a line end (RFC 7519 4.1.1)": f"{USERS}\n",
        "ours after a blank (RFC 7519 4.1.1)": f" {USERS}",
        "ours in letters that look like its own (RFC 7519 4.1.1)": USERS.replace("e", "\u0435"),
        "ours, escaped (RFC 7519 4.1.1)": USERS.replace(".", "%2e"),
        "a list with ours (CVE-2025-30144)": [USERS, "https://evil.example"],
        "a list of ours alone (CVE-2025-30144)": [USERS],
        "an object (RFC 7519 4.1.1)": {USERS: True},
        "empty (RFC 9068 4)": "",
        "null (RFC 9068 4)": None,
        "true (RFC 9068 4)": True,
        "missing (RFC 9068 4)": ...,
    }.items()
} | {"the member ISS for iss (RFC 7519 4)": user(iss=..., ISS=USERS)}

_VALUES: dict[str, dict[str, Any]] = {
    "exp": {
        "missing": ..., "null": None, "a text": _EXP, "a text with underscores": "9_999_999_999", "true": True,
        "a list": [NOW + 600], "an object": {"$numberLong": _EXP}, "negative": -1, "a huge double": 1e300,
        "in milliseconds": (NOW + 600) * 1000, "in the year 10000": 253_402_300_800,
        "at the end of 64 bits": 2**63 - 1,
    },
    "iat": {"missing": ..., "null": None, "a text": str(NOW), "true": True, "negative": -1},
    "nbf": {"null": None, "a text": "0", "false": False, "a list": [0], "a huge double": 1e300},
    "sub": {"missing": ..., "null": None, "a number": 1, "a list": ["u1"], "an object": {"id": "u1"}, "empty": ""},
    "aud": {
        "missing": ..., "null": None, "a number": 7, "true": True, "an object": {"ledger": 1},
        "a list within a list": [["ledger"]], "a list with a number": ["ledger", 7],
    },
    "jti": {"missing": ..., "a number": 1},
    "client_id": {"missing, as of an ID token,": ..., "a number": 1},
}  # fmt: skip

_CLAIMS = {
    f"{claim} {name} (RFC 8725 3.8; RFC 7519 4.1; RFC 9068 2.2)": user(**{claim: value})
    for claim, values in _VALUES.items()
    for name, value in values.items()
} | {
    "aud an empty list (CVE-2020-26160)": user(aud=[]),
    "aud an empty text (CVE-2020-26160)": user(aud=""),
    "aud a list of an empty text (CVE-2020-26160)": user(aud=[""]),
}

_EXPIRED: dict[str, str] = {
    "exp 0 (RFC 7519 4.1.4)": user(iat=0, exp=0),
    "exp of a year ago (RFC 7519 4.1.4)": user(iat=NOW - 31_536_600, exp=NOW - 31_536_000),
    "exp past by the whole leeway (RFC 7519 4.1.4)": user(exp=NOW - 30),
    "exp past by a fraction more than the leeway (RFC 7519 4.1.4)": user(exp=NOW - 29.5),
}

_NOT_YET: dict[str, str] = {
    "iat to come (RFC 7519 4.1.6)": user(iat=NOW + 31),
    "nbf to come (RFC 7519 4.1.5)": user(nbf=NOW + 31),
    "nbf to come by a fraction more than the leeway (RFC 7519 4.1.5)": user(nbf=NOW + 30.5),
}

_LONG: dict[str, str] = {
    "a life of a day and a second (security.md 2.1)": user(iat=NOW, exp=NOW + 86_401),
    "a life of thirty years (security.md 2.1)": user(exp=NOW + 946_080_000),
}

_UNPROVED = {
    f"cnf {name}": user(cnf=cnf)
    for name, cnf in {
        "of a certificate that nobody showed (RFC 8705 3.1)": {"x5t#S256": _BOUND},
        "with a member that nobody knows (RFC 7800 3.1)": {"x5t#S256": _BOUND, "x": 1},
        "with a key of its own (RFC 7800 3.2)": {"jwk": FOREIGN.jwk()},
        "with a kid (RFC 7800 3.4)": {"kid": ES.kid},
        "with a URL of keys (RFC 7800 3.5)": {"jku": "https://evil.example/jwks"},
        "empty (RFC 7800 3.1)": {},
        "null (RFC 7800 3.1)": None,
        "a list (RFC 7800 3.1)": [],
        "of a digest of SHA-1 (RFC 8705 3.1)": {"x5t": b64(bytes(20))},
        "of a certificate and of a DPoP key (RFC 7800 3.1)": {"x5t#S256": _BOUND, "jkt": _BOUND},
    }.items()
}

_TOKENS: dict[str, Mapping[str, str]] = {
    "token.algorithm": SYMMETRIC
    | ALGORITHMS
    | {
        "a path for a kid, signed with the empty file that it names (RFC 8725 2.9)": symmetric(
            ES, b"", kid="../../../../../../dev/null"
        )
    },
    "token.signature": SIGNATURES
    | {
        "the payload exchanged (RFC 8725 3.3)": f"{_FIRST}.{b64(payload(sub='root').encode())}.{_THIRD}",
        "the header exchanged (RFC 8725 3.3)": f"{b64(header_of(ES, x=1).encode())}.{_SECOND}.{_THIRD}",
        "the signature of another token (RFC 8725 3.3)": f"{_FIRST}.{_SECOND}.{user(sub='u2').rpartition('.')[2]}",
        "x5t, a stranger's certificate under a kid of the issuer (RFC 8725 3.10)": user(
            {"kid": ES.kid, "x5t": b64(bytes(20)), "x5t#S256": b64(bytes(32))}, by=FOREIGN
        ),
    },
    "token.malformed": _SPELLINGS | _TWICE | _JSON,
    "token.too_large": _LARGE,
    "token.critical": _CRITICAL,
    "token.embedded_key": _KEYS_IN_HEADERS,
    "token.type": _TYPES,
    "token.issuer": _ISSUERS,
    "token.key": _KIDS | {"iss of one issuer, kid and signature of another (RFC 8725 2.7)": user(by=OF_MACHINES)},
    "token.claims": _CLAIMS,
    "token.lifetime": _LONG,
    "token.expired": _EXPIRED,
    "token.not_yet": _NOT_YET,
    "token.unproved": _UNPROVED,
    "token.dpop": {"cnf of a DPoP key, without a proof (RFC 9449 6.1)": user(cnf={"jkt": _BOUND})},
}

_OF_MACHINES: dict[tuple[str, str], Mapping[str, str]] = {
    ("token", "token.lifetime"): {"neither iat nor nbf, where no profile asks (security.md 2.1)": machine(iat=...)},
    ("token", "token.session"): {
        "a fresh token of a login that is over (RFC 9470 1)": machine(auth_time=NOW - SESSION_MAX_S)
    },
    ("token", "token.claims"): {"no word of when the login was (RFC 9470 1)": machine(auth_time=...)},
    ("schema", "schema.claim_missing"): {"sub missing, where no profile asks (RFC 8725 3.8)": machine(sub=...)},
    ("audience", "audience.missing"): {
        "aud missing, where no profile asks (CVE-2025-69196)": machine(aud=...),
        "aud an empty list, where no profile asks (CVE-2020-26160)": machine(aud=[]),
    },
    ("audience", "audience.several"): {
        "aud of several services (RFC 8725 2.7; security.md 2.1)": machine(aud=["ledger", "reports"])
    },
    ("audience", "audience.mismatch"): {
        f"aud {name}": machine(aud=aud)
        for name, aud in {
            "an empty text, where no profile asks (CVE-2020-26160)": "",
            "of another service (RFC 8707 2; RFC 8725 3.9)": "ledger",
            "of another service in a list (RFC 8707 2; RFC 8725 3.9)": ["ledger"],
            "that begins like this service's (RFC 8725 3.9)": "reports2",
            "a part of this service's (GHSA-5h2m-4q8j-pqpj)": "report",
            "in upper case (RFC 8725 3.9)": "REPORTS",
            "with a blank (RFC 8725 3.9)": "reports ",
            "with a NUL (RFC 8725 3.9)": "reports\0",
            "of several services in one text (RFC 8725 3.9)": "ledger reports",
            "a pattern (RFC 8725 3.9)": "*",
        }.items()
    },
}

_REPEATED: dict[str, tuple[tuple[str, bytes], ...]] = {
    "Authorization twice (RFC 9110 5.3)": presented(f"Bearer {_GOOD}", f"Bearer {_GOOD}"),
    "Authorization twice, one empty (RFC 9110 5.3)": presented(f"Bearer {_GOOD}", ""),
    "Authorization twice, of two schemes (RFC 9110 5.3)": presented("Basic dTpw", f"Bearer {_GOOD}"),
    "two credentials and a comma (security.md 0.4)": presented(f"Bearer {_GOOD},Bearer {user(sub='root')}"),
    "a comma after (security.md 0.4)": presented(f"Bearer {_GOOD},"),
    "a parameter after (RFC 6750 2.1)": presented(f'Bearer {_GOOD}, realm="x"'),
    "the JSON serialisation, flattened (RFC 7519 7.2; CVE-2022-39227)": _bearer(
        json.dumps({"protected": _FIRST, "payload": _SECOND, "signature": _THIRD})
    ),
    "the JSON serialisation, general (RFC 7519 7.2)": _bearer(
        json.dumps({"payload": _SECOND, "signatures": [{"protected": _FIRST, "signature": _THIRD}]})
    ),
}

_MALFORMED: dict[str, tuple[tuple[str, bytes], ...]] = {
    "Bearer twice (RFC 6750 2.1)": presented(f"Bearer Bearer {_GOOD}"),
    "two tokens (RFC 6750 2.1)": presented(f"Bearer {_GOOD} {_GOOD}"),
    "two blanks (RFC 6750 2.1)": presented(f"Bearer  {_GOOD}"),
    "quotation marks (RFC 6750 2.1)": presented(f'Bearer "{_GOOD}"'),
    "an opaque token (RFC 6750 2.1)": presented("Bearer 2YotnFZFEjr1zCsicMWpAA"),
    "a byte of no UTF-8 after (security.md 0.4)": presented(f"Bearer {_GOOD}".encode() + b"\xff"),
}

_SCHEMES: dict[str, tuple[tuple[str, bytes], ...]] = {
    "Basic (RFC 7617 2)": presented("Basic dTpw"),
    "Basic before a token (RFC 7617 2)": presented(f"Basic {_GOOD}"),
    "DPoP before a bearer token (RFC 9449 7.1)": presented(f"DPoP {_GOOD}"),
    "the scheme token (RFC 9110 11.1)": presented(f"token {_GOOD}"),
    "the scheme Negotiate (RFC 4559 4)": presented(f"Negotiate {_GOOD}"),
    "no scheme (RFC 6750 2.1)": presented(_GOOD),
    "a colon after the scheme (RFC 6750 2.1)": presented(f"Bearer: {_GOOD}"),
    "a tab for the blank (RFC 6750 2.1)": presented(f"Bearer\t{_GOOD}"),
    "a blank of no break for the blank (RFC 6750 2.1)": presented(f"Bearer\u00a0{_GOOD}"),
    "a blank before the scheme (RFC 9110 5.5)": presented(f" Bearer {_GOOD}"),
    "a letter that looks like one of the scheme's (RFC 9110 11.1)": presented(f"B\u0435arer {_GOOD}"),
}

_PRESENTED: dict[tuple[str, str], Mapping[str, tuple[tuple[str, bytes], ...]]] = {
    ("token", "token.repeated"): _REPEATED,
    ("token", "token.malformed"): _MALFORMED,
    ("token", "token.scheme"): _SCHEMES,
    ("token", "token.empty"): {
        "Bearer and nothing (RFC 6750 2.1)": presented("Bearer"),
        "Bearer and a blank (RFC 6750 2.1)": presented("Bearer "),
        "an empty value (RFC 9110 11.6.2)": presented(""),
        "blanks alone (RFC 9110 11.6.2)": presented("  "),
    },
    ("token", "token.unproved"): {
        "a bound token, and a certificate that the client writes itself (RFC 8705 6.5; security.md 2.1)": presented(
            f"Bearer {user(cnf={'x5t#S256': _BOUND})}",
            x_forwarded_client_cert=f"Hash={bytes(range(32)).hex()}".encode(),
            x_ssl_client_cert=b"-----BEGIN CERTIFICATE-----",
        )
    },
    ("token", "token.too_large"): {"100 KB of blanks (CVE-2025-61920)": presented(f"Bearer {' ' * 100_000}")},
    ("path", "header.value"): {
        "a NUL after the token (RFC 9110 5.5)": presented(f"Bearer {_GOOD}\0"),
        "a line end after the token (RFC 9110 5.5)": presented(f"Bearer {_GOOD}\r\nx-user: root"),
    },
    ("path", "header.too_large"): {
        "headers of 200 KB (CVE-2025-61920)": presented(f"Bearer {'a' * 200_000}"),
        "100,000 members (security.md 2.1)": _bearer(_saying('{"":0' + ',"":0' * 99_999 + "}")),
    },
    ("default", "default.no_cell_rule"): {
        "a token in headers of other names (RFC 6750 2)": presented(
            x_access_token=_GOOD.encode(), x_forwarded_access_token=_GOOD.encode(), cookie=f"token={_GOOD}".encode()
        )
    },
}

ATTACKS: dict[str, Attack] = (
    {name: Attack(_bearer(token), reason) for reason, table in _TOKENS.items() for name, token in table.items()}
    | {
        name: Attack(_bearer(token), reason, by, REPORTS)
        for (by, reason), table in _OF_MACHINES.items()
        for name, token in table.items()
    }
    | {
        name: Attack(headers, reason, by)
        for (by, reason), table in _PRESENTED.items()
        for name, headers in table.items()
    }
)

CONTROLS: dict[str, Attack] = {
    "ES256": Attack(_bearer(_GOOD), "rule", "allow"),
    "EdDSA": Attack(_bearer(user(by=ED)), "rule", "allow"),
    "RS256": Attack(_bearer(machine()), "rule", "allow", REPORTS),
    "RS256, its padding made here": Attack(_bearer(control_of_the_padding()), "rule", "allow", REPORTS),
    "a scheme in lower case": Attack(presented(f"bearer {_GOOD}"), "rule", "allow"),
    "a scheme in upper case": Attack(presented(f"BEARER {_GOOD}"), "rule", "allow"),
    "typ in another case": Attack(_bearer(user({"typ": "application/AT+JWT"})), "rule", "allow"),
    "almost 16 KB": Attack(_bearer(user(pad="x" * 11_500)), "rule", "allow"),
    "depth 16": Attack(_bearer(user(deep=_deep(15))), "rule", "allow"),
    "within the leeway": Attack(_bearer(user(exp=NOW - 29, nbf=NOW + 30)), "rule", "allow"),
    "a life of a day": Attack(_bearer(user(iat=NOW, exp=NOW + 86_400)), "rule", "allow"),
}
"""What is allowed, up to where the attacks begin."""

LURES: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "jku, where a stranger's keys are": (
        "token.embedded_key",
        lambda url, _: user({"jku": url, "kid": FOREIGN.kid}, by=FOREIGN),
    ),
    "jku, a file": ("token.embedded_key", lambda _, path: user({"jku": f"file://{path}"}, by=FOREIGN)),
    "x5u, where a stranger's certificate is": ("token.embedded_key", lambda url, _: user({"x5u": url}, by=FOREIGN)),
    "x5u, a file": ("token.embedded_key", lambda _, path: user({"x5u": path}, by=FOREIGN)),
    "jwk with an x5u": ("token.embedded_key", lambda url, _: user({"jwk": FOREIGN.jwk(x5u=url)}, by=FOREIGN)),
    "kid, a URL": ("token.key", lambda url, _: user({"kid": url}, by=FOREIGN)),
    "kid, a file": ("token.key", lambda _, path: user({"kid": path}, by=FOREIGN)),
    "kid, a file by way of the root": ("token.key", lambda _, path: user({"kid": "../" * 20 + path[1:]}, by=FOREIGN)),
    "kid, a file by its URL": ("token.key", lambda _, path: user({"kid": f"file://{path}"}, by=FOREIGN)),
    "kid, a file that holds the secret": ("token.algorithm", lambda _, path: symmetric(ES, b"secret", kid=path)),
    "iss, a host that publishes keys": ("token.issuer", lambda url, _: user(iss=url, by=FOREIGN)),
    "iss, a file": ("token.issuer", lambda _, path: user(iss=f"file://{path}", by=FOREIGN)),
    "cnf, a URL of keys": ("token.unproved", lambda url, _: user(cnf={"jku": url, "kid": "x"})),
    "jwks_uri among the claims": ("token.key", lambda url, _: user({"kid": "new"}, jwks_uri=url, by=FOREIGN)),
    "jwks_uri in the header": ("token.key", lambda url, _: user({"kid": "new", "jwks_uri": url}, by=FOREIGN)),
    "$ref in the header": ("token.key", lambda url, _: user({"kid": "new", "$ref": url}, by=FOREIGN)),
}
"""Tokens that name a URL or a file, with the reason for which they are refused (RFC 8725 2.9, 3.10)."""

"""What the values of `pdp.toml` may look like: the forms that several of its tables use."""

from __future__ import annotations

import re

from pdp.toml_keys import Text

YEAR_S = 365 * 24 * 60 * 60

PRINTABLE = Text(re.compile(r"[!-~]+"), "a string of printable characters without spaces")
NAME = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*"), "a name of letters, digits, `.`, `_`, `/` and `-`")
METHOD = Text(re.compile(r"[A-Z][A-Z-]{0,31}"), "an HTTP method in upper case")
SPIFFE = Text(re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+"), "a SPIFFE id, `spiffe://domain/path`")
PUBLIC = Text(
    re.compile(r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*"),
    "an https URL in lower case, without query, fragment and `/` at its end",
)
FETCHED = Text(
    re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?"),
    "an https URL with its host in lower case, or an http URL of this host alone",
)
HOST = Text(re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"), "a host name in lower case")
NETWORK = Text(re.compile(r"[0-9a-f.:]+/[0-9]{1,3}"), "a network, `10.1.0.0/16`")
HEADER = Text(re.compile(r"[a-z0-9_-]+"), "a header name in lower case")
DIGEST = Text(re.compile(r"[0-9a-f]{64}"), "64 hex digits")
ORIGIN = Text(re.compile(r"[!-*,-~]+"), "a string of printable characters without spaces and `+`")

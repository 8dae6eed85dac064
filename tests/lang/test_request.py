"""A path is canonical or refused by its named reason; a query is read once or refused."""

from __future__ import annotations

import pytest

from policy_lang.request import MAX_PATH, Path, PathRefusal, QueryRefusal, canonical_path, decoded_path, parse_query

LONGEST = "a" * (MAX_PATH - 1)


def read(
    text: str,
    *segments: str,
    slash: bool = False,
    escaped: frozenset[int] = frozenset(),
    query: str | None = None,
    slashed: frozenset[int] = frozenset(),
) -> Path:
    return Path(text, segments, slash, escaped, query, slashed)


DECODED: dict[str, str] = {
    "/": "/",
    "/a%20b/": "/a b/",
    "/a%2fb/c": "/a%2Fb/c",
    "/caf%C3%A9%3a?x=%2F": "/café:",
}


@pytest.mark.parametrize("raw", DECODED)
def test_the_path_a_policy_reads(raw: str) -> None:
    path = canonical_path(raw)
    assert isinstance(path, Path)
    assert decoded_path(path) == DECODED[raw]


CANONICAL: dict[str, tuple[str, Path]] = {
    "the root has no segments and no trailing slash": ("/", read("/")),
    "one segment": ("/a", read("/a", "a")),
    "a trailing slash is kept": ("/a/", read("/a/", "a", slash=True)),
    "every raw character": ("/aZ9-._~!$&'()*+,=:@", read("/aZ9-._~!$&'()*+,=:@", "aZ9-._~!$&'()*+,=:@")),
    "dots beside other characters": ("/.../.a/a.", read("/.../.a/a.", "...", ".a", "a.")),
    "a plus is a plus": ("/a+b", read("/a+b", "a+b")),
    "UTF-8, escapes decoded together": ("/%C3%A9", read("/%C3%A9", "é")),
    "hex digits fold": ("/caf%c3%a9", read("/caf%C3%A9", "café")),
    "four bytes": ("/%F0%9F%98%80", read("/%F0%9F%98%80", "😀")),
    "a space within": ("/a%20b", read("/a%20b", "a b")),
    "an escape that was not needed is marked": ("/a/b%3ac", read("/a/b%3Ac", "a", "b:c", escaped=frozenset({1}))),
    "an escape that was needed is not": ("/%5B", read("/%5B", "[")),
    "an escaped slash is noted": ("/a%2Fb/c", read("/a%2Fb/c", "a/b", "c", slashed=frozenset({0}))),
    "escaped slashes in lower case": (
        "/x/a%2fb%2fc/",
        read("/x/a%2Fb%2Fc/", "x", "a/b/c", slash=True, slashed=frozenset({1})),
    ),
    "an escape beside an escaped slash": (
        "/%C3%A9%2f%3a",
        read("/%C3%A9%2F%3A", "é/:", escaped=frozenset({0}), slashed=frozenset({0})),
    ),
    "the query is cut off, raw": ("/a?b=%zz;", read("/a", "a", query="b=%zz;")),
    "at the first question mark": ("/a?b?c", read("/a", "a", query="b?c")),
    "an empty query is one": ("/a?", read("/a", "a", query="")),
    "slashes in a query are data": ("/a?//../", read("/a", "a", query="//../")),
    "the longest path": (f"/{LONGEST}", read(f"/{LONGEST}", LONGEST)),
}


@pytest.mark.parametrize("case", CANONICAL)
def test_canonical(case: str) -> None:
    raw, want = CANONICAL[case]
    assert canonical_path(raw) == want


REFUSED: dict[str, tuple[str | None, str]] = {
    "none": (None, "path.missing"),
    "empty": ("", "path.missing"),
    "only a query": ("?a=b", "path.not_absolute"),
    "asterisk form": ("*", "path.not_absolute"),
    "absolute form": ("http://s.example/a", "path.not_absolute"),
    "authority form": ("s.example:443", "path.not_absolute"),
    "no slash in front": ("a/b", "path.not_absolute"),
    "a space in front": (" /a", "path.not_absolute"),
    "a leading double slash is no authority": ("//evil.example/a", "path.empty_segment"),
    "two slashes within": ("/a//b", "path.empty_segment"),
    "two slashes at the end": ("/a//", "path.empty_segment"),
    "two slashes alone": ("//", "path.empty_segment"),
    "dot": ("/./a", "path.dot_segment"),
    "dot at the end": ("/a/.", "path.dot_segment"),
    "dot dot": ("/a/../b", "path.dot_segment"),
    "dot dot at the end": ("/a/..", "path.dot_segment"),
    "dot dot before a trailing slash": ("/a/../", "path.dot_segment"),
    "escaped dots": ("/a/%2e%2e/b", "path.encoded_unreserved"),
    "one escaped dot of two": ("/a/.%2E/b", "path.encoded_unreserved"),
    "nothing before an escaped slash": ("/%2Fb", "path.empty_segment"),
    "nothing after an escaped slash": ("/a%2F", "path.empty_segment"),
    "nothing between escaped slashes": ("/a%2F%2fb", "path.empty_segment"),
    "dot dot before an escaped slash": ("/..%2Fb", "path.dot_segment"),
    "dot dot between escaped slashes": ("/a%2F..%2Fb", "path.dot_segment"),
    "a dot after an escaped slash": ("/a%2f.", "path.dot_segment"),
    "escaped dots before an escaped slash": ("/%2e%2e%2fb", "path.encoded_unreserved"),
    "a space before an escaped slash": ("/a%20%2Fb", "path.space"),
    "half a character before an escaped slash": ("/%C3%2Fb", "path.not_utf8"),
    "a percent before an escaped slash": ("/%%2Fb", "path.bad_escape"),
    "backslash": ("/a\\b", "path.backslash"),
    "escaped backslash": ("/a%5Cb", "path.backslash"),
    "double encoding": ("/a%252Fb", "path.encoded_percent"),
    "escaped percent": ("/100%25", "path.encoded_percent"),
    "path parameters": ("/a;v=1/b", "path.semicolon"),
    "dot dot with parameters": ("/a/..;/b", "path.semicolon"),
    "escaped semicolon": ("/a%3Bb", "path.semicolon"),
    "fragment": ("/a#b", "path.fragment"),
    "fragment after the query": ("/a?b#c", "path.fragment"),
    "escaped fragment": ("/a%23b", "path.fragment"),
    "escaped question mark": ("/a%3Fb", "path.encoded_question"),
    "NUL": ("/a\0b", "path.control"),
    "escaped NUL": ("/a%00b", "path.control"),
    "line feed": ("/a\nb", "path.control"),
    "escaped carriage return": ("/a%0Db", "path.control"),
    "tab": ("/a\tb", "path.control"),
    "DEL": ("/a\x7fb", "path.control"),
    "escaped DEL": ("/a%7Fb", "path.control"),
    "C1": ("/a\x85b", "path.control"),
    "escaped C1": ("/a%C2%85b", "path.control"),
    "raw space": ("/a b", "path.space"),
    "escaped space in front": ("/%20a", "path.space"),
    "escaped space at the end": ("/a%20", "path.space"),
    "escaped space alone": ("/%20", "path.space"),
    "escaped space at the end of a first segment": ("/a%20/b", "path.space"),
    "escaped space in a run at the end": ("/a%C3%A9%20", "path.space"),
    "escaped letter": ("/%61dmin", "path.encoded_unreserved"),
    "escaped digit": ("/%31", "path.encoded_unreserved"),
    "escaped tilde": ("/%7E", "path.encoded_unreserved"),
    "escaped underscore": ("/a%5Fb", "path.encoded_unreserved"),
    "percent u": ("/a%u002fb", "path.bad_escape"),
    "percent alone": ("/a%", "path.bad_escape"),
    "one digit": ("/a%2", "path.bad_escape"),
    "no digits": ("/a%zz", "path.bad_escape"),
    "a percent between escapes": ("/%C3%%A9", "path.not_utf8"),
    "full-width digits": ("/%\uff12\uff10", "path.bad_escape"),
    "overlong slash": ("/a%C0%AFb", "path.not_utf8"),
    "overlong in three bytes": ("/%E0%80%AF", "path.not_utf8"),
    "surrogates": ("/%ED%A0%80", "path.not_utf8"),
    "cut short": ("/%C3", "path.not_utf8"),
    "cut by a raw character": ("/%C3a%A9", "path.not_utf8"),
    "a continuation alone": ("/%A9", "path.not_utf8"),
    "Latin-1": ("/caf%E9", "path.not_utf8"),
    "beyond Unicode": ("/%F4%90%80%80", "path.not_utf8"),
    "raw letters outside ASCII": ("/é", "path.character"),
    "raw full-width slash": ("/a\uff0fb", "path.character"),
    "raw lone surrogate": ("/\udcff", "path.character"),
    "full-width slash": ("/a%EF%BC%8Fb", "path.compatibility"),
    "division slash": ("/a%E2%88%95b", "path.compatibility"),
    "full-width backslash": ("/a%EF%BC%BCb", "path.compatibility"),
    "two dot leader": ("/a/%E2%80%A5/b", "path.compatibility"),
    "full-width dots": ("/a/%EF%BC%8E%EF%BC%8E/b", "path.compatibility"),
    "a dot and a full-width one": ("/a/.%EF%BC%8E/b", "path.compatibility"),
    "full-width semicolon": ("/a%EF%BC%9Bb", "path.compatibility"),
    "full-width percent sign": ("/a%EF%BC%85b", "path.compatibility"),
    "full-width question mark": ("/a%EF%BC%9Fb", "path.compatibility"),
    "a blank that does not break, at the end": ("/a%C2%A0", "path.compatibility"),
    "a fraction slash": ("/..%E2%81%84b", "path.compatibility"),
    "a yen sign, a backslash in Japan": ("/a%C2%A5b", "path.compatibility"),
    "an Arabic percent sign": ("/a%D9%AA2fb", "path.compatibility"),
    "dots between which something does not show": ("/a/.%E2%80%8B./b", "path.compatibility"),
    "dots behind which something does not show": ("/a/..%C2%AD/b", "path.compatibility"),
    "nothing that shows": ("/a/%E2%80%8B/b", "path.compatibility"),
    "ideographic dots": ("/a/%E3%80%82%E3%80%82/b", "path.compatibility"),
    "a long segment beyond ASCII": ("/" + "%C3%A9" * 513, "path.too_long"),
    "quote": ('/a"b', "path.character"),
    "angle bracket": ("/<a>", "path.character"),
    "brace": ("/{a}", "path.character"),
    "bracket": ("/[a]", "path.character"),
    "bar": ("/a|b", "path.character"),
    "caret": ("/a^b", "path.character"),
    "grave accent": ("/a`b", "path.character"),
    "too long": ("/" + "a" * MAX_PATH, "path.too_long"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    raw, reason = REFUSED[case]
    assert canonical_path(raw) == PathRefusal(reason)


def test_a_long_query_makes_no_long_path() -> None:
    assert isinstance(canonical_path("/a?" + "b" * 4 * MAX_PATH), Path)


def test_the_first_offence_decides() -> None:
    assert canonical_path("/a;b/%2F/..") == PathRefusal("path.semicolon")
    assert canonical_path("/%2F;") == PathRefusal("path.empty_segment")


QUERIES: dict[str, tuple[str | None, tuple[tuple[str, str], ...]]] = {
    "none": (None, ()),
    "empty": ("", ()),
    "one": ("a=1", (("a", "1"),)),
    "order and repeats are kept": ("a=1&b=2&a=3", (("a", "1"), ("b", "2"), ("a", "3"))),
    "no equals sign": ("a", (("a", ""),)),
    "no value": ("a=", (("a", ""),)),
    "no name": ("=a", (("", "a"),)),
    "only the first equals sign splits": ("a=b=c", (("a", "b=c"),)),
    "empty pieces": ("&&a=1&", (("a", "1"),)),
    "a plus is a space": ("a+b=+c", (("a b", " c"),)),
    "an escaped plus is a plus": ("a=%2B", (("a", "+"),)),
    "escaped separators are data": ("a=%26%3D%3B", (("a", "&=;"),)),
    "decoded once": ("a=%2541", (("a", "%41"),)),
    "names are decoded": ("%61=1", (("a", "1"),)),
    "UTF-8": ("a=%C3%a9", (("a", "é"),)),
    "slashes and question marks": ("a=/b?c", (("a", "/b?c"),)),
    "marks that URLs ought not to hold": ('a=|"<>{}[]^`\\', (("a", '|"<>{}[]^`\\'),)),
}


@pytest.mark.parametrize("case", QUERIES)
def test_query(case: str) -> None:
    raw, want = QUERIES[case]
    assert parse_query(raw) == want


REFUSED_QUERIES: dict[str, tuple[str, str]] = {
    "semicolon": ("a=1;b=2", "schema.query_semicolon"),
    "semicolon in a name": ("a;b", "schema.query_semicolon"),
    "NUL": ("a=%00", "schema.query_control"),
    "line feed in a name": ("a%0A=1", "schema.query_control"),
    "raw tab": ("a=\t", "schema.query_control"),
    "raw DEL": ("a=\x7f", "schema.query_control"),
    "escaped C1": ("a=%C2%85", "schema.query_control"),
    "raw C1": ("a=\x9b", "schema.query_control"),
    "not UTF-8": ("a=%FF", "schema.query_encoding"),
    "overlong": ("a=%C0%80", "schema.query_encoding"),
    "an escape cut by a separator": ("a=%C3&%A9=1", "schema.query_encoding"),
    "bad escape": ("a=%zz", "schema.query_encoding"),
    "percent u": ("a=%u0041", "schema.query_encoding"),
    "percent at the end": ("a=%", "schema.query_encoding"),
    "raw space": ("a=b c", "schema.query_encoding"),
    "raw letters outside ASCII": ("a=é", "schema.query_encoding"),
    "raw lone surrogate": ("a=\udcff", "schema.query_encoding"),
    "after a good parameter": ("a=1&b=%FF", "schema.query_encoding"),
}


@pytest.mark.parametrize("case", REFUSED_QUERIES)
def test_refused_query(case: str) -> None:
    raw, reason = REFUSED_QUERIES[case]
    assert parse_query(raw) == QueryRefusal(reason)

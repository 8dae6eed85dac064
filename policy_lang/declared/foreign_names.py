"""Hints for names that other languages have and this one does not: `null`, `principal.sub`, `startswith(…)`, `number`.

A name that means nothing here goes in, with what stands beside it; one line that says what to write instead comes out,
or nothing. Hints decide nothing: whoever asks has found that nobody declares the name.
Source: language.md 2.1 (Roots), 4.1, 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy_lang import tree
from policy_lang.declared.walking import dotted
from policy_lang.syntax.slip_rows import snake_case

NULLS = frozenset(("null", "none", "nil", "undefined", "missing", "nothing"))
"""What stands for no value elsewhere."""

_CALLERS = frozenset(
    ("user", "principal", "jwt", "claims", "claim", "caller", "identity", "auth", "me", "self", "actor")
)
_INPUTS = ("input", "request", "req", "ctx", "context", "attributes", "http", "this")
_HEADERS = frozenset(("header", "headers"))
_QUERIES = frozenset(("query", "args", "params", "query_params", "parsed_query", "querystring"))
_CAPTURES = frozenset(("path_params", "captures", "vars", "uri_params"))
_ATTRIBUTES = {
    "remote_addr": "ip",
    "client_ip": "ip",
    "source_ip": "ip",
    "url": "path",
    "uri": "path",
    "verb": "method",
}
_WHO = "who calls is asked by what the token says, `token.sub`, or by its kind, `token is KIND`"
_OF_A_CLOCK = "there is no time of day, no day of the week and no zone: compare instants, or ask a signal"
_PREFIX = frozenset(("startswith", "starts_with", "has_prefix", "hasprefix", "begins_with"))
_SUFFIX = frozenset(("endswith", "ends_with", "has_suffix", "hassuffix"))
_WITHIN = frozenset(("contains", "includes", "indexof", "strpos", "member", "in_array"))
_PRESENT = frozenset(("exists", "has", "defined", "is_defined", "present", "isset", "is_set", "not_null"))
_NO_FUNCTIONS = "there are no functions"
_FUNCTIONS = {
    **dict.fromkeys(
        ("lower", "upper", "tolower", "toupper", "lowercase", "uppercase", "trim", "casefold"),
        "texts are compared as they are: compare with each spelling, joined by `or`",
    ),
    **dict.fromkeys(
        ("len", "length", "count", "size", "cardinality"),
        "nothing is counted; `x is empty` asks of a set whether it has members",
    ),
    **dict.fromkeys(
        ("any", "all", "some", "every", "forall", "exists_in", "filter", "map"),
        'ask `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
    ),
    **dict.fromkeys(
        ("regex", "match", "matches", "re_match", "regexp", "regex_match", "glob", "rlike"),
        'a text is asked by `like "prefix*"`',
    ),
    **dict.fromkeys(("now", "today", "current_timestamp", "utcnow", "time_now"), "the instant of the call is `now`"),
    **dict.fromkeys(("date", "datetime", "timestamp", "parse_time"), "a date is written `2026-01-31`"),
    **dict.fromkeys(("ip", "cidr", "cidr_contains", "net", "ip_in_range"), "write `request.ip in 10.0.0.0/8`"),
    **dict.fromkeys(("split", "join", "concat", "replace", "substring", "substr", "int", "str", "format"), ""),
    **dict.fromkeys(("has_role", "hasrole", "is_in_role", "in_role"), "a role is asked by `role NAME`"),
}
_TYPES = {
    **dict.fromkeys(("number", "integer", "long", "bigint", "num"), "write `int`"),
    **dict.fromkeys(
        ("float", "double", "decimal", "real"), "there are no fractions: write `int`, and count in a smaller unit"
    ),
    **dict.fromkeys(("date", "datetime", "timestamp", "instant"), "write `time`"),
    **dict.fromkeys(("text", "str", "varchar", "char", "email", "url", "uri"), "write `string`"),
    **dict.fromkeys(("boolean", "logical", "flag"), "write `bool`"),
    **dict.fromkeys(("list", "array", "strings", "vector", "seq", "tuple"), "write `set of string`"),
    **dict.fromkeys(("guid", "id"), "write `uuid`, or `string`"),
    **dict.fromkeys(("ipaddr", "inet", "address", "ipaddress"), "write `ip`"),
    **dict.fromkeys(
        ("map", "object", "dict", "json", "record", "struct", "any"),
        'declare what is read of it, each on its own: `claim city: string from "address" "city"`',
    ),
}


def type_hint(word: str) -> str:
    """What to write for the type `word`, which nobody declares."""
    return _TYPES.get(word, "")


def absence_hints(root: tree.Expr) -> Iterator[tuple[tree.NodeId, str]]:
    """What to write for each `null` that is compared in `root`, by its node; not for one within another part."""
    if not isinstance(root, tree.Compare) or root.op not in {"==", "!="}:
        return
    for nothing, asked in ((root.left, root.right), (root.right, root.left)):
        if isinstance(nothing, tree.Ref) and not nothing.parts and nothing.root.text in NULLS:
            yield nothing.id, presence(asked, there=root.op == "!=")


def presence(asked: tree.Expr, *, there: bool) -> str:
    """How one asks whether the input `asked` is there, or is not."""
    word = "" if there else "not "
    if isinstance(asked, tree.Ref) and len(asked.parts) == 1:
        return f"there is no `null`: write `{word}{asked.root.text} has {asked.parts[0].text}`"
    return f"there is no `null`: whether an input is there is asked by `has`, as in `{word}token has email`"


def name_hint(name: str) -> str:
    """What to write for the plain name `name`."""
    if name in NULLS:
        return "there is no `null`: whether an input is there is asked by `has`, as in `token has email`"
    if name in _CALLERS:
        return _WHO
    if name in {"hour", "weekday", "day", "minute", "month", "year"}:
        return _OF_A_CLOCK
    if name in {"action", "method", "verb"}:
        return 'which calls are meant is said by `on`; a method is asked by `request.method == "GET"`'
    return f"write `request.{_ATTRIBUTES[name]}`" if name in _ATTRIBUTES else ""


def attribute_hint(steps: tuple[str, ...], roots: Mapping[str, frozenset[str]]) -> str:
    """What to write for the reference of these `steps`, say `request.headers.x`; `roots`: what may be read of each."""
    root, *rest = steps
    if root == "now" and rest:
        return _OF_A_CLOCK
    inner = list(steps)
    while len(inner) > 2 and inner[0] in _INPUTS:
        inner = inner[1:]
    *outer, last = inner
    before = outer[-1] if outer else ""
    if before in _HEADERS:
        return _declared("header", last, roots)
    if before in _QUERIES:
        return _declared("path" if before == "params" and last in roots["path"] else "query", last, roots)
    if before in _CAPTURES:
        return _declared("path", last, roots)
    if outer and last in _ATTRIBUTES:
        return f"write `request.{_ATTRIBUTES[last]}`"
    if root == "request" and len(steps) == 2:
        return _WHO if last in _CALLERS else ""
    if root == "token" and len(rest) > 1 and rest[-2] not in _CALLERS:
        way = " ".join(f'"{step}"' for step in rest)
        return f"write `token.{last}`, and declare it: `claim {last}: TYPE from {way}`"
    if not outer or not (_CALLERS.union(_INPUTS, ("token",)) - {"request"}).intersection(outer):
        return ""
    return _of_caller(root, last, roots)


def _of_caller(root: str, last: str, roots: Mapping[str, frozenset[str]]) -> str:
    if last in roots["request"] and root in _INPUTS:
        return f"write `request.{last}`"
    if root == "context" and last not in roots["token"]:
        return "what comes with a call besides token, path, query and headers is declared as a `signal`"
    if last in {"role", "roles", "groups"} and last not in roots["token"]:
        return "a role is asked by `role NAME`"
    return _declared("token", last, roots)


def _declared(root: str, name: str, roots: Mapping[str, frozenset[str]]) -> str:
    """`root.name`, and how it is declared where nobody does."""
    known = snake_case(name)
    if known in roots[root]:
        return f"write `{root}.{known}`"
    how = {
        "token": f"declare it: `claim {known}: TYPE`",
        "header": f'declare it: `header {known}: TYPE optional from "{name}"`',
        "query": f"declare it: `query {known}: TYPE optional`",
        "path": f"capture it: `/…/{{{known}}}`",
    }
    return f"write `{root}.{known}`, and {how[root]}"


def declaration_hint(root: str, name: str) -> str:
    """How what may be read of `root` by `name` is declared."""
    return {
        "token": f"declare it: `claim {name}: TYPE`, where the token says so",
        "header": f"declare it at the endpoint or its service: `header {name}: TYPE optional`",
        "query": f"declare it at the endpoint: `query {name}: TYPE optional`",
    }.get(root, "")


def call_hint(call: tree.Call) -> str:
    """What to write for the call of a name that is neither condition nor relation."""
    name = call.name.text
    first = call.arguments[0] if call.arguments else None
    asked = written(first) or "x"
    if name in _PRESENT and isinstance(first, tree.Ref):
        return presence(first, there=True).partition(": ")[2]
    text = next((each.value for each in call.arguments if isinstance(each, tree.StringLit)), None)
    if name in _PREFIX:
        return f'{_NO_FUNCTIONS}: write `{asked} like "{text or "prefix"}*"`'
    if name in _SUFFIX:
        return f'{_NO_FUNCTIONS}: write `{asked} like "*{text or "suffix"}"`'
    if name in _WITHIN:
        return f'{_NO_FUNCTIONS}: write `"{text or "x"}" in {asked}`, of a string `{asked} like "*{text or "x"}*"`'
    if name in _FUNCTIONS:
        return f"{_NO_FUNCTIONS}{': ' if _FUNCTIONS[name] else ''}{_FUNCTIONS[name]}"
    return ""


def written(expr: tree.Expr | None) -> str:
    """An input as written; nothing of any other expression."""
    return dotted(expr) if isinstance(expr, tree.Ref) else ""

"""Slips in rules: who, on what, with which clauses.

A table for `policy_lang/syntax/slip_rows.py`; the first row that fits is told, so the narrow ones stand first.
"""

from __future__ import annotations

from policy_lang.syntax.slip_rows import METHODS, NAME, Row, row

_EFFECT = r"\b(?:allow|deny|require)"
_CLAUSE = "BECAUSE"
_NO_BRACES = "a rule has no braces"
_BY_METHOD = "calls are named by service, method and path"
_IS_A_ROLE = "a role has its kind"

_HEADS = (
    row(_EFFECT, r"\{", _NO_BRACES, 'write `allow NAME for … on … when … because "…"`'),
    row(rf"{_EFFECT}\s+(?:if|when)", r"\{", _NO_BRACES, 'write `allow NAME for … on … when … because "…"`'),
    row(rf"{_EFFECT}(?:\s+{NAME})?", r"\{", _NO_BRACES, "delete them: each clause starts with its own word"),
    row(
        _EFFECT,
        r"(?:for|on|when|unless|if|because)\b",
        "a rule has a name",
        "write one before its clauses, such as `admins_read`",
    ),
    row(_EFFECT, r"=", "a rule is no value", 'write `allow NAME for … on … when … because "…"`', "NAME"),
    row(
        rf"{_EFFECT}\s+{NAME}\s*\(?",
        r"\(",
        "a rule takes no arguments",
        "say whom it is for by `for`, and on what by `on`",
        _CLAUSE,
    ),
)
_SUBJECTS = (
    row(
        rf"\bfor\s+any\s+{NAME}",
        rf"(?:and|with|in|has|having|&)\s*(?:the\s+)?role\s+\"?(?P<role>{NAME})\"?",
        _IS_A_ROLE,
        "write `for role {role:snake}`",
    ),
    row(
        rf"\bfor\s+(?P<first>any\s+{NAME}|role\s+{NAME})",
        rf"or\s+(?P<rest>(?:role|any|workload)\s+{NAME})",
        "callers of two kinds are parted by a comma",
        "write `for {first}, {rest}`",
    ),
    row(
        rf"\bfor\s+role\s+(?P<one>{NAME})",
        rf"and\s+(?:role\s+)?(?P<other>{NAME})",
        "`for` lists those of whom one is enough",
        "for both, write `for role {one}` and `when role {other}`",
    ),
    row(
        r"\bfor\s+role", r"[\[({](?P<names>[^\])}\n]*)[\])}]", "roles are joined by `or`", "write `role {names:names}`"
    ),
    row(r"\bfor", rf"roles\s+(?P<name>{NAME})", "each role is said by `role`", "write `for role {name}`"),
    row(r"\bfor\s+any", rf"role\s+(?P<name>{NAME})", _IS_A_ROLE, "write `for role {name}`"),
    row(
        r"\bfor\s+any", rf"(?:token|subject)\s+(?P<name>{NAME})", "a kind stands behind `any`", "write `for any {name}`"
    ),
    row(r"\bfor", rf"(?:token|subject)\s+(?P<name>{NAME})", "a kind stands behind `any`", "write `for any {name}`"),
    row(
        r"\bfor\s+any", r"(?:on|when|because)\b", "`any` has a kind behind it", "write `for any KIND`, or `for anyone`"
    ),
    row(r"\bfor", r"\*", "`*` is no subject", "write `for anyone`, or `for any KIND`"),
    row(
        r"\bfor",
        rf"(?:all|every|each)\s+(?!on\b)(?P<name>{NAME})",
        "`any` stands for every caller of a kind",
        "write `for any KIND`, or `for anyone`",
    ),
    row(r"\bfor\b[^\n]*,", r"on\b", "a comma has another subject behind it", "delete the comma"),
)
_TARGETS = (
    row(
        r"\bon",
        rf"(?P<method>{METHODS})\s+[a-z]+://[^/\s]*(?P<path>/\S*)?",
        _BY_METHOD,
        "write `on SERVICE {method} {path}`; the host is the service's",
    ),
    row(r"\bon", rf"(?P<method>{METHODS})\s+\"?(?P<path>/[^\s\"]*)", _BY_METHOD, "write `on SERVICE {method} {path}`"),
    row(
        r"\bon",
        r"\"?(?P<path>/(?![/*])[^\s\"]*)",
        _BY_METHOD,
        "write `on SERVICE METHOD {path}`, `ANY` for every method",
    ),
    row(r"\bon", r"\*", "`*` is no target", "write `on any endpoint`, or `on SERVICE`"),
    row(
        r"\bon\s+any",
        r"(?!endpoint)",
        "`any` has `endpoint` behind it",
        "write `on any endpoint`",
        "ENDPOINT",
        lacks=True,
    ),
    row(
        rf"\bon\s+(?P<service>{NAME})\s*\.",
        r"\*",
        "a service's name alone stands for all its endpoints",
        "write `on {service}`",
    ),
    row(
        rf"\bon\s+(?P<service>{NAME})\s*[.:]?",
        rf"[:.]?\s*(?P<method>{METHODS})\s+\"?(?P<path>/[^\s\"]*)\"?",
        "method and path stand behind the service, bare",
        "write `on {service} {method} {path}`",
        "NAME VBAR COMMA",
    ),
    row(
        rf"\bon\s+(?P<service>{NAME})",
        r"\*\s*(?P<path>/\S*)",
        "`ANY` stands for every method",
        "write `on {service} ANY {path}`",
    ),
    row(
        rf"\bon\s+(?P<service>{NAME})",
        r"\"?(?P<path>/(?![/*])[^\s\"]*)",
        "a path has its methods before it",
        "write `on {service} METHOD {path}`, `ANY` for every method",
        "METHOD",
    ),
    row(
        r"\bon",
        rf"endpoint\s+(?:(?P<service>{NAME})\s*\.\s*)(?P<name>{NAME})",
        "an endpoint is named with its service",
        "write `on {service}.{name}`",
    ),
    row(r"\bon", rf"endpoint\s+(?P<name>{NAME})", "an endpoint is named with its service", "write `on SERVICE.{name}`"),
    row(r"\bon", rf"service\s+(?P<name>{NAME})", "a service is named alone", "write `on {name}`"),
    row(
        rf"\b(?P<names>(?:{METHODS})(?:\s*\|\s*(?:{METHODS}))*)",
        rf",\s*(?P<more>(?:{METHODS})\b)",
        "methods are parted by `|`",
        "write `{names} | {more}`",
    ),
    row(
        rf"\bon\s+(?P<service>{NAME})\s+(?P<methods>(?:{METHODS})(?:\s*\|\s*(?:{METHODS}))*)",
        r"(?:for|when|unless|because|needs|must|should|until)\b|,",
        "methods have a path behind them",
        "write `on {service} {methods} /**`, or the path that is meant",
        "PATH",
        lacks=True,
    ),
)
_CLAUSES = (
    row(
        rf"\bfactor\s+(?P<name>{NAME})\s*(?:<|<=)\s*(?P<time>\d\w*)",
        r"",
        "how long ago a factor may have been proved is said by `within`",
        "write `factor {name} within {time}`",
        "ELSE",
        lacks=True,
    ),
    row(
        rf"\bneeds\s+(?P<name>{NAME})",
        r"(?!else|and|or|[=!<>+.(-])",
        "what a caller can be asked to do is a factor, or has a challenge",
        'write `needs factor {name}`; behind a condition write `else challenge "…"`',
        "ELSE",
        lacks=True,
    ),
    row(
        r"",
        r"(?:for|on|when|unless|until|needs|must|should|because|allow|deny|require|test)\b|\Z",
        "a condition behind `needs` says how the caller can meet it",
        'write `else challenge "…"` behind it, or `needs factor NAME`',
        "ELSE",
        lacks=True,
    ),
    row(
        r"\b(?:require|must|should|with)",
        rf"factor\s+(?P<name>{NAME})",
        "a factor is asked for by `needs`",
        "write `needs factor {name}`",
    ),
    row(
        "",
        rf"factor\s+(?P<name>{NAME})",
        "a factor is asked for by `needs`",
        "write `needs factor {name}` in a `require`, or `when factor {name}`",
        _CLAUSE,
    ),
    row(
        r"\bwithin",
        r"(?P<number>\d+)\b",
        "a duration says its unit",
        "write `{number}s`, or `m`, `h`, `d` for the unit",
        "DURATION",
    ),
    row(
        r"\buntil",
        rf"{NAME}",
        "the date of an `until` is written out, so that every reader sees it",
        "write a date such as `2026-01-31`",
        "DATE",
    ),
    row(r"\buntil", r'"', "a date stands without quotes", "write it as `2026-01-31`", "DATE"),
    row(
        r"\bmust\s+log",
        r"(?:for|on|when|unless|until|because)\b",
        "how much is logged stands behind `log`",
        "write `log minimal`, `log normal` or `log full`",
    ),
    row("", r"(?:with|having|given|provided)\b", "what must hold stands behind `when`", "write `when`", _CLAUSE),
    row(
        "",
        r"priority\b|precedence\b",
        "there are no priorities: a `deny` that applies refuses, in any order",
        "delete it",
        f"{_CLAUSE} $END PROVE",
    ),
    row(
        "",
        r'(?i:reason|description|desc|comment|note|message)\s*:?\s*"',
        "a sentence stands behind `because`",
        "write `because`",
        _CLAUSE,
    ),
    row(r"\b(?:allow|deny|require)\s+" + NAME, r"to\b", "`to` is not a clause", "write `for`", _CLAUSE),
    row(
        r"",
        r"(?:log|answer|alert|redact|issue|set\s+header|remove\s+header)\b",
        "what is to be done stands behind `must` or `should`",
        "write `must` before it",
        _CLAUSE,
    ),
)
ROWS: tuple[Row, ...] = (*_HEADS, *_SUBJECTS, *_TARGETS, *_CLAUSES)

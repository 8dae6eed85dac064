"""Slips in tests: what is given, which call is made, what is expected.

A table for `policy_lang/syntax/slip_rows.py`; the first row that fits is told, so the narrow ones stand first.
"""

from __future__ import annotations

from policy_lang.syntax.slip_rows import METHODS, NAME, Row, row

_CALL = "a call names its service"
_GIVEN = "GIVEN TABLE CALL"
_STARTS = "ANONYMOUS"

_GIVENS = (
    row(r":", r"(?:None|NULL|Null|Nil)\b", "there is no `null`: a claim is there or it is not", "leave it out", "TRUE"),
    row(
        r"\bgiven\s+(?P<form>token|subject)",
        rf"\.(?P<name>{NAME})\s*[=:]\s*(?P<value>\S+)",
        "a test says all of its caller at once",
        "write `given {form} KIND { {name}: {value}, … }`",
    ),
    row(r"\bgiven\s+(?P<form>token|subject)", r"\{", "a caller is of a kind", "write `given {form} KIND { … }`"),
    row(
        r"\bgiven\s+(?P<form>token|subject)\s+(?P<name>\w+)",
        rf"{NAME}\s*[:=]",
        "claims stand in `{ }`",
        "write `given {form} {name} { … }`",
    ),
    row(
        r"\bgiven",
        r"role\s+\"?(?P<name>\w+)",
        "a role comes from what the token says",
        'write `given token KIND { roles: ["{name}"], … }`, by the claim that gives it',
    ),
    row(
        r"\bgiven",
        r"(?P<name>ip|host|peer|gateway|tls|method|path)\b",
        "what the request has is said at once",
        "write `given request { {name}: … }`",
        _STARTS,
    ),
    row(
        r"\bgiven",
        r"(?P<root>header|query)\b",
        "inputs of one call stand on the call",
        "write `call … with {root}.NAME = …`",
        _STARTS,
    ),
    row(
        r"\bgiven\s+request",
        r"\.(?P<name>\w+)\s*=?",
        "what the request has is said at once",
        "write `given request { {name}: … }`",
    ),
    row(r"\bgiven\s+now", r"=", "an instant stands right behind `now`", "delete it"),
    row(
        r"\bgiven\s+now",
        r"\"?(?P<date>\d{4}-\d\d-\d\d)\"?(?!T)",
        "an instant has a time of day",
        "write `given now {date}T00:00:00Z`",
    ),
    row(r"\bgiven\s+now", r"\"", "an instant stands without quotes", "write `given now 2026-01-31T00:00:00Z`"),
    row(r"\bgiven", r"(?P<name>\w+)\s*\(", "a row of a relation is a fact", "write `given fact {name}(…)`", _STARTS),
    row(r"\bgiven\s+fact\s+(?P<name>\w+)", r"=", "a fact is its row", "write `given fact {name}(…)`"),
    row(
        r"\bgiven",
        r"(?P<name>\w+)\s*\{",
        "a caller is a token or a subject",
        "write `given token {name} { … }`",
        _STARTS,
    ),
    row(
        r"\b(?:by|allow|deny|step_up\s+\w+|\|)[^{}\n]*",
        r"given\b",
        "all `given` stand before the calls",
        "move it there, or begin another test",
    ),
    row(
        r"\bcall\s+[^{}\n]*",
        r"given\b",
        "what is given to one call stands behind `with`",
        "write `with token.NAME = …`",
        "WITH",
    ),
)
_CALLS = (
    row(
        r"\bcall",
        rf"(?P<method>{METHODS})\s+(?:[a-z]+://[^/\s]*)?(?P<path>/\S*)",
        _CALL,
        "write `call SERVICE {method} {path}`",
    ),
    row(
        r"\bcall",
        rf"(?P<method>{METHODS})\s+(?P<service>\w+)\s*(?P<path>/\S*)",
        "the service stands before the method",
        "write `call {service} {method} {path}`",
    ),
    row(r"\bcall", r'"?(?P<path>/[^\s"]*)', _CALL, "write `call SERVICE GET {path}`"),
    row(
        r"\bcall\s+(?P<service>\w+)\.(?P<name>\w+)",
        r"\(\s*(?P<inner>\w+\s*:[^()\n]*)\)",
        "captures of an endpoint stand in `{ }`",
        "write `call {service}.{name} { {inner} }`",
    ),
    row(
        r"\bcall\s+(?P<service>\w+)\.(?P<name>\w+)",
        r"\(\s*(?P<inner>[^()\n]*)\)",
        "captures of an endpoint stand in `{ }`",
        "write `call {service}.{name} { NAME: {inner} }`",
    ),
    row(
        r"\bcall\s+(?P<name>\w+)",
        r"(?:expect|with|\{)",
        "an endpoint is called with its service",
        "write `call SERVICE.{name}`",
    ),
    row(
        r"\bwith\s+[^{}\n]*",
        r"(?:,|and)\s*(?:with\s+)?(?P<name>[\w.]+)\s*=",
        "each change of an input has a `with` of its own",
        "write `with {name} = …`",
        "WITH",
    ),
    row(r"\bwith\s+(?P<name>token|subject|request)", r"\{", "a change names one input", "write `with {name}.NAME = …`"),
    row(r"\bwith", r"\{", "a change names one input", "write `with token.NAME = …`"),
    row(
        r"\bwith",
        r"role\s+\"?(?P<name>\w+)",
        "a role comes from what the token says",
        'write `with token.roles = ["{name}"]`, by the claim that gives it',
    ),
    row("", r"(?:->|=>|:|==|should|is|returns|→)", "what comes out stands behind `expect`", "write `expect`", "EXPECT"),
)
_OUTCOMES = (
    row(r"\bexpect", r"[:=]+", "an outcome stands right behind `expect`", "delete it"),
    row(
        r"\bexpect",
        r"true\b|200\b|\"allow\"|ok\b|yes\b|permit(?:ted)?\b|allowed\b",
        "an outcome is `allow`, `deny` or `step_up`",
        "write `allow`",
    ),
    row(
        r"\bexpect",
        r"false\b|40[34]\b|\"deny\"|no\b|forbid(?:den)?\b|denied\b",
        "an outcome is `allow`, `deny` or `step_up`",
        "write `deny`",
    ),
    row(
        r"\bexpect",
        r"401\b",
        "an outcome is `allow`, `deny` or `step_up`",
        "write `deny by token`, or `step_up FACTOR`",
    ),
    row(r"\bexpect\s+(?:allow|deny)", r"because\b|from\b|via\b", "who decided stands behind `by`", "write `by RULE`"),
    row("", r"expect\b", "what is expected stands behind its call", "write `call SERVICE GET /path expect …`", _GIVEN),
    row(
        "",
        r"assert\w*\b|check\b|verify\b|request\b",
        "a test makes calls",
        "write `call SERVICE GET /path expect …`",
        _GIVEN,
    ),
    row("", r"(?:when|if|with)\b", "a test says what is given", "write `given token KIND { … }`", _GIVEN),
)
ROWS: tuple[Row, ...] = (*_GIVENS, *_CALLS, *_OUTCOMES)

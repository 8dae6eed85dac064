"""Slips within expressions: what SQL, Rego, Cedar and Python write where this language writes something else.

A table for `policy_lang/syntax/slip_rows.py`; the first row that fits is told, so the narrow ones stand first.
"""

from __future__ import annotations

from policy_lang.syntax.slip_rows import METHODS, NAME, REF, ROOTS, Row, row

_ASKED = rf"\b(?P<root>{ROOTS})\.(?P<name>{NAME})"
_NOTHING = r"(?:null|none|nil|undefined|unset|missing|set|Null|None|Nil|NULL)\b"
_LIST = r"[\[({](?P<names>[^\])}\n]*)[\])}]"
_NO_NULL = "there is no `null`: an input is there or it is not"
_NO_LOOPS = "nothing runs over the members of a set"
_NO_FUNCTIONS = "there are no functions"
_NO_REGEX = "there are no regular expressions"
_NO_BRANCHES = "there is no if, then, else"
_NO_DAY = "there is no time of day"
_INSTANTS = "compare instants such as `2026-01-31T08:00:00Z`, or ask a signal"
_OPERATOR = "AND"
_OPERAND = "TRUE"

_PRESENCE = (
    row(rf"{_ASKED}\s+is", rf"not\s+{_NOTHING}", _NO_NULL, "write `{root} has {name}`"),
    row(rf"{_ASKED}\s*(?:==|is)", _NOTHING, _NO_NULL, "write `not {root} has {name}`"),
    row(rf"{_ASKED}\s*!=", _NOTHING, _NO_NULL, "write `{root} has {name}`"),
    row(rf"\b(?P<ref>{REF})\s+is", r"not\s+empty\b", "`is not` is not an operator", "write `not {ref} is empty`"),
    row(
        r"\b(?P<root>token|subject)\s+is",
        rf"not\s+(?P<name>{NAME})",
        "`is not` is not an operator",
        "write `not {root} is {name}`",
    ),
    row(
        rf"\b(?P<ref>{REF})\s+is",
        r'not\s+["\d]',
        "`is not` is not an operator",
        "write `!=` to compare; `not x is empty` asks of a set",
    ),
    row(rf"\b(?P<ref>{REF})\s+is", r'["\d]', "`is` compares nothing", "write `==`"),
    row(
        "",
        rf"has\s*\(\s*(?P<root>{ROOTS})\.(?P<name>{NAME})\s*\)",
        "`has` is no function",
        "write `{root} has {name}`",
        _OPERAND,
    ),
    row(
        rf"\b(?P<root>{ROOTS})\s+has\s+(?:{ROOTS})",
        rf"\.(?P<name>{NAME})",
        "behind `has` stands the name alone",
        "write `{root} has {name}`",
    ),
    row(
        rf"\b(?P<root>{ROOTS})\s+has",
        rf'"(?P<name>{NAME})"',
        "behind `has` stands a name, without quotes",
        "write `{root} has {name:snake}`",
    ),
    row(
        rf"\b(?P<ref>{REF})\s+has",
        r'(?P<text>"[^"\n]*")',
        "`has` asks whether an input is there, not what is in it",
        "write `{text} in {ref}`",
    ),
    row(
        rf"\b(?:exists|defined|present|isset)\s*\(?\s*(?P<root>{ROOTS})",
        rf"\.(?P<name>{NAME})",
        "`has` asks whether an input is there",
        "write `{root} has {name}`",
    ),
)
_ROLES = (
    row(r"\brole", rf"in\s*{_LIST}", "`role` asks for one role", "write `{names:or}`"),
    row(r"\brole", rf"not\s+in\s*{_LIST}", "`role` asks for one role", "write `not {names:or}`"),
    row(r"\brole", rf'={{1,2}}\s*"?(?P<name>{NAME})"?', "`role` is no value to compare", "write `role {name:snake}`"),
    row(r"\brole", rf'!=\s*"?(?P<name>{NAME})"?', "`role` is no value to compare", "write `not role {name:snake}`"),
    row(
        rf"\brole\s+(?P<one>{NAME})",
        rf",\s*(?:role\s+)?(?P<other>{NAME})",
        "a comma joins no conditions",
        "write `role {one} or role {other}`, or `and` where both are meant",
        _OPERATOR,
    ),
)
_INPUTS = (
    row(
        r"\brequest\.headers?|\bheaders?",
        r'\[\s*"(?P<name>[^"\n]+)"',
        "a header is declared, and read by its name",
        'write `header.{name:snake}`, declared `header {name:snake}: TYPE optional from "{name}"`',
    ),
    row(
        rf"\b(?P<root>{ROOTS})",
        r'\[\s*"(?P<name>[^"\n]+)"',
        "inputs are read by a dot",
        "write `{root}.{name:snake}`, a name that is declared",
    ),
    row(
        rf"\bdata\.(?P<name>{NAME})",
        r"[\[(]\s*(?P<inner>[^\])\n]*)",
        "a relation or a condition is asked by its own name",
        "write `{name}({inner})`, with a value for each column",
    ),
    row(
        rf"(?P<ref>{REF}\.{NAME})",
        r"\[",
        "a set has no first and no last",
        "ask for a member: `x in {ref}`",
        _OPERATOR,
    ),
    row(
        rf"\b(?P<name>{NAME})",
        r"\[(?P<inner>[^\]\n]*)\]",
        "a relation is asked with `( )`",
        "write `{name}({inner})`, with a value for each column",
        _OPERATOR,
    ),
    row(
        r"\(\s*(?P<first>[^(),\n]+)",
        rf",\s*(?P<rest>[^()\n]*)\)\s*(?P<negated>not\s+)?in\s+(?P<name>{NAME})",
        "a relation is asked like a condition",
        "write `{negated}{name}({first}, {rest})`",
    ),
)
_SETS = (
    row(
        r"\b(?:in|overlaps|covers)\s*\(\s*(?P<first>[^(),\n]+)",
        r"(?P<names>,[^()\n]*)\)",
        "a set stands in `[ ]`",
        "write `[{first}, {names:commas}]`",
    ),
    row(r"==\s*\([^(),\n]+", r",", "a set stands in `[ ]`", 'write `in ["a", "b"]`'),
    row(r"!=\s*\([^(),\n]+", r",", "a set stands in `[ ]`", 'write `not in ["a", "b"]`'),
    row(
        r'\bin\s+(?P<first>"[^"\n]*")',
        r'(?P<names>(?:,\s*"[^"\n]*")+)',
        "a set stands in `[ ]`",
        "write `[{first}, {names:commas}]`",
        _OPERATOR,
    ),
    row(r"\bin", r"set\s*\(\s*\[?(?P<names>[^\])\n]*)\]?\s*\)", "a set stands in `[ ]`", "write `[{names:commas}]`"),
    row(
        r"\b(?:in|overlaps|covers|==|!=)|[:=(,]",
        r"\{\s*(?P<names>[^}\n:]+)\}",
        "a set stands in `[ ]`",
        "write `[{names:commas}]`",
        _OPERAND,
    ),
    row(r'\[[^\]\n]*"', r'"', "members of a set are parted", "write `,` between them", "RSQB"),
)
_FUNCTIONS = (
    row(
        rf"\bnow\.{NAME}",
        r"\(",
        _NO_DAY,
        _INSTANTS,
    ),
    row(
        rf"(?P<ref>{REF})\.(?i:starts_?with|has_?prefix)",
        r'\(\s*"(?P<text>[^"\n]*)"',
        _NO_FUNCTIONS,
        'write `{ref} like "{text}*"`',
    ),
    row(
        rf"(?P<ref>{REF})\.(?i:ends_?with|has_?suffix)",
        r'\(\s*"(?P<text>[^"\n]*)"',
        _NO_FUNCTIONS,
        'write `{ref} like "*{text}"`',
    ),
    row(
        rf"(?P<ref>{REF})\.(?:contains|includes|has)",
        r"\(\s*(?P<text>[^()\n]+)\)",
        _NO_FUNCTIONS,
        'write `{text} in {ref}`, of a string `like "*text*"`',
    ),
    row(
        rf"(?P<ref>{REF})\.(?i:size|length|count|len)",
        r"\(",
        _NO_FUNCTIONS,
        "nothing is counted; `{ref} is empty` asks of a set whether it has members",
    ),
    row(
        rf"(?P<ref>{REF})\.(?i:lower|upper|tolower|toupper|lowercase|uppercase|casefold)",
        r"\(",
        _NO_FUNCTIONS,
        "texts are compared as they are: compare with each spelling, joined by `or`",
    ),
    row(
        rf"(?P<ref>{REF})\.(?i:match|matches|match_regex|regex)",
        r"\(",
        _NO_REGEX,
        'write `x like "prefix*"`',
    ),
    row(
        rf"(?P<ref>{REF})\.",
        r"(?:startsWith|hasPrefix)\(\s*\"(?P<text>[^\"\n]*)\"",
        _NO_FUNCTIONS,
        'write `{ref} like "{text}*"`',
    ),
    row(
        rf"(?P<ref>{REF})\.",
        r"(?:endsWith|hasSuffix)\(\s*\"(?P<text>[^\"\n]*)\"",
        _NO_FUNCTIONS,
        'write `{ref} like "*{text}"`',
    ),
    row(
        rf"(?P<ref>{REF})\.(?P<name>{NAME})",
        r"\(",
        _NO_FUNCTIONS,
        "a condition or a relation is asked by its plain name: `{name}(…)`",
        _OPERATOR,
    ),
)
_TEXTS = (
    row(
        "",
        r'like\s*\(\s*(?P<ref>[^,()\n]+?)\s*,\s*(?P<text>"[^"\n]*")',
        "`like` is an operator",
        "write `{ref} like {text}`",
        _OPERAND,
    ),
    row(
        "",
        r'like\s*(?P<text>"[^"\n]*")',
        "`like` has what it asks of on its left",
        "write `token.NAME like {text}`",
        _OPERAND,
    ),
    row(
        rf"\b(?P<ref>{REF})\s+not",
        r'(?P<word>like|overlaps|covers|has|is)\s+(?P<text>"[^"\n]*"|[\w.]+)?',
        "`not` stands before the whole",
        "write `not {ref} {word} {text}`",
        "IN",
    ),
    row("", r'(?i:i?like|glob)\s+(?=["\'])', "the operator is `like`", "write `like`", _OPERATOR),
    row("", r"~\*?", _NO_REGEX, 'write `like "prefix*"`', _OPERATOR),
    row(
        "",
        r'(?P<word>(?i:starts?[_ ]?with|begins[_ ]?with|has_?prefix))\s*"(?P<text>[^"\n]*)"',
        "`{word}` is not an operator",
        'write `like "{text}*"`',
        _OPERATOR,
    ),
    row(
        "",
        r'(?P<word>(?i:ends?[_ ]?with|has_?suffix))\s*"(?P<text>[^"\n]*)"',
        "`{word}` is not an operator",
        'write `like "*{text}"`',
        _OPERATOR,
    ),
    row(
        rf"\b(?P<ref>{REF})",
        r"(?P<word>(?i:contains|includes))\s+(?P<text>\"[^\"\n]*\"|[\w.]+)",
        "`{word}` is not an operator",
        'write `{text} in {ref}`, of a string `like "*text*"`',
        _OPERATOR,
    ),
    row(r"\blike", r"/[^/\s]*/", _NO_REGEX, 'write a pattern in quotes, `"prefix*"`'),
)
_LOOPS = (
    row("", r"(?i:between)\s+\d{1,2}:\d\d", _NO_DAY, _INSTANTS, _OPERATOR),
    row(
        rf"\b(?P<ref>{REF})",
        r"(?P<negated>not\s+)?(?i:between)\s+(?P<low>\S+)\s+(?i:and)\s+(?P<high>[^\s)]+)",
        "there is no `between`",
        "write `{negated}({ref} >= {low} and {ref} <= {high})`",
        _OPERATOR,
    ),
    row(
        rf"\b(?P<ref>{REF})\s+not",
        r"(?i:between)\s+(?P<low>\S+)\s+(?i:and)\s+(?P<high>[^\s)]+)",
        "there is no `between`",
        "write `not ({ref} >= {low} and {ref} <= {high})`",
        "IN",
    ),
    row("", r"(?i:between)\b", "there is no `between`", "write `(x >= 1 and x <= 5)`", _OPERATOR),
    row(
        r"\b(?:some|every|exists|forall|all)",
        rf"{NAME}\s+in\b",
        _NO_LOOPS,
        'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
        _OPERATOR,
    ),
    row(
        "",
        rf"(?:any|for|all)(?:\s*\(|\s+{NAME}\s+in\b)",
        _NO_LOOPS,
        'write `"x" in token.SET`, or `token.SET overlaps ["x", "y"]`',
        _OPERAND,
    ),
    row(rf"\bif\s+(?:{NAME}|not|\()", r"", _NO_BRANCHES, "write `a and b or not a and c`, or two rules", "ATTR NAME"),
    row("", r"(?i:then)\b", _NO_BRANCHES, "write `a and b or not a and c`, or two rules", _OPERATOR),
    row("", r"\?", _NO_BRANCHES, "write `a and b or not a and c`, or two rules", _OPERATOR),
)
_LITERALS = (
    row(
        r"\b(?P<number>\d+)",
        r"(?P<unit>ms|s|m|h|d)(?:ecs?|econds?|ins?|inutes?|rs?|ours?|ays?)?\b",
        "a duration is written in one word",
        "write `{number}{unit}`",
        _OPERATOR,
    ),
    row(
        "",
        r"(?P<number>\d+)(?P<unit>m|s|h|d)(?:ecs?|econds?|ins?|inutes?|rs?|ours?|ays?)\b",
        "units of a duration are `ms`, `s`, `m`, `h` and `d`",
        "write `{number}{unit}`",
        f"{_OPERAND} DURATION",
    ),
    row(
        r"\b(?P<date>\d{4}-\d\d-\d\d)",
        r"(?P<time>\d\d:\d\d:\d\d)(?:Z|\.\d+)?",
        "an instant is written in one word, with `T` and `Z`",
        "write `{date}T{time}Z`",
        _OPERATOR,
    ),
    row(
        r"\b\d{4}-\d\d-",
        r"\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[+-]",
        "an instant has no zone: it is in UTC, and says so by `Z`",
        "reckon it in UTC, such as `2026-01-31T12:00:00Z`",
    ),
    row(
        r"\b(?P<month>\d{4}-\d\d-)",
        r"(?P<rest>\d\dT\d\d:\d\d:\d\d)",
        "an instant is in UTC and whole seconds, and says so by `Z`",
        "write `{month}{rest}Z`",
    ),
    row(r"\b\d{1,2}", r":\d\d", _NO_DAY, _INSTANTS, _OPERATOR),
    row(r"\d", r"\.\.", "a range stands in a type only", "write `x >= 1 and x <= 5`", _OPERATOR),
    row("", r"time\.", _NO_DAY, "`now` is the instant of the call; compare it with others", _OPERAND),
    row(
        r"\brequest\.method\s*(?:[=!]=|in\s*\[)",
        rf"(?P<name>{METHODS})\b",
        "a method is a text here",
        'write `"{name}"`',
        _OPERAND,
    ),
)
ROWS: tuple[Row, ...] = (
    *_PRESENCE,
    *_ROLES,
    *_INPUTS,
    *_SETS,
    *_FUNCTIONS,
    *_TEXTS,
    *_LOOPS,
    *_LITERALS,
)

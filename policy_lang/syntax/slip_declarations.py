"""Slips in what a module declares: how it begins, types, claims and other fields, services and endpoints.

A table for `policy_lang/syntax/slip_rows.py`; the first row that fits is told, so the narrow ones stand first.
"""

from __future__ import annotations

from policy_lang.syntax.slip_rows import METHODS, NAME, Row, row

_FIELD = r"\b(?P<field>claim|property|query|header)"
_NEXT = "$END PROVE"
_IMPORTS = "an import says what it takes"
_TYPED = "a field has a type behind `:`"

_MODULES = (
    row("", r"package\s+(?P<name>[\w.]+)", "a file says its module", "write `module {name}`", f"{_NEXT} MODULE"),
    row(
        "",
        r"default\b",
        "nothing is allowed by default, and nothing has to say so",
        "delete it",
        _NEXT,
    ),
    row(
        "",
        rf"(?:def|fn|func|function|fun|macro|predicate|define)\s+(?P<name>{NAME})",
        "an expression with a name is a condition",
        "write `condition {name:snake} (x: TYPE) = …`",
        _NEXT,
    ),
    row(
        "",
        rf"(?:let|const|var|val)\s+(?P<name>{NAME})",
        "an expression with a name is a condition, a value with one a setting",
        "write `condition {name:snake} = …`, or `setting {name:snake}: TYPE = …`",
        _NEXT,
    ),
    row(
        "",
        rf"from\s+(?P<module>[\w.]+)\s+import\s+(?P<names>{NAME}(?:\s*,\s*{NAME})*)",
        _IMPORTS,
        "write `import {module} ({names:commas})`",
        f"{_NEXT} IMPORT",
    ),
    row(
        "",
        r"(?:include|use|using|require|load|#include)\s+\"?(?P<module>[\w.]+)",
        _IMPORTS,
        "write `import {module} (NAME, …)`",
        _NEXT,
    ),
    row(
        r"\bimport\s+(?P<module>[\w.]+)",
        r"[\{:]\s*(?P<names>[\w ,]+)",
        _IMPORTS,
        "write `import {module} ({names:commas})`",
        "LPAR",
    ),
    row(r"\bimport\s+(?P<module>[\w.]+)", r"", _IMPORTS, "write `import {module} (NAME, …)`", "LPAR", lacks=True),
    row(r"\bimport", r'"(?P<module>[^"\n]*)"', _IMPORTS, "write `import MODULE (NAME, …)`, without quotes"),
    row("", r"role\b", "a role stands within `roles for`", "write `roles for KIND from token.CLAIM { role … }`", _NEXT),
    row("", r"endpoint\b", "an endpoint stands within its service", "write `service NAME { … endpoint … }`", _NEXT),
    row(
        "",
        r"(?:claim|factor|issuer)\b",
        "this stands within the declaration of a token",
        "write `token KIND { issuer … claim … factor … }`",
        _NEXT,
    ),
    row(
        "",
        r"(?:for|on|when|unless|because|needs|must)\b",
        "a clause stands within a rule",
        "write it behind `allow NAME`, `deny NAME` or `require NAME`",
        _NEXT,
    ),
    row("", r"--", "`--` starts no comment", "write `#`"),
    row("", r"\*/", "`*/` ends no comment", "write `#` on each line"),
)
_PUNCTUATION = (
    row(
        r"\b(?P<word>for|on|when|unless|until|needs|must|should|because|audience|issuer|host|scope|accepts|type|tagged"
        r"|expect|call|given|with|model|policy)",
        r":",
        "no colon stands behind a word of the language",
        "delete it: `{word} …`",
    ),
    row(
        rf"\b(?:token|subject|service|allow|deny|require|endpoint|test|roles\s+for)\s+(?:{NAME}|\"[^\"\n]*\")",
        r":(?!=)",
        "no colon stands behind this name",
        "delete it",
    ),
    row(r",", r"[}\])]", "a comma has something behind it", "delete the comma"),
    row("", r":=", "`:=` is not known here", "write `=`", "EQUAL"),
    row(r"=", r">", "`=>` is not known here", "write `=`", "TRUE"),
)
_NAMED = (
    row(
        r"\bsignal\b[^\"]*\"[^\"]*\"\s+key\b[^\"]*\bwithin",
        rf"{NAME}",
        "how long a signal may take is written out",
        "write a duration of at most 1s, such as `5ms`",
        "DURATION",
    ),
    row(
        rf"\bcondition\s+{NAME}\s*(?:\([^()]*\))?",
        rf"(?P<type>(?::|->)\s*{NAME})",
        "a condition has no type: it is true, false or unknown",
        "delete `{type}`",
        "EQUAL",
    ),
    row(
        rf"\bcondition\s+(?P<name>{NAME})\s*\(",
        r"\)",
        "a condition may go without parameters",
        "write `condition {name} = …`",
    ),
    row(
        rf"\bcondition\s+{NAME}\s*(?:\([^()]*\))?",
        r"\{",
        "what a condition stands for is behind `=`, without braces",
        "write `= …`",
        "EQUAL",
    ),
    row(
        rf"\b(?:condition|relation)\s+{NAME}\s*\((?:[^()]*,)?\s*(?P<type>string|int|bool|uuid|time|ip|duration)",
        r"[,)]",
        "a column has a name and a type",
        "write `NAME: {type}`",
    ),
    row(
        rf"\b(?:condition|relation)\s+{NAME}\s*\((?:[^()]*,)?\s*(?P<name>{NAME})",
        r"[,)]",
        "a parameter has a name and a type",
        "write `{name}: TYPE`",
    ),
    row(
        rf"\brelation\s+(?P<name>{NAME})",
        r"[\[{]",
        "columns stand in `( )`",
        "write `relation {name} (COLUMN: TYPE, …)`",
    ),
    row(
        r"\bsetting\s+\w+\s*:",
        r"(?!string|int|duration|network)\w",
        "a setting is a `string`, an `int`, a `duration` or a `network`",
        "write one of these",
    ),
    row(rf"\bsetting\s+(?P<name>{NAME})", r"=", "a setting has a type", "write `setting {name}: TYPE = …`"),
    row(
        rf"\benum\s+(?P<name>{NAME})",
        r"[{(\[]\s*(?P<names>[^})\]\n]*)[})\]]",
        "the values stand behind `=`",
        "write `enum {name} = {names:bars}`",
    ),
    row(
        rf"\benum\s+(?P<name>{NAME})\s*=\s*(?P<first>{NAME})",
        r"(?P<names>(?:,\s*\w+)+)",
        "values are parted by `|`, or by `<` where they have an order",
        "write `enum {name} = {first} | {names:bars}`",
    ),
    row(
        r"\bnetwork\s+\w+\s*=[^\n]*", r'"(?P<text>[^"\n]*)"', "a range stands without quotes", "write `{text}`", "CIDR"
    ),
    row(
        r"\bnetwork\s+\w+\s*=",
        r"[\[({](?P<names>[^\])}\n]*)[\])}]",
        "ranges are listed without brackets",
        "write `{names:commas}`",
    ),
    row(
        r"\bnetwork\s+(?P<name>\w+)",
        r"\{\s*(?P<names>[^}\n]*)\}",
        "ranges stand behind `=`",
        "write `network {name} = {names:commas}`",
    ),
    row(r"\bworkload\s+\w+\s*=\s*spiffe", r":", "a SPIFFE id stands in quotes", 'write `"spiffe://…"`'),
    row(r"\bworkload\s+(?P<name>\w+)", r"[\"{]", "the id stands behind `=`", 'write `workload {name} = "spiffe://…"`'),
    row(r"\broles", rf"(?P<name>{NAME})\s+from\b", "`roles` has `for` behind it", "write `roles for {name} from …`"),
    row(r"\broles", r"\{", "roles say whose they are", "write `roles for KIND from token.CLAIM { … }`"),
    row(
        r"\broles\s+for\s+(?P<name>\w+)",
        r"\{",
        "roles say what gives them",
        "write `roles for {name} from token.CLAIM { … }`",
    ),
    row(
        r"\broles\s+for\s+\w+\s+from",
        r'"(?P<name>\w+)"',
        "roles come from a claim, by its name",
        "write `from token.{name:snake}`",
    ),
)
_FIELDS = (
    row(
        rf"{_FIELD}\s+(?P<outer>{NAME})",
        r"(?=(?:\.\w+)*\.(?P<name>\w+)\b)(?P<inner>(?:\.\w+)+)",
        "a nested value has a name of its own, and says by `from` where it stands",
        'write `{field} {name:snake}: TYPE from "{outer}" {inner:steps}`',
        "COLON",
    ),
    row(
        rf"{_FIELD}",
        r'"(?P<name>[^"\n]*?(?P<last>\w+))"',
        "a field has a name of the language, and says by `from` where it stands",
        'write `{field} {last:snake}: TYPE from "{name}"`',
        "ATTR",
    ),
    row(
        rf"{_FIELD}\s+(?P<scheme>https?)\s*:",
        r"(?P<name>//[^\s\"]*?(?P<last>\w+)):?(?=\s)",
        "a field has a name of the language, and says by `from` where it stands",
        'write `{field} {last:snake}: TYPE from "{scheme}:{name}"`',
    ),
    row(
        rf"{_FIELD}\s+(?P<first>{NAME})\s*:(?P<name>{NAME})",
        r":",
        "a field has a name of the language, and says by `from` where it stands",
        'write `{field} {name:snake}: TYPE from "{first}:{name}"`',
    ),
    row(
        _FIELD,
        r"(?P<name>(?=[\w-]*[A-Z-]|[_\d])[\w-]+)",
        "`{name}` is no name of the language: lower case, digits and `_`",
        'write `{field} {name:snake}: TYPE from "{name}"`: what is sent keeps its name',
        "ATTR",
    ),
    row(
        rf"{_FIELD}\s+(?P<first>\w+)",
        r"-(?P<rest>[\w-]*)",
        "`{first}-{rest}` is no name of the language: lower case, digits and `_`",
        'write `{field} {first:snake}_{rest:snake}: TYPE from "{first}-{rest}"`: what is sent keeps its name',
        "COLON",
    ),
    row(
        r"\b(?P<root>token|subject)\.",
        r"(?P<name>(?=\w*[A-Z]|_)\w+)",
        "`{name}` is no name of the language: lower case, digits and `_`",
        'write `{root}.{name:snake}`, declared by `claim {name:snake}: TYPE from "{name}"`',
        "ATTR",
    ),
    row(
        rf"{_FIELD}\s+(?P<name>{NAME})",
        r"\?\s*:",
        "what may be missing is `optional`",
        "write `{field} {name}: TYPE optional`",
    ),
    row(
        rf"{_FIELD}\s+(?P<name>{NAME})\s*:\s*(?P<type>{NAME}|set\s+of\s+{NAME})",
        r"\?|\|\s*(?i:null|none|nil)\b",
        "what may be missing is `optional`",
        "write `{field} {name}: {type} optional`",
    ),
    row(
        rf"{_FIELD}\s+(?P<name>{NAME})\s*:",
        rf"(?i:optional)\s*[\[<(]?\s*(?P<type>{NAME})",
        "`optional` stands behind the type",
        "write `{field} {name}: {type} optional`",
    ),
    row(
        rf"{_FIELD}\s+(?P<name>{NAME})\s*:\s*optional",
        rf"(?P<type>{NAME}(?:\s+of\s+{NAME})?)",
        "`optional` stands behind the type",
        "write `{field} {name}: {type} optional`",
    ),
    row(r":", rf"\[\s*(?P<type>{NAME})\s*\]", "several values are a set", "write `set of {type}`", "BOOL"),
    row(
        r"\bset",
        r"(?P<type>string|int|uuid|time|bool|ip|duration)\b",
        "a set says of what",
        "write `set of {type}`",
        "OF",
    ),
    row(
        rf"{_FIELD}\s+(?P<name>{NAME})",
        r"(?P<type>bool|string|int|uuid|time|duration|ip|set)\b",
        _TYPED,
        "write `{field} {name}: {type}`",
        "COLON",
    ),
    row(
        rf"{_FIELD}\s+{NAME}\s*:\s*{NAME}",
        r"=",
        "a field has no default",
        "write `optional`, and say in the rule what holds without it",
    ),
    row(
        rf"{_FIELD}\s+{NAME}\s*:[^\n]*",
        r"required\b|mandatory\b",
        "what is not `optional` is required",
        "delete it",
        "OPTIONAL",
    ),
    row("", r",", "nothing parts the fields of a declaration", "delete the comma", "CLAIM PROPERTY"),
    row("", rf"(?P<name>{NAME})\s*:", "a claim says that it is one", "write `claim {name:snake}: TYPE`", "CLAIM"),
)
_SERVICES = (
    row(
        "",
        r"endpoint\b|host\b|tag\b|header\b",
        "the audience of a service comes first",
        'write `audience "…"` before it',
        "AUDIENCE",
    ),
    row("", r"claim\b|factor\b", "the issuer of a token comes first", 'write `issuer "…"` before it', "ISSUER"),
    row(
        "",
        r"(?:path|base|base_path|prefix|url)\s+\"",
        "each endpoint says its whole path",
        "delete it, and write the whole path behind each method",
        "ENDPOINT",
    ),
    row("", r"audience\b", "an audience is listed with the first", 'write `audience "…", "…"`', "ENDPOINT ACCEPTS"),
    row(
        "",
        rf"(?P<method>{METHODS})\s+(?P<path>/\S*)",
        "an endpoint has a name",
        "write `endpoint NAME {method} {path}`",
        "ENDPOINT",
    ),
    row(
        r"\bendpoint",
        rf"(?P<method>{METHODS})\s+(?P<path>/\S*)",
        "an endpoint has a name",
        "write `endpoint NAME {method} {path}`",
    ),
    row(
        r"\bendpoint\s+(?P<name>\w+)",
        r"(?P<path>/\S*)",
        "an endpoint says its methods",
        "write `endpoint {name} GET {path}`",
    ),
    row(
        r"\bendpoint\s+(?P<name>\w+)",
        r"\*\s*(?P<path>/\S*)",
        "`ANY` stands for every method",
        "write `endpoint {name} ANY {path}`",
    ),
    row(r"", r'"(?P<path>/[^"\n]*)"', "a path stands without quotes", "write `{path}`", "PATH"),
    row(
        "",
        r"[a-z]+://[^/\s]*(?P<path>/\S*)?",
        "a path begins at its `/`; the host is the service's",
        "write `{path}`",
        "PATH",
    ),
    row("", r"\*(?P<rest>\S*)", "a path begins with `/`", "write `/**`", "PATH"),
    row("", rf"(?P<path>{NAME}[^\s]*)", "a path begins with `/`", "write `/{path}`", "PATH"),
    row(
        "",
        r'(?:requires?|permission|permissions|scopes)\s+"',
        "what the token must hold for an endpoint is its `scope`",
        "write `scope`",
        "ENDPOINT",
    ),
    row(
        r"\btag\s+(?P<name>\w+)",
        r'(?P<text>"[^"\n]*")',
        "a tag has its value behind `=`",
        "write `tag {name} = {text}`",
    ),
)
ROWS: tuple[Row, ...] = (*_PUNCTUATION, *_MODULES, *_NAMED, *_FIELDS, *_SERVICES)

_CAPTURE = "a capture stands in braces"
PATHS: tuple[Row, ...] = (
    row("", r"<int:(?P<name>\w+)>", _CAPTURE, "write `{{name:snake}: int}`"),
    row("", r"<uuid:(?P<name>\w+)>", _CAPTURE, "write `{{name:snake}: uuid}`"),
    row("", r"<path:\w+>|\{\w+(?:\.\.\.|\+|\*|:\s*\.[*+]|:\s*path)\}", _CAPTURE, "write `**` for all that follows"),
    row("", r"<(?:\w+:)?(?P<name>[\w-]+)>", _CAPTURE, "write `{{name:snake}}`"),
    row("", r"\{(?P<name>\w+):\s*(?:\[0-9\]|\\d)[^}/]*\}", _CAPTURE, "write `{{name:snake}: int}`"),
    row(
        "",
        r"\{(?P<name>[\w-]+)(?:\s*:\s*(?P<type>[a-z]+))?\}",
        _CAPTURE,
        "write `{{name:snake}}`, and its type behind `:`",
    ),
    row("", r"\{(?P<name>\w+)[^}/]*\}", _CAPTURE, "write `{{name:snake}}`; a rule asks for more"),
)
"""What stands in a path that the grammar cannot read: captures of other languages."""

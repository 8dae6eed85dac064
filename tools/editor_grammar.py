"""Write the TextMate grammar of the policy language from its own grammar, or check that it is current.

    python tools/editor_grammar.py            writes editors/vscode/syntaxes/portcullis.tmLanguage.json
    python tools/editor_grammar.py --check    ends 1 where the file is not what would be written

In come the terminals of `policy_lang/syntax/grammar.lark`, as its tables list them: every word, and the expressions for
numbers, addresses, times and paths. Out goes one JSON file, the same bytes for the same grammar. What a word is called
is said here; a word of the grammar that is not named here is a clause keyword, and a word named here that the grammar
does not have is an error: so neither can be forgotten.

Decision: 2026-11-21. An editor sees one line at a time: a name is told from a keyword by what stands before it on its
line, as in the canonical layout. The expressions keep to what Oniguruma and Python's `re` read alike.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "editors" / "vscode" / "syntaxes" / "portcullis.tmLanguage.json"

Rule = dict[str, object]

LANGUAGE = "portcullis"

DECLARATIONS = (
    "setting enum label network workload token subject role relation signal condition service endpoint casbin factor"
)
"""Words that a name they declare follows."""
SECTIONS = "language module import roles test table prove"
"""Words that open a part of a file without a name of that kind."""
FIELDS = "claim property query header"
"""Words that a typed field follows."""
TYPES = "bool string int uuid time duration ip set of"
OPERATORS = "and or not in is has like overlaps covers"
CONSTANTS = "true false unknown unset none empty anyone anonymous"
FIXTURES = "token subject signal fact"
"""Words that may stand between `given` and a name."""

_ATTRIBUTE = "[a-z][a-z0-9_]*"
_START = "(?<![A-Za-z0-9_])"
_END = "(?![A-Za-z0-9_])"
_NUMBER = "(?<![A-Za-z0-9_.])"


def render() -> str:
    """The whole file."""
    terminals = _terminals()
    words = {name: spelt for name, (_, spelt) in terminals.items() if spelt}
    expressions = {name: expression for name, (expression, _) in terminals.items()}
    known = {word for spelt in words.values() for word in spelt}
    named = {word for group in (DECLARATIONS, SECTIONS, FIELDS, TYPES, OPERATORS, CONSTANTS) for word in group.split()}
    if unknown := sorted(named - known):
        raise ValueError(f"the grammar has no word {', '.join(unknown)}: mend the lists in tools/editor_grammar.py")
    document: Rule = {
        "name": "Portcullis policy",
        "scopeName": f"source.{LANGUAGE}",
        "fileTypes": ["pol"],
        "patterns": [
            *_texts(),
            *_places(expressions),
            *_numbers(expressions),
            *_names(expressions["NAME"], words["EFFECT"], words["SHADOW"][0]),
            *_words(known, named, words["EFFECT"], words["SHADOW"][0]),
            *_marks(expressions["CMP"]),
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def _terminals() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every terminal: its expression, and the words it stands for where these are words."""
    tables = json.loads(files("policy_lang.syntax").joinpath("grammar.json").read_text("utf-8"))
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, expression, text, spelt, _ in tables["terminals"]:
        words = [text] if re.fullmatch("[a-z_]+", text) else spelt
        found[name] = (expression, tuple(words))
    return found


def _texts() -> list[Rule]:
    return [
        _match("comment.line.number-sign", "#.*$"),
        {
            "name": _scope("string.quoted.double"),
            "begin": '"',
            "end": '"|$',
            "patterns": [
                _match("constant.character.escape", r'\\(?:["\\nrt]|u\{[0-9A-Fa-f]{1,6}\})'),
                _match("invalid.illegal.escape", r"\\."),
            ],
        },
    ]


def _places(expressions: dict[str, str]) -> list[Rule]:
    """Addresses before methods and paths, since both hold slashes."""
    mark = "punctuation.section.capture"
    inside: list[Rule] = [
        _groups(
            rf"(\{{)({_ATTRIBUTE})(?:[ \t]*(:)[ \t]*({_ATTRIBUTE}))?(\}})",
            [f"{mark}.begin", "variable.parameter.capture", "punctuation.separator", "storage.type", f"{mark}.end"],
        ),
        _match("keyword.operator.wildcard", "[*]+"),
    ]
    address = r"(?<![A-Za-z0-9_:.])"
    return [
        _match("constant.numeric.address", f"{address}(?:{expressions['CIDR']}|{expressions['IP']})"),
        _groups(f"{_START}(grpc)[ \\t]+({expressions['GRPC']})", ["support.constant.method", "string.unquoted.path"]),
        _match("support.constant.method", f"{_START}{expressions['METHOD']}{_END}"),
        {**_match("string.unquoted.path", expressions["PATH"]), "captures": {"0": {"patterns": inside}}},
    ]


def _numbers(expressions: dict[str, str]) -> list[Rule]:
    kinds = [("TIMESTAMP", "date"), ("DATE", "date"), ("DURATION", "duration"), ("NEG_INT", "integer")]
    rules = [_match(f"constant.numeric.{kind}", f"{_NUMBER}(?:{expressions[name]})") for name, kind in kinds]
    return [*rules, _match("constant.numeric.integer", f"(?<![A-Za-z0-9_]){expressions['INT']}{_END}")]


def _names(name: str, effects: Iterable[str], shadow: str) -> list[Rule]:
    """Names where they are declared, fields, and what stands behind a dot: before keywords, for they may look alike."""
    dotted = rf"{_ATTRIBUTE}(?:\.{_ATTRIBUTE})*"
    return [
        *(
            _groups(
                rf"^[ \t]*(?:({shadow})[ \t]+)?({effect})[ \t]+({name})",
                ["storage.modifier.shadow", f"keyword.control.effect.{effect}", "entity.name.function.rule"],
            )
            for effect in effects
        ),
        _groups(rf"^[ \t]*(module|import)[ \t]+({dotted})", ["keyword.declaration", "entity.name.namespace"]),
        _groups(
            rf"^[ \t]*({_any(FIELDS)})[ \t]+({_ATTRIBUTE})(?=[ \t]*:)", ["keyword.other.field", "variable.other.field"]
        ),
        _groups(rf"^[ \t]*({_any(DECLARATIONS)})[ \t]+({name})", ["keyword.declaration", "entity.name.type"]),
        _groups(
            rf"^[ \t]*(given)[ \t]+({_any(FIXTURES)})[ \t]+({name})",
            ["keyword.other.clause", "keyword.other.clause", "entity.name.type"],
        ),
        _groups(rf"{_START}(has)[ \t]+({_ATTRIBUTE})", ["keyword.operator.word", "variable.other.member"]),
        _groups(rf"(\.)({_ATTRIBUTE})", ["punctuation.accessor", "variable.other.member"]),
        _match("variable.other.object", rf"{_START}{_ATTRIBUTE}(?=\.[a-z])"),
        _groups(rf"(?<=:[ \t])(role|workload){_END}", ["storage.type"]),
        _match("variable.other.field", rf"{_START}{_ATTRIBUTE}(?=:[ \t])"),
    ]


def _words(known: set[str], named: set[str], effects: Iterable[str], shadow: str) -> list[Rule]:
    clauses = known - named - {*effects, shadow}
    return [
        *(_word(f"keyword.control.effect.{effect}", effect) for effect in effects),
        _word("storage.modifier.shadow", shadow),
        # `set` is a type in a declaration and an obligation in a rule.
        _match("keyword.other.clause", rf"{_START}set(?=[ \t]+header)"),
        _word("storage.type", TYPES),
        _word("keyword.operator.word", OPERATORS),
        _word("constant.language", CONSTANTS),
        _word("keyword.declaration", f"{DECLARATIONS} {SECTIONS}"),
        _word("keyword.other.field", FIELDS),
        _word("keyword.other.clause", " ".join(clauses)),
    ]


def _marks(comparison: str) -> list[Rule]:
    return [
        _match("keyword.operator.comparison", f"{comparison}|<"),
        _match("keyword.operator", r"\.\.|[=+|-]"),
        _match("punctuation.separator", "[,:]"),
        _match("punctuation.section.bracket", r"[(){}\[\]]"),
    ]


def _scope(name: str) -> str:
    return f"{name}.{LANGUAGE}"


def _match(scope: str, expression: str) -> Rule:
    return {"name": _scope(scope), "match": expression}


def _word(scope: str, words: str) -> Rule:
    return _match(scope, f"{_START}(?:{_any(words)}){_END}")


def _any(words: str) -> str:
    return "|".join(sorted(words.split()))


def _groups(expression: str, scopes: Iterable[str]) -> Rule:
    """A rule whose groups have scopes of their own, from the first on."""
    numbered = {str(number): {"name": _scope(scope)} for number, scope in enumerate(scopes, start=1)}
    return {"match": expression, "captures": numbered}


def main(arguments: list[str]) -> int:
    """Write or check; the exit code."""
    match arguments:
        case []:
            TARGET.parent.mkdir(parents=True, exist_ok=True)
            TARGET.write_text(render(), "utf-8")
            return 0
        case ["--check"]:
            if TARGET.exists() and TARGET.read_text("utf-8") == render():
                return 0
            print(f"{TARGET} is not current: run python tools/editor_grammar.py", file=sys.stderr)
            return 1
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Matchers: what each form says, what is refused, and that it is read as Python reads what Casbin makes of it."""

from __future__ import annotations

import time

import pytest

from policy_lang.casbin.definitions import Model, Sections, read_model
from policy_lang.casbin.matcher import resolved, row_expression
from policy_lang.casbin.matcher_text import DEEPEST
from policy_lang.ir import tables
from policy_lang.ir.tables import Expression, Mode
from policy_lang.source import Source, Span

HEAD = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, rule
[role_definition]
g = _, _
g2 = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = """
BOTH: tuple[Mode, Mode] = ("strict", "compat")

SUB, OBJ, ACT = (tables.Parameter(place) for place in range(3))
P_SUB, P_OBJ, P_ACT = (tables.Column(place) for place in range(3))
SAME = tables.Comparison("eq", SUB, P_SUB)
SAME_ACT = tables.Comparison("eq", ACT, P_ACT)
LINKED = tables.Linked(0, (SUB, P_SUB))


def constant(value: tables.TableScalar) -> tables.Constant:
    return tables.Constant(value)


def model_with(matcher: str, mode: Mode = "strict") -> Model:
    return read_model(Source("model.conf", f"{HEAD}{matcher}\n"), mode=mode)


def meaning(matcher: str, mode: Mode = "strict", functions: frozenset[str] = frozenset()) -> Expression | list[str]:
    """The expression, or the codes of the errors that keep it from being one; warnings count as nothing."""
    model = model_with(matcher, mode)
    expression, found = resolved(model, Sections(), functions, mode=mode)
    errors = [each.code for each in (*model.diagnostics, *found) if each.severity == "error"]
    if errors or expression is None:
        return errors
    return expression


# ---------------------------------------------------------------- what each form says

FORMS: dict[str, tuple[str, Expression]] = {
    "equality": ("r.sub == p.sub", SAME),
    "the two spellings of and": (
        "r.sub == p.sub && true and false",
        tables.And((SAME, constant(True), constant(False))),
    ),
    "the two spellings of or": ("true || True or false", tables.Or((constant(True), constant(True), constant(False)))),
    "and binds tighter than or": (
        "r.sub == p.sub || r.act == p.act && true",
        tables.Or((SAME, tables.And((SAME_ACT, constant(True))))),
    ),
    "parentheses": (
        "(r.sub == p.sub || r.act == p.act) && true",
        tables.And((tables.Or((SAME, SAME_ACT)), constant(True))),
    ),
    "no blanks around operators": ("(r.sub==p.sub)&&(r.act==p.act)", tables.And((SAME, SAME_ACT))),
    "a negated call": ("!g(r.sub, p.sub)", tables.Not(LINKED)),
    "a negation in parentheses": ("!(r.sub == p.sub)", tables.Not(SAME)),
    "not has one reading": ("not r.sub == p.sub", tables.Not(SAME)),
    "a double negation": ("!!(r.sub == p.sub)", tables.Not(tables.Not(SAME))),
    "not binds tighter than and": ("!true && false", tables.And((tables.Not(constant(True)), constant(False)))),
    "not equal": ("r.sub != p.sub", tables.Comparison("ne", SUB, P_SUB)),
    "less": ("r.sub < p.sub", tables.Comparison("lt", SUB, P_SUB)),
    "at most": ("r.sub <= p.sub", tables.Comparison("le", SUB, P_SUB)),
    "more": ("r.sub > p.sub", tables.Comparison("gt", SUB, P_SUB)),
    "at least": ("r.sub >= p.sub", tables.Comparison("ge", SUB, P_SUB)),
    "a part of a parameter": ("r.sub.Age > 18", tables.Comparison("gt", tables.Field(SUB, "Age"), constant(18))),
    "a part of a part": (
        "r.sub.a.b == p.sub",
        tables.Comparison("eq", tables.Field(tables.Field(SUB, "a"), "b"), P_SUB),
    ),
    "a part by its name in quotes": (
        'r.sub["Age of"].x == p.sub',
        tables.Comparison("eq", tables.Field(tables.Field(SUB, "Age of"), "x"), P_SUB),
    ),
    "a part named like an operator": ("r.sub['in'] == p.sub", tables.Comparison("eq", tables.Field(SUB, "in"), P_SUB)),
    "a tuple": ("r.act in ('a', \"b\")", tables.Within(ACT, tables.Listed((constant("a"), constant("b"))))),
    "a list": ("r.act in ['a']", tables.Within(ACT, tables.Listed((constant("a"),)))),
    "a tuple of one": ("r.act in ('a',)", tables.Within(ACT, tables.Listed((constant("a"),)))),
    "an empty tuple": ("r.act in ()", tables.Within(ACT, tables.Listed(()))),
    "a list of anything": (
        "r.act in (p.act, 1, true)",
        tables.Within(ACT, tables.Listed((P_ACT, constant(1), constant(True)))),
    ),
    "not in": (
        "r.act not in ('a', 'b')",
        tables.Not(tables.Within(ACT, tables.Listed((constant("a"), constant("b"))))),
    ),
    "in what the request holds": ("p.act in r.sub.acts", tables.Within(P_ACT, tables.Field(SUB, "acts"))),
    "roles": ("g(r.sub, p.sub)", tables.Linked(0, (SUB, P_SUB))),
    "roles in domains": ("g2(r.sub, p.sub, 'd')", tables.Linked(1, (SUB, P_SUB, constant("d")))),
    "a function": ("keyMatch2(r.obj, p.obj)", tables.BuiltIn("keyMatch2", (OBJ, P_OBJ))),
    "a function with a string": (
        "keyGet2(r.obj, p.obj, 'id') == r.sub",
        tables.Comparison("eq", tables.BuiltIn("keyGet2", (OBJ, P_OBJ, constant("id"))), SUB),
    ),
    "time": ('timeMatch("_", p.rule)', tables.BuiltIn("timeMatch", (constant("_"), tables.Column(3)))),
    "a function of the program": ("mine(r.sub, 1)", tables.Own("mine", (SUB, constant(1)))),
    "one of its functions in place of Casbin's": ("ipMatch(r.sub, p.sub)", tables.Own("ipMatch", (SUB, P_SUB))),
    "a part of what it gives": ("mine(r.sub).x", tables.Field(tables.Own("mine", (SUB,)), "x")),
    "an expression of the row": ("eval(p.rule) && r.sub == p.sub", tables.And((tables.Written(3), SAME))),
    "arithmetic": (
        "r.sub.a + 1 * 2 - 3 > 4 % 5 / 6",
        tables.Comparison(
            "gt",
            tables.Arithmetic(
                "-",
                tables.Arithmetic("+", tables.Field(SUB, "a"), tables.Arithmetic("*", constant(1), constant(2))),
                constant(3),
            ),
            tables.Arithmetic("/", tables.Arithmetic("%", constant(4), constant(5)), constant(6)),
        ),
    ),
    "strings put together": (
        'r.obj == p.obj + "/" + p.act',
        tables.Comparison("eq", OBJ, tables.Arithmetic("+", tables.Arithmetic("+", P_OBJ, constant("/")), P_ACT)),
    ),
    "a pattern put together of the row": (
        'keyMatch(r.obj, p.obj + "/*")',
        tables.BuiltIn("keyMatch", (OBJ, tables.Arithmetic("+", P_OBJ, constant("/*")))),
    ),
    "a negative number": ("r.sub.a == -1", tables.Comparison("eq", tables.Field(SUB, "a"), constant(-1))),
    "twice negative": ("r.sub.a == - -1", tables.Comparison("eq", tables.Field(SUB, "a"), constant(1))),
    "a negative parameter": (
        "r.sub.a == -r.sub.b",
        tables.Comparison("eq", tables.Field(SUB, "a"), tables.Arithmetic("-", constant(0), tables.Field(SUB, "b"))),
    ),
    "a fraction": ("r.sub.a < 1.50", tables.Comparison("lt", tables.Field(SUB, "a"), constant(1.5))),
    "the greatest whole number": (
        "r.sub.a < 9007199254740992",
        tables.Comparison("lt", tables.Field(SUB, "a"), constant(2**53)),
    ),
    "escapes": (r"""r.sub == "a\"\\\'" """, tables.Comparison("eq", SUB, constant("a\"\\'"))),
    "the other quote within": ('r.sub == "it\'s"', tables.Comparison("eq", SUB, constant("it's"))),
    "an empty string": ("r.sub == ''", tables.Comparison("eq", SUB, constant(""))),
    "letters of any script in a string": (
        "r.sub == 'größe 日本'",
        tables.Comparison("eq", SUB, constant("größe 日本")),
    ),
    "an operator word within a name": (
        "r.sub.notin == p.sub",
        tables.Comparison("eq", tables.Field(SUB, "notin"), P_SUB),
    ),
    "a parameter alone, if it is a truth": (
        "r.sub.admin || r.sub == p.sub",
        tables.Or((tables.Field(SUB, "admin"), SAME)),
    ),
    "truths that are compared": (
        "keyMatch(r.obj, p.obj) == true",
        tables.Comparison("eq", tables.BuiltIn("keyMatch", (OBJ, P_OBJ)), constant(True)),
    ),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("mode", BOTH)
def test_what_a_form_says(name: str, mode: Mode) -> None:
    text, want = FORMS[name]
    assert meaning(text, mode, frozenset(("mine", "ipMatch"))) == want


GLUED: dict[str, tuple[str, Expression]] = {
    "behind a word": ("r.sub == p.sub&& r.act == p.act", tables.And((SAME, SAME_ACT))),
    "before a word": ("r.sub == p.sub ||r.act == p.act", tables.Or((SAME, SAME_ACT))),
    "before a negation": ("true &&!g(r.sub, p.sub)", tables.And((constant(True), tables.Not(LINKED)))),
    "a negation behind a word": ("true and!g(r.sub, p.sub)", tables.And((constant(True), tables.Not(LINKED)))),
}


@pytest.mark.parametrize("name", GLUED)
def test_operators_that_casbin_makes_one_word_with_the_next_are_for_strict(name: str) -> None:
    text, want = GLUED[name]
    assert meaning(text, "strict") == want
    assert meaning(text, "compat") == ["E603"]


def test_a_role_definition_comes_before_a_function_of_its_name() -> None:
    assert meaning("g(r.sub, p.sub)", functions=frozenset(("g", "eval"))) == tables.Linked(0, (SUB, P_SUB))
    assert meaning("eval(p.rule)", functions=frozenset(("g", "eval"))) == tables.Written(3)


def test_a_negative_nought_is_nought() -> None:
    got = meaning("r.sub.a == -0.0")
    assert isinstance(got, tables.Comparison)
    assert isinstance(got.right, tables.Constant)
    assert str(got.right.value) == "0.0"


COMPAT: dict[str, tuple[str, Expression]] = {
    "an exclamation mark as Python reads it": ("!r.sub == p.sub", tables.Not(SAME)),
    "a chain as Python reads it": (
        "'a' <= r.sub < p.sub",
        tables.And((tables.Comparison("le", constant("a"), SUB), tables.Comparison("lt", SUB, P_SUB))),
    ),
    "a chain of three": (
        "'a' < r.sub == p.sub != 'b'",
        tables.And((tables.Comparison("lt", constant("a"), SUB), SAME, tables.Comparison("ne", P_SUB, constant("b")))),
    ),
    "a comment cuts": ("r.sub == p.sub # && r.act == p.act", SAME),
    "a comment cuts continued lines": ("r.sub == p.sub # note \\\n && r.act == p.act", SAME),
    "and in a string": ("r.sub == 'a && b'", tables.Comparison("eq", SUB, constant("a and b"))),
    "an exclamation mark before an equals sign in a string": (
        "r.sub == 'a != b!'",
        tables.Comparison("eq", SUB, constant("a != bnot ")),
    ),
    "a name of the row in a string": (
        "r.sub == p.sub && r.act == '/p.x'",
        tables.And((SAME, tables.Comparison("eq", ACT, constant("/p_x")))),
    ),
    "a name of rows not asked about in a string": (
        "r.sub == p.sub && r.act == '/p2.x'",
        tables.And((SAME, tables.Comparison("eq", ACT, constant("/p2.x")))),
    ),
    "only the first of two names that touch": (
        "r.sub == p.sub && r.act == 'p.r.x'",
        tables.And((SAME, tables.Comparison("eq", ACT, constant("p_r.x")))),
    ),
    "a class of characters": (r"r.sub == '\d\.\n'", tables.Comparison("eq", SUB, constant("\\d\\.\n"))),
    "a part of a string": ("r.sub in p.sub", tables.Within(SUB, P_SUB)),
    "a domain that is not there": ("g(r.sub, p.sub, r.obj)", tables.Linked(0, (SUB, P_SUB))),
    "a domain that is left out": ("g2(r.sub, p.sub)", tables.Linked(1, (SUB, P_SUB, constant("")))),
    "a pattern of the request": ("regexMatch(p.sub, r.sub)", tables.BuiltIn("regexMatch", (P_SUB, SUB))),
    "a column against a number": ("p.sub > 1", tables.Comparison("gt", P_SUB, constant(1))),
}


@pytest.mark.parametrize("name", COMPAT)
def test_what_only_compat_takes(name: str) -> None:
    text, want = COMPAT[name]
    assert meaning(text, "compat") == want
    assert meaning(text, "strict") != want or name.startswith("a name of rows not asked about")


# ---------------------------------------------------------------- refused in both modes

REFUSED: dict[str, tuple[str, str]] = {
    "nothing in parentheses": ("()", "E603"),
    "an operand missing in the middle": ("r.sub == && true", "E603"),
    "a parenthesis too many": ("(r.sub == p.sub))", "E603"),
    "a comma alone": ("r.sub in (,)", "E603"),
    "a bracket closed by a parenthesis": ("r.sub in ['a')", "E603"),
    "two strings side by side": ("r.sub == 'a' 'b'", "E603"),
    "a string in three quotes": ('r.sub == """a"""', "E603"),
    "a prefixed string": ("r.sub == f'a'", "E603"),
    "a keyword argument": ("keyMatch(r.obj, pattern=p.obj)", "E603"),
    "a star": ("keyMatch(*r.obj)", "E603"),
    "a slice": ("r.sub[1:2] == p.sub", "E603"),
    "a lambda": ("lambda: true", "E603"),
    "a condition as in Python": ("true if r.sub == p.sub else false", "E603"),
    "a comprehension": ("[x for x in r.sub]", "E603"),
    "a plus before a number": ("r.sub.a == +1", "E603"),
    "an underscore in a number": ("r.sub.a == 1_000", "E603"),
    "a hexadecimal number": ("r.sub.a == 0x1F", "E603"),
    "a number without its first digit": ("r.sub.a == .5", "E603"),
    "a number of 10,000 digits": (f"r.sub.a == 1{'0' * 10_000}", "E603"),
    "a number with a name behind it": ("r.sub.a == 1a", "E603"),
    "! before in": ("r.sub ! in ('a', 'b')", "E603"),
    "a backslash": ("r.sub \\ p.sub", "E603"),
    "an operator of Go": ("r.sub == p.sub ?? r.obj", "E603"),
    "a semicolon": ("r.sub == p.sub; true", "E603"),
    "an assignment": ("r.sub := p.sub", "E603"),
    "letters that look like others": ("r.\u0455ub == p.sub", "E603"),
    "a no-break space": ("r.sub\u00a0== p.sub", "E603"),
    "a keyword behind the second dot": ("r.sub.class == p.sub", "E603"),
    "an octal escape": (r"r.sub == '\07'", "E603"),
    "an escape by number": (r"r.sub == '\x41'", "E603"),
    "a chain over a call": ("1 < mine(r.sub) < 3", "E603"),
    "eval of a parameter": ("eval(r.sub)", "E603"),
    "eval of a column that is not there": ("eval(p.rules)", "E603"),
    "eval of two columns": ("eval(p.rule, p.sub)", "E603"),
    "eval with a blank before the parenthesis": ("eval (p.rule)", "E603"),
    "a builtin of Python": ("len(r.sub) == 3", "E604"),
    "a name called that is none": ("'f'(r.sub)", "E604"),
    "a call of a call": ("mine(r.sub)(p.sub)", "E604"),
    "a row function with a wrong number": ("keyMatch(r.sub, p.sub, p.obj)", "E604"),
    "a function that is not called": ("keyMatch == r.sub", "E605"),
    "a column by its name in quotes": ("p['sub'] == r.sub", "E605"),
    "the row itself": ("p == r.sub", "E605"),
    "a part of a string": ("'a'.b == r.sub", "E605"),
    "a number where a truth is needed": ("1", "E616"),
    "a string where a truth is needed": ("'true'", "E616"),
    "a truth against a string": ("(r.sub == p.sub) == 'true'", "E616"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("mode", BOTH)
def test_what_is_refused_in_both_modes(name: str, mode: Mode) -> None:
    text, code = REFUSED[name]
    assert meaning(text, mode, frozenset(("mine",))) == [code]


# ---------------------------------------------------------------- rows


def row(text: str, mode: Mode = "strict", span: Span | None = None) -> tuple[Expression | None, list[str]]:
    place = span or Span("policy.csv", 10, 10 + len(text))
    expression, found = row_expression(text, place, model_with("eval(p.rule)"), Sections(), ("mine",), mode=mode)
    return expression, [each.code for each in found]


ROWS: dict[str, tuple[str, Expression | None, list[str]]] = {
    "a comparison": ("r.sub == p.sub", SAME, []),
    "an age": ("r.sub.Age > 18", tables.Comparison("gt", tables.Field(SUB, "Age"), constant(18)), []),
    "a hash in a string stays": ("r.sub == '#'", tables.Comparison("eq", SUB, constant("#")), []),
    "a comment": ("r.sub == p.sub # x", None, ["E611"]),
    "nothing": ("", None, ["E603"]),
    "blanks": ("  ", None, ["E603"]),
    "a parenthesis that closes what the matcher opened": ("true) || (true", None, ["E603"]),
    "eval within": ("eval(p.rule)", None, ["E603"]),
    "a string": ("'admin'", None, ["E616"]),
    "an unknown name": ("r.who == p.sub", None, ["E605"]),
    "one that reads no row gives no warning": ("true", constant(True), []),
    "a function of the program": ("mine(r.sub)", tables.Own("mine", (SUB,)), []),
}


@pytest.mark.parametrize("name", ROWS)
def test_expressions_of_rows(name: str) -> None:
    text, expression, codes = ROWS[name]
    assert row(text) == (expression, codes)


def test_mistakes_of_a_row_stand_within_its_place() -> None:
    text = "r.sub == p.who"
    model = model_with("eval(p.rule)")
    at = Span("policy.csv", 10, 10 + len(text))
    _, (mistake,) = row_expression(text, at, model, Sections(), (), mode="strict")
    assert mistake.span == Span("policy.csv", 19, 24)
    elsewhere = Span("policy.csv", 10, 12)
    _, (mistake,) = row_expression(text, elsewhere, model, Sections(), (), mode="strict")
    assert mistake.span == elsewhere


# ---------------------------------------------------------------- size

HOSTILE: dict[str, str] = {
    "parentheses": "(" * 10_000,
    "parentheses that close": "(" * 10_000 + "true" + ")" * 10_000,
    "brackets": "[" * 10_000,
    "exclamation marks": "!" * 10_000,
    "nots": "not " * 10_000,
    "minus signs": "-" * 10_000,
    "calls": "f(" * 10_000,
    "calls of calls": "f" + "()" * 10_000,
    "parts": "r.sub" + ".a" * 10_000,
    "items": "r.sub" + "['a']" * 10_000,
    "a sum": "1" + "+1" * 10_000,
    "a product of sums": "(1+1)*" * 10_000 + "1",
    "ands within ors": "(true && (true || " * 5_000,
    "lists in lists": "1 in (" * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("mode", BOTH)
def test_nesting_is_bounded(name: str, mode: Mode) -> None:
    codes = meaning(HOSTILE[name], mode)
    assert isinstance(codes, list)
    assert set(codes) == {"E603"}


@pytest.mark.parametrize("levels", [DEEPEST - 3, DEEPEST, DEEPEST + 1])
def test_nesting_just_below_the_bound(levels: int) -> None:
    text = "(" * levels + "r.sub == p.sub" + ")" * levels
    assert meaning(text) == (SAME if levels < DEEPEST - 2 else ["E603"])


LONG: dict[str, str] = {
    "alternatives": "r.sub == 'alice' || ",
    "calls": "g(r.sub, p.sub) && ",
    "lists": "r.act in ('a', 'b', 'c', 'd') or ",
    "two readings": "!r.sub == p.sub && ",
    "mistakes": "p.sub > 1 || ",
    "unknown functions": "f(r.x) || ",
    "strings that are rewritten": "r.sub == 'a && !b p.x' || ",
}


@pytest.mark.parametrize("name", LONG)
def test_64_kib_are_read_at_once(name: str) -> None:
    text = LONG[name] * (65_536 // len(LONG[name])) + "true"
    began = time.process_time()
    meaning(text)
    assert time.process_time() - began < 4

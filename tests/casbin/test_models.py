"""Models: which definitions count, what each says, and the whole text of every mistake there is in one."""

from __future__ import annotations

import inspect
import time

import pytest

from policy_lang.casbin.definitions import MOST_CHARACTERS, Model, Sections, read_model
from policy_lang.casbin.matcher import resolved
from policy_lang.diagnostics import Diagnostic, has_errors, ordered, render
from policy_lang.ir.tables import Mode, TableEffect
from policy_lang.mistakes import casbin_models
from policy_lang.source import Source
from tests.casbin.golden_cases import Case, cases

REQUEST = "[request_definition]\nr = sub, obj, act\n"
POLICY = "[policy_definition]\np = sub, obj, act\n"
ROLES = "[role_definition]\ng = _, _\n"
EFFECT = "[policy_effect]\ne = some(where (p.eft == allow))\n"
MATCHERS = "[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n"
WHOLE = REQUEST + POLICY + ROLES + EFFECT + MATCHERS
BOTH: tuple[Mode, Mode] = ("strict", "compat")


def model(text: str, mode: Mode = "strict") -> Model:
    return read_model(Source("model.conf", text), mode=mode)


def codes(of: Model) -> list[str]:
    return [each.code for each in of.diagnostics]


# ---------------------------------------------------------------- all that is said

OF_MODELS = [case for case in cases() if case.source("policy.csv") is None]
_OURS = frozenset(
    kind
    for _, kind in inspect.getmembers(casbin_models, inspect.isclass)
    if issubclass(kind, Diagnostic) and kind is not Diagnostic
)


def found_in(case: Case) -> tuple[tuple[Diagnostic, ...], Source]:
    source = case.source("model.conf")
    assert source is not None, f"{case.file} has no model"
    read = read_model(source, mode=case.mode)
    _, found = resolved(read, case.sections, case.functions, mode=case.mode)
    return ordered((*read.diagnostics, *found)), source


@pytest.mark.parametrize("case", OF_MODELS, ids=lambda case: f"{case.code}-{case.file.stem}")
def test_the_whole_text_of_every_mistake(case: Case, *, update_golden: bool) -> None:
    found, source = found_in(case)
    said = render(found, {source.name: source})
    if update_golden:
        case.file.write_text(case.with_said(said), "utf-8")
    else:
        assert said == case.said
    assert case.code in {each.code for each in found}


def test_every_class_of_the_catalogue_is_reached() -> None:
    assert {type(each) for case in OF_MODELS for each in found_in(case)[0]} == _OURS


@pytest.mark.parametrize("case", OF_MODELS, ids=lambda case: f"{case.code}-{case.file.stem}")
def test_errors_give_no_expression_and_warnings_one(case: Case) -> None:
    source = case.source("model.conf")
    assert source is not None
    read = read_model(source, mode=case.mode)
    expression, found = resolved(read, case.sections, case.functions, mode=case.mode)
    assert (expression is None) >= has_errors(found)
    assert expression is not None or has_errors((*read.diagnostics, *found))
    assert expression is None or any(definition.syntax for definition in read.matchers.values())


# ---------------------------------------------------------------- definitions

EFFECTS: dict[str, tuple[str, TableEffect, bool]] = {
    "allow override": ("some(where (p.eft == allow))", "allow_override", False),
    "allow override without blanks": ("some(where(p.eft==allow))", "allow_override", False),
    "allow and deny": (
        "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
        "allow_and_deny",
        False,
    ),
    "priority": ("priority(p.eft) || deny", "priority", False),
    "priority by subject": ("subjectPriority(p.eft) || deny", "priority", True),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_effects(name: str) -> None:
    text, effect, by_subject = EFFECTS[name]
    read = model(WHOLE.replace("some(where (p.eft == allow))", text))
    assert read.diagnostics == ()
    assert (read.effects["e"].effect, read.effects["e"].by_subject) == (effect, by_subject)


def test_default_allow_has_its_effect_in_compat() -> None:
    read = model(WHOLE.replace("some(where (p.eft == allow))", "!some(where (p.eft == deny))"), "compat")
    assert (codes(read), read.effects["e"].effect) == (["W606"], "deny_override")


def test_another_effect_has_the_meaning_of_the_first_in_compat() -> None:
    text = WHOLE.replace("[matchers]", "e2 = subjectPriority(p2.eft) || deny\n[matchers]")
    strict, compat = model(text), model(text, "compat")
    assert (codes(strict), strict.effects["e2"].effect, strict.effects["e2"].by_subject) == (["E608"], "priority", True)
    assert (codes(compat), compat.effects["e2"].effect, compat.effects["e2"].by_subject) == (
        ["W608"],
        "allow_override",
        False,
    )


def test_the_same_effect_twice_is_no_mistake() -> None:
    assert codes(model(WHOLE.replace("[matchers]", "e2 = some(where (p2.eft==allow))\n[matchers]"))) == []


ROLE_FORMS: dict[str, tuple[str, tuple[bool, int] | None]] = {
    "two places": ("_, _", (False, 0)),
    "without blanks": ("_,_", (False, 0)),
    "with domains": ("_, _, _", (True, 0)),
    "with a condition of two parameters": ("_, _, (_, _)", (False, 2)),
    "with domains and a condition": ("_, _, _, (_, _)", (True, 2)),
    "with a condition of one parameter": ("_, _, (_)", (False, 1)),
    "one place": ("_", None),
    "four places": ("_, _, _, _", None),
    "an empty condition": ("_, _, ()", None),
    "names for places": ("user, role", None),
    "a condition that does not end": ("_, _, (_, _", None),
    "something behind": ("_, _ # roles", None),
}


@pytest.mark.parametrize("name", ROLE_FORMS)
@pytest.mark.parametrize("mode", BOTH)
def test_role_definitions(name: str, mode: Mode) -> None:
    text, want = ROLE_FORMS[name]
    read = model(WHOLE.replace("g = _, _", f"g = {text}"), mode)
    got = {each: (role.domains, role.conditions) for each, role in read.roles.items()}
    assert got == ({} if want is None else {"g": want})
    assert codes(read) == ([] if want is not None else ["E602"])


def test_definitions_stand_in_the_order_of_their_numbers() -> None:
    numbers = [11, 2, 3, 10, 4, 5, 9, 8, 6, 7]
    more = "".join(f"g{number} = _, _\n" for number in numbers)
    read = model(WHOLE.replace("g = _, _\n", f"{more}g = _, _\n"))
    assert list(read.roles) == ["g", *(f"g{number}" for number in range(2, 12))]
    assert read.diagnostics == ()


def test_several_definitions_of_each_kind() -> None:
    text = (
        WHOLE.replace("r = sub, obj, act", "r = sub, obj, act\nr2 = who")
        .replace("p = sub, obj, act", "p = sub, obj, act\np2 = who, eft")
        .replace("[matchers]", "[matchers]\nm2 = r2.who == p2.who")
    )
    read = model(text)
    assert (read.requests["r2"].tokens, read.policies["p2"].tokens) == (("who",), ("who", "eft"))
    expression, found = resolved(read, Sections(r="r2", p="p2", m="m2"), (), mode="strict")
    assert (expression is not None, found) == (True, ())
    assert resolved(read, Sections(m="m2"), (), mode="strict")[0] is None


def test_a_token_after_a_mistake_keeps_its_place() -> None:
    read = model(WHOLE.replace("r = sub, obj, act", "r = sub, , act"))
    assert read.requests["r"].tokens == ("sub", "", "act")
    assert codes(read) == ["E602"]


# ---------------------------------------------------------------- hostile and empty


@pytest.mark.parametrize("mode", BOTH)
def test_an_empty_model_lacks_all_but_roles(mode: Mode) -> None:
    read = model("", mode)
    assert {each.message for each in read.diagnostics} == {f"the model does not define `{key}`" for key in "rpem"}
    assert resolved(read, Sections(), (), mode=mode) == (None, ())


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("section", [REQUEST, POLICY, EFFECT, MATCHERS], ids=["r", "p", "e", "m"])
def test_a_model_without_a_section_is_refused(section: str, mode: Mode) -> None:
    read = model(WHOLE.replace(section, ""), mode)
    assert codes(read) == ["E602"]
    assert resolved(read, Sections(), (), mode=mode) == (None, ())


def test_a_file_too_large_is_not_read() -> None:
    read = model("#" * (4 * 1024 * 1024))
    assert [each.message for each in read.diagnostics] == [
        f"the model has {4 * 1024 * 1024} characters, more than {MOST_CHARACTERS}"
    ]
    assert not read.requests


SPOILT: dict[str, str] = {
    "NUL": "\x00",
    "a bell": "\x07",
    "a lone carriage return": "# a\rm = true",
    "a bidi override": "\u202e",
    "a zero width space": "\u200b",
    "a byte order mark within": "\ufeff",
    "a line separator": "\u2028",
}


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("mode", BOTH)
def test_what_nobody_sees_is_refused(name: str, mode: Mode) -> None:
    read = model(f"{WHOLE}# {SPOILT[name]}\n", mode)
    assert codes(read) == ["E602"]
    assert not read.matchers


MANY: dict[str, str] = {
    "sections": "[a]\n" * 20_000,
    "the same section": "[matchers]\n" * 20_000,
    "the same key": "[matchers]\n" + "m = 1\n" * 20_000,
    "lines that are nothing": "x\n" * 40_000,
    "continued lines of nothing": "\\\n" * 40_000,
    "tokens": f"[request_definition]\nr = {'a,' * 40_000}sub\n",
    "continued tokens": "[request_definition]\nr = a\\\n" + ",a\\\n" * 20_000,
}


@pytest.mark.parametrize("name", MANY)
def test_many_mistakes_are_found_in_linear_time(name: str) -> None:
    """Work in the square of the text would take far longer."""
    text = MANY[name]
    assert len(text) <= MOST_CHARACTERS
    began = time.process_time()
    assert has_errors(model(text).diagnostics)
    assert time.process_time() - began < 5

"""Bad input, by name: every one is a diagnostic of its own code, and nothing else is raised.

What commands do with it stands in test_hostile_commands.py, what multiplies in test_hostile_products.py.
"""

from __future__ import annotations

import pytest

from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import MOST_SHOWN, render
from policy_lang.meaning.facts import FactsError, load_facts
from tests.lang.hostile import (
    CHARACTERS,
    CIRCLES,
    FACTS,
    MANY,
    POLICY,
    RELATION,
    SEVERAL,
    SHARED,
    SIZES,
    VALUES,
    deny,
    encoded,
    refused,
)

MOST_RENDERED = 100_000
"""Characters that a person is shown at most, whatever the policy holds; a name may be as long as a file."""

ONE_FILE = {
    **{f"character: {name}": case for name, case in CHARACTERS.items()},
    **{f"size: {name}": case for name, case in SIZES.items()},
    **{f"value: {name}": case for name, case in VALUES.items()},
    **{f"circle: {name}": case for name, case in CIRCLES.items()},
}


@pytest.mark.parametrize("name", ONE_FILE)
def test_is_refused_by_name(name: str) -> None:
    text, code = ONE_FILE[name]
    files = encoded({"m.pol": text})
    error = refused(files)
    assert code in {each.code for each in error.diagnostics}, error.diagnostics[:3]
    assert len(render(error.diagnostics, sources_of(files))) < MOST_RENDERED


@pytest.mark.parametrize("name", SEVERAL)
def test_a_bundle_is_refused_by_name(name: str) -> None:
    files, code = SEVERAL[name]
    environment = "prod" if "settings/prod.toml" in files else None
    error = refused(encoded(files), environment)
    assert code in {each.code for each in error.diagnostics}, error.diagnostics[:3]


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_refused_by_name(name: str) -> None:
    files, told = FACTS[name]
    program = compile_policy(encoded({"m.pol": POLICY + RELATION + SHARED})).program
    with pytest.raises(FactsError) as error:
        load_facts(program, encoded(files))
    assert any(told in problem for problem in error.value.problems), error.value.problems
    assert all(len(problem) < 1000 for problem in error.value.problems)


def test_the_policy_without_any_of_it_compiles() -> None:
    """So what is refused here is refused for what is named."""
    assert compile_policy(encoded({"m.pol": POLICY})).warnings == ()
    compile_policy(encoded({"m.pol": POLICY + RELATION + SHARED}))


LARGEST: dict[str, str] = {
    "an integer of 2^63 - 1": deny("token.level == 9223372036854775807"),
    "an integer of -2^63": deny("token.level == -9223372036854775808"),
    "a set of 100,000 integers": deny(f"token.level in [{','.join(map(str, range(100_000)))}]"),
    "an enum of 50,000 values": f"{POLICY}enum e = {' < '.join(f'v{n}' for n in range(50_000))}\n",
    "a mapped address": deny("request.ip == ::ffff:10.0.0.1"),
    "the last day there is": deny("now > 9999-12-31"),
    "lines that end as on Windows": POLICY.replace("\n", "\r\n"),
    "an escape for what cannot be seen": deny(r'token.sub == "\u{202e}"'),
}


@pytest.mark.parametrize("name", LARGEST)
def test_what_is_large_and_legal_compiles(name: str) -> None:
    compile_policy(encoded({"m.pol": LARGEST[name]}))


def test_a_mapped_address_is_the_one_it_maps_to() -> None:
    written, plain = (
        compile_policy(encoded({"m.pol": deny(f"request.ip == {ip}")})) for ip in ("::ffff:10.0.0.1", "10.0.0.1")
    )
    assert written.program.atoms == plain.program.atoms


def test_errors_are_shown_a_hundred_at_a_time() -> None:
    files = encoded({"m.pol": SIZES["10,000 mistakes in one line"][0]})
    error = refused(files)
    assert len(error.diagnostics) == MANY
    assert render(error.diagnostics, sources_of(files)).endswith(f"{MANY - MOST_SHOWN} more not shown")

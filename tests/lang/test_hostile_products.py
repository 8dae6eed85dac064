"""What multiplies: rules with endpoints, with kinds of caller, with labels. It is refused by name before it takes long,
and what only looks as if it multiplied compiles.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_lang.checking.extent import (
    CELLS_AN_ENDPOINT,
    HELD_A_RULE,
    MOST_CELLS,
    MOST_HELD,
    MOST_REACHED,
    REACHED_A_RULE,
)
from policy_lang.checking.memory import CHARACTERS_A_STEP, MOST_STEPS
from policy_lang.compile import compile_policy
from policy_lang.declared import covering
from tests.lang.hostile import KIND, encoded, refused

README = Path(__file__).resolve().parents[2] / "policy_lang" / "README.md"


def service(endpoints: int, form: str) -> str:
    """A service of so many endpoints, `#` in each its number."""
    inside = "".join(f"endpoint {form.replace('#', str(n))}\n" for n in range(endpoints))
    return f'service s {{ audience "s" host "s.example"\n{inside}}}\n'


def kinds(count: int, claims: str = "") -> str:
    """So many kinds of token, `#` in the claims of each its number."""
    return "".join(f'token k{n} {{ issuer "https://k{n}" {claims.replace("#", str(n))} }}\n' for n in range(count))


def rules(count: int, form: str) -> str:
    """So many rules (or proofs), `#` in each its number."""
    return "".join(f"{form.replace('#', str(n))}\n" for n in range(count))


def policy(*parts: str) -> dict[str, bytes]:
    return encoded({"m.pol": "".join((f"module m\n{KIND}", *parts))})


OWN_TAG = 'e# GET /e# tag own = "#"'
OWN_CAPTURE = "e# GET /e#/{c#}"
LABELS = "".join(f"label l{n}\n" for n in range(30))
LONG = " or ".join(f'token.sub like "{n}*"' for n in range(400))
WIDE = " or ".join(f'token.c{n} == "x"' for n in range(400))


def labels_of(number: int) -> str:
    """Another combination of labels for each number."""
    return " or ".join(["l29", *(f"l{bit}" for bit in range(29) if number * 2654435761 >> bit & 1)])


def pattern_of(number: int) -> str:
    """Another form of one path for each number."""
    return "/".join("*" if number >> bit & 1 else f"a{bit}" for bit in range(11))


REFUSED: dict[str, tuple[dict[str, bytes], str, str]] = {
    "rules that are other ones on each of 1,000 endpoints": (
        policy(service(1000, OWN_TAG), rules(100, 'deny d# for any user on s when endpoint.own == "#" because "-"')),
        "E802",
        "`d0`",
    ),
    "a long rule that is another one on each of 100 endpoints for each of 50 kinds": (
        policy(
            kinds(50, "claim sub: string claim n: int 0..#"),
            service(100, OWN_TAG),
            f'deny d for anyone on s when endpoint.own == "x" or token has n and token.n != 0 and ({LONG}) because "-"',
        ),
        "E802",
        "`d`",
    ),
    "a long rule, other ones of which were a thousand before it": (
        policy(
            service(1000, OWN_TAG),
            rules(1000, 'deny a# for any user on s.e# when token.sub == "#" because "-"'),
            f'deny d for any user on s when endpoint.own == "x" or {LONG} because "-"',
        ),
        "E802",
        "`d`",
    ),
    "proofs that are other ones on each of 1,000 endpoints": (
        policy(service(1000, f"{OWN_TAG} closed"), rules(200, 'prove "p#" never allow when endpoint.own == "#"')),
        "E802",
        "`p0`",
    ),
    "headers that are other ones on each of 1,000 endpoints": (
        policy(service(1000, OWN_TAG), rules(100, 'require d# on s must set header "x-#" to endpoint.own')),
        "E802",
        "`d0`",
    ),
    "a condition that is another one on each of 1,000 endpoints": (
        policy(
            service(1000, OWN_TAG),
            'condition c = endpoint.own == "x"\n',
            rules(100, 'deny d# for any user on s when c and token.sub == "#" because "-"'),
        ),
        "E802",
        "`d0`",
    ),
    "a condition that reads 400 claims, in a thousand rules": (
        policy(
            f'token k {{ issuer "https://k" {" ".join(f"claim c{n}: string" for n in range(400))} }}\n',
            service(1, "e# GET /e#"),
            f"condition c = {WIDE}\n",
            rules(1000, 'deny d# for any k on s when c and token.c1 == "#" because "-"'),
        ),
        "E802",
        "`d0`",
    ),
    "combinations of labels by the hundred, each asked of every endpoint": (
        policy(
            LABELS,
            service(1500, "e# GET /e# tagged l29"),
            "".join(
                f'deny d{n} for any user on s ANY /** tagged {labels_of(n)} when token.sub == "{n}" because "-"\n'
                for n in range(400)
            ),
        ),
        "E802",
        "`d",
    ),
    "forms of one pattern by the hundred, each asked of every endpoint": (
        policy(
            service(400, "e# GET /a0/a1/a2/a3/a4/a5/a6/a7/a8/a9/a10/#"),
            "".join(f'deny d{n} for any user on s ANY /{pattern_of(n)}/** because "-"\n' for n in range(400)),
        ),
        "E802",
        "`d",
    ),
    "rules that each reach all endpoints but one in another way": (
        policy(
            kinds(2),
            service(400, OWN_CAPTURE),
            rules(400, 'deny d# for anyone on s when path has c# or request.ip in 10.0.0.0/8 because "-"'),
        ),
        "E802",
        "`d0`",
    ),
    "rules of all endpoints by the thousand, beside one for each": (
        policy(
            service(300, "e# GET /e#"),
            rules(300, 'allow a# for any user on s.e# because "-"'),
            rules(1000, 'allow b# for any user on s when token.sub == "#" because "-"'),
        ),
        "E802",
        "`b0`",
    ),
    "more kinds of caller than so many endpoints may have": (
        policy(kinds(600), service(300, "e# GET /e#")),
        "E232",
        "180600",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_multiplies_is_refused_by_name(name: str) -> None:
    files, code, told = REFUSED[name]
    (mistake,) = refused(files).diagnostics
    assert mistake.code == code, mistake
    assert told in mistake.message


COMPILES: dict[str, tuple[dict[str, bytes], int]] = {
    "3,000 rules, each on an endpoint of its own": (
        policy(
            service(3000, OWN_CAPTURE),
            rules(3000, 'allow a# for any user on s.e# when path.c# == token.sub because "-"'),
        ),
        3000,
    ),
    "1,000 rules, each on a pattern of its own among 1,000 endpoints": (
        policy(service(1000, OWN_CAPTURE), rules(1000, 'allow a# for any user on s GET /e#/* when true because "-"')),
        1000,
    ),
    "1,000 rules on any of 3,000 endpoints": (
        policy(
            service(3000, OWN_CAPTURE),
            rules(1000, 'deny d# for any user on any endpoint when token.sub == "#" because "-"'),
        ),
        1000,
    ),
    "3,000 rules on one endpoint": (
        policy(service(1, "e# GET /e#"), rules(3000, 'allow a# for any user on s when token.sub == "#" because "-"')),
        3000,
    ),
    "600 rules that each read what one of 1,000 endpoints has": (
        policy(service(1000, OWN_CAPTURE), rules(600, 'deny d# for any user on s when path has c# because "-"')),
        600,
    ),
    "three rules that ask for what each of 1,000 endpoints calls its own": (
        policy(
            service(1000, OWN_TAG),
            "relation granted (who: string, what: string)\n",
            rules(3, 'deny d# for any user on s when not granted(token.sub, endpoint.own) because "-"'),
        ),
        3,
    ),
    "one condition in a thousand rules": (
        policy(
            service(1, "e# GET /e#"),
            'condition inside = token.level > 3 and token.sub != "x" and not (token.groups is empty)\n',
            rules(1000, 'allow a# for any user on s when inside and token.sub == "#" because "-"'),
        ),
        1000,
    ),
    "a hundred kinds of caller for 1,000 endpoints": (
        policy(kinds(100, "claim sub: string"), service(1000, OWN_CAPTURE), 'deny d for anyone on s because "-"'),
        1,
    ),
    "labels in every pair that twenty make": (
        policy(
            LABELS,
            service(900, "e# GET /e# tagged l1"),
            "".join(
                f'deny d{one}_{two} for any user on s tagged l{one} or l{two} because "-"\n'
                for one in range(20)
                for two in range(one)
            ),
        ),
        190,
    ),
}


@pytest.mark.parametrize("name", COMPILES)
def test_what_does_not_multiply_compiles(name: str) -> None:
    files, count = COMPILES[name]
    assert len(compile_policy(files).program.rules) == count


LIMITS = {
    "steps of checking": f"| {MOST_STEPS:,}, and one for two characters of the policy |"
    if CHARACTERS_A_STEP == 2
    else "",
    "steps of covering": f"| {covering.MOST_STEPS:,} steps, and {covering.STEPS_A_TARGET} for each target |",
    "endpoints times kinds": f"| {MOST_CELLS:,}, and {CELLS_AN_ENDPOINT} for each endpoint |",
    "what rules reach": f"| {MOST_REACHED:,}, and {REACHED_A_RULE} for each rule |",
    "what endpoints hold": f"| {MOST_HELD:,}, and {HELD_A_RULE} for each rule |",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_language_reference_states_the_limit(limit: str) -> None:
    assert LIMITS[limit]
    assert LIMITS[limit] in README.read_text()

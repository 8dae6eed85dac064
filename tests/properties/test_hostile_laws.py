"""What is near a policy and is none: mutated examples, facts, settings and programs are refused, or are what they say.

Each law draws from a seed, so that a failure is found again by its number. A compiler, a loader or an evaluator that
meets nonsense may refuse it in its one way; whatever is not refused decides every question, without an exception, the
same by definition and by plan.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from policy_lang.compile import Compiled, compile_policy, sources_of
from policy_lang.diagnostics import CompileError, render
from policy_lang.ir import Program
from policy_lang.ir.codec import dump, load
from policy_lang.meaning.facts import FactsError, load_facts
from policy_lang.meaning.reference import Reference
from policy_lang.plan.plans import Plans
from policy_lang.verdict import Facts, Json
from tests.support.generator.agreement import difference
from tests.support.generator.policies import ENVIRONMENT, draw_bundle
from tests.support.generator.questions import Questioner

EXAMPLES = Path(__file__).resolve().parents[2] / "policies" / "examples"
BATCHES = range(8)
EACH = 12
"""Mutants of one batch, which is one test."""

QUESTIONS = 6
LEAST_COMPILED = 0.1
"""The share of mutants that must still compile, or the law would be about refusals only."""

_TOKEN = re.compile(r'"[^"\n]*"|[0-9][0-9A-Za-z.:/_-]*|[a-z_][a-z0-9_.]*|[^\sa-z0-9"]+|\s+')


class Base(Struct, frozen=True):
    """A policy that compiles, and the environment it compiles in."""

    files: Mapping[str, bytes]
    environment: str | None


@cache
def bases() -> Sequence[Base]:
    """The examples, and some drawn policies that use what they do not."""
    found = []
    for folder in sorted(each for each in EXAMPLES.iterdir() if each.is_dir()):
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        names = sorted(path for path in files if path.startswith("settings/"))
        found.append(Base(files, Path(names[0]).stem if names else None))
    drawn = (draw_bundle(random.Random(f"hostile {number}"), 0.0) for number in range(4))
    return (*found, *(Base(bundle.files(), ENVIRONMENT) for bundle in drawn))


def decides(program: Program, facts: Facts, rng: random.Random) -> None:
    """Raise unless both evaluators decide every question of a program, and alike."""
    reference, plans, questioner = Reference.of(program), Plans.of(program), Questioner(program, facts)
    for number in range(QUESTIONS if program.endpoints else 0):
        question = questioner.hostile(rng) if number % 3 == 0 else questioner.draw(rng)
        told = difference(reference.decide(question), plans.decide(question))
        assert not told, f"{told}\n{question}"


# ---------------------------------------------------------------- mutations of text


def flipped(text: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """One byte is another."""
    if not text:
        return b"\x00"
    at = rng.randrange(len(text))
    return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]


def cut(text: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """The end is missing."""
    return text[: rng.randrange(len(text) + 1)]


def doubled(text: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """Some of it stands twice."""
    start, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:end] + text[start:]


def line_lost(text: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """One line is missing."""
    lines = text.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def swapped(text: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """Two tokens have changed places."""
    tokens = _TOKEN.findall(text.decode())
    one, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return "".join(tokens).encode()


def borrowed(text: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A token is one of the same sort, from this file or from another."""
    tokens = _TOKEN.findall(text.decode())
    at = rng.choice([n for n, token in enumerate(tokens) if not token.isspace()])
    pool = _TOKEN.findall(rng.choice([text, *others]).decode())
    tokens[at] = rng.choice([token for token in pool if _sort(token) == _sort(tokens[at])] or [tokens[at]])
    return "".join(tokens).encode()


def _sort(token: str) -> str:
    return '"' if token[0] == '"' else "0" if token[0].isdigit() else "a" if token[0].isalpha() else token


def spliced(text: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The end is that of another file."""
    other = rng.choice([text, *others])
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
MUTATIONS: tuple[Mutation, ...] = (flipped, cut, doubled, line_lost, line_lost, swapped, borrowed, borrowed, spliced)


def mutated(base: Base, rng: random.Random, ending: tuple[str, ...]) -> dict[str, bytes]:
    """The files of a policy, of which one that ends so is another."""
    files = dict(base.files)
    name = rng.choice(sorted(each for each in files if each.endswith(ending)))
    others = [data for each in bases() for path, data in each.files.items() if path.endswith(ending)]
    files[name] = rng.choice(MUTATIONS)(files[name], rng, others)
    return files


def compiled_or_refused(files: Mapping[str, bytes], environment: str | None) -> Compiled | None:
    """What the compiler makes of it; None for a refusal, which must be one that a person can be shown."""
    try:
        return compile_policy(files, environment)
    except CompileError as error:
        assert any(each.severity == "error" for each in error.diagnostics)
        assert "error[E" in render(error.diagnostics, sources_of(files))
        return None


# ---------------------------------------------------------------- the laws


def test_a_mutated_policy_is_refused_or_decides() -> None:
    """compile(mutant) is CompileError, or decide(compile(mutant), q) is a verdict for every q."""
    compiled = sum(_mutants_that_compile(batch) for batch in BATCHES)
    assert compiled >= LEAST_COMPILED * len(BATCHES) * EACH


def _mutants_that_compile(batch: int) -> int:
    rng = random.Random(f"policy {batch}")
    count = 0
    for _ in range(EACH):
        base = rng.choice(bases())
        compiled = compiled_or_refused(mutated(base, rng, (".pol",)), base.environment)
        if compiled is not None:
            count += 1
            no_facts: Facts = {relation.id: frozenset() for relation in compiled.program.relations}
            decides(compiled.program, no_facts, rng)
    return count


@pytest.mark.parametrize("batch", BATCHES)
def test_mutated_facts_are_refused_or_decide(batch: int) -> None:
    """load_facts(mutant) is FactsError, or decide(p, q with those facts) is a verdict for every q."""
    rng = random.Random(f"facts {batch}")
    with_facts = [base for base in bases() if any(path.startswith("facts/") for path in base.files)]
    for _ in range(EACH):
        base = rng.choice(with_facts)
        program = compile_policy(base.files, base.environment).program
        try:
            facts = load_facts(program, mutated(base, rng, (".csv", ".json")))
        except FactsError as error:
            assert error.problems
            continue
        decides(program, facts, rng)


@pytest.mark.parametrize("batch", BATCHES)
def test_mutated_settings_are_refused_or_decide(batch: int) -> None:
    """The same of settings as of policies."""
    rng = random.Random(f"settings {batch}")
    with_settings = [base for base in bases() if base.environment is not None]
    for _ in range(EACH):
        base = rng.choice(with_settings)
        compiled = compiled_or_refused(mutated(base, rng, (".toml",)), base.environment)
        if compiled is not None:
            decides(compiled.program, {relation.id: frozenset() for relation in compiled.program.relations}, rng)


# ---------------------------------------------------------------- programs as bytes


@cache
def programs() -> Sequence[Program]:
    return [compile_policy(base.files, base.environment).program for base in bases()]


def loaded_or_refused(data: bytes) -> Program | None:
    """What the loader makes of some bytes; ValueError is its one refusal."""
    try:
        return load(data)
    except ValueError:
        return None


@pytest.mark.parametrize("batch", BATCHES)
def test_mutated_bytes_of_a_program_are_refused_or_decide(batch: int) -> None:
    """load(mutant) is ValueError, or a program p with load(dump(p)) = p that decides every q."""
    rng = random.Random(f"bytes {batch}")
    for _ in range(EACH):
        data = dump(rng.choice(programs()))
        mutant = rng.choice((flipped, cut, doubled))(data, rng, ())
        program = loaded_or_refused(mutant)
        if program is not None:
            assert load(dump(program)) == program
            decides(program, {relation.id: frozenset() for relation in program.relations}, rng)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_program_with_a_value_out_of_place_is_refused_or_decides(batch: int) -> None:
    """The same of JSON in which one value is another one of the document, or of nowhere."""
    rng = random.Random(f"values {batch}")
    for _ in range(2 * EACH):
        document: Json = json.loads(dump(rng.choice(programs())))
        replace_one(document, rng)
        program = loaded_or_refused(json.dumps(document).encode("ascii"))
        if program is not None:
            assert load(dump(program)) == program
            decides(program, {relation.id: frozenset() for relation in program.relations}, rng)


STRANGE: tuple[Json, ...] = (None, True, -1, 0, 2**63, 10**30, 1.5, "", "\u202e", "x" * 5000, [], {}, [[]])


def replace_one(document: Json, rng: random.Random) -> None:
    """Put something else at one place of a document."""
    held = list(places(document))
    container, key = rng.choice(held)
    put: Json = rng.choice(STRANGE)
    if rng.random() < 0.7:
        other, its = rng.choice(held)
        put = json.loads(json.dumps(at(other, its)))
    if isinstance(container, dict):
        container[str(key)] = put
    elif isinstance(container, list):
        container[int(key)] = put


def places(document: Json) -> Sequence[tuple[Json, str | int]]:
    """Every member of every object and list of a document."""
    found: list[tuple[Json, str | int]] = []
    todo = [document]
    while todo:
        value = todo.pop()
        keys: Sequence[str | int] = ()
        if isinstance(value, dict):
            keys = tuple(value)
        elif isinstance(value, list):
            keys = range(len(value))
        found += [(value, key) for key in keys]
        todo += [at(value, key) for key in keys]
    return found


def at(container: Json, key: str | int) -> Json:
    """The member of an object or a list."""
    if isinstance(container, dict):
        return container[str(key)]
    assert isinstance(container, list)
    return container[int(key)]

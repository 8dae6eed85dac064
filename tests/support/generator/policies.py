"""Draws whole bundles of well-typed policies: every construct of the language, as the texts of its files.

`draw_bundle` takes a seeded `random.Random`; `Bundle.files` writes the files, `Bundle.compiled` compiles them. A bundle
is well typed by construction, so one that is refused is a fault of the generator or of the checker.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from policy_lang.compile import Compiled, compile_policy
from policy_lang.ir import Effect
from policy_lang.typesystem import IntType, RoleType, Scalar, SetType, Type
from tests.support.generator.blocks import BlockText, draw_blocks
from tests.support.generator.contexts import Place
from tests.support.generator.expressions import Expressions
from tests.support.generator.pools import json_value, text_of
from tests.support.generator.rules import Rules, RuleText
from tests.support.generator.services import draw_services
from tests.support.generator.targets import Targets
from tests.support.generator.vocabulary import draw_vocabulary
from tests.support.generator.world import Condition, Service, World

ENVIRONMENT = "prod"


class ModuleText(Struct, frozen=True):
    """A module without its rules; `declarations` one text each."""

    name: str
    imports: tuple[str, ...]
    declarations: tuple[str, ...]


class Bundle(Struct, frozen=True):
    """A bundle in pieces. `spare` are rules that are not in it and could be."""

    modules: tuple[ModuleText, ...]
    rules: tuple[RuleText, ...]
    spare: tuple[RuleText, ...]
    others: Mapping[str, bytes]

    def files(self, order: random.Random | None = None) -> dict[str, bytes]:
        """The files of the bundle; files, declarations, rules and clauses turned round where an order is given."""
        names = [f"{module.name.replace('.', '_')}.pol" for module in self.modules]
        if order is not None:
            order.shuffle(names)
        texts = {name: self._text(module, order).encode() for name, module in zip(names, self.modules, strict=True)}
        return {**texts, **self.others}

    def _text(self, module: ModuleText, order: random.Random | None) -> str:
        pieces = [*module.declarations, *(rule.text(order) for rule in self.rules if rule.module == module.name)]
        if order is not None:
            order.shuffle(pieces)
        pragma = "language 1\n" if len(module.imports) < 2 else ""  # it may be left out
        return "\n\n".join([f"{pragma}module {module.name}", *module.imports, *pieces, ""])

    def compiled(self) -> Compiled:
        """The program and what else compiling gives; raises CompileError."""
        return compile_policy(self.files(), settings=ENVIRONMENT)

    def with_rules(self, rules: Sequence[RuleText]) -> Bundle:
        """The same bundle with other rules."""
        return replace(self, rules=tuple(rules))


def draw_bundle(rng: random.Random, crowded: float = 0.2) -> Bundle:
    """A bundle, and some rules to add to it; on one endpoint of that share of bundles many rules meet."""
    names = rng.choice(
        [("shop",), ("base", "shop"), ("org.base", "org.shop", "org.guard"), ("base", "shop", "files", "guard")]
    )
    vocabulary = draw_vocabulary(rng, names[0])
    homes = names if len(names) == 1 else names[1:]
    own_labels = {name: frozenset(["money"]) for name in names[1:] if rng.random() < 0.15}
    world = draw_services(rng, vocabulary.world, homes, own_labels)
    conditions = list(_conditions(rng, world))
    world = replace(world, conditions=tuple(condition for condition, _ in conditions))
    rules, spare = _rules(rng, world, names, own_labels, crowded)
    shared = (*vocabulary.names, *world.labels, *(condition.name for condition in world.conditions))
    own = {names[0]: [*vocabulary.declarations, *(text for _, text in conditions)]}
    modules = tuple(_module(name, names, world, shared, own.get(name, []), own_labels) for name in names)
    last = replace(modules[-1], declarations=(*modules[-1].declarations, *_extras(rng, world)))
    others = {f"settings/{ENVIRONMENT}.toml": vocabulary.settings, **dict(_facts(rng, world, names[0]))}
    blocks = list(draw_blocks(rng, world, names))
    whole = tuple(_with_blocks(each, blocks) for each in (*modules[:-1], last))
    return Bundle(whole, rules, spare, others | {name: data for block in blocks for name, data in block.files.items()})


def _with_blocks(module: ModuleText, blocks: Sequence[BlockText]) -> ModuleText:
    own = (block.text for block in blocks if block.module == module.name)
    return replace(module, declarations=(*module.declarations, *own))


def _module(
    name: str,
    names: Sequence[str],
    world: World,
    shared: Sequence[str],
    own: Sequence[str],
    own_labels: Mapping[str, frozenset[str]],
) -> ModuleText:
    labels = sorted(own_labels.get(name, ()))
    services = [_service_text(service) for service in world.services if service.module == name]
    declarations = (*(f"label {label}" for label in labels), *own, *services)
    if name == names[0]:
        return ModuleText(name, (), declarations)
    imports = [f"import {names[0]} ({', '.join(each for each in shared if each not in labels)})"]
    for other in names[1 : names.index(name)]:
        seen = [service.name for service in world.services if service.module == other]
        imports += [f"import {other} ({', '.join(seen)})"] if seen else []
    return ModuleText(name, tuple(imports), declarations)


def _service_text(service: Service) -> str:
    endpoints = "".join(f"  {text}\n" for text in service.endpoints)
    return f"service {service.name} {{\n{service.head}{endpoints}}}"


# ---------------------------------------------------------------- conditions

_PARAMETERS: Sequence[tuple[str, Type]] = (
    ("account", Scalar.STRING),
    ("most", IntType()),
    ("device", Scalar.UUID),
    ("address", Scalar.IP),
    ("since", Scalar.TIME),
    ("members", SetType(Scalar.STRING)),
)


def _conditions(rng: random.Random, world: World) -> Iterator[tuple[Condition, str]]:
    """Conditions that hold their own in any environment; later ones may use earlier ones."""
    expressions = Expressions(rng, signals=0.2)
    roles = tuple(sorted(role for kind in world.kinds for role in kind.roles))
    for number in range(rng.choice([1, 2, 3])):
        choices = [*_PARAMETERS, ("level_asked", world.enums[0]), ("held", RoleType(roles))]
        parameters = tuple(rng.sample(choices, rng.choice([0, 1, 1, 2])))
        place = Place(world, world.envs, parameters=parameters)
        body = expressions.condition(place, rng.choice([1, 2]), 0.5)
        condition = Condition(f"cond{number}", parameters)
        head = f" ({', '.join(f'{name}: {type_}' for name, type_ in parameters)})" if parameters else ""
        yield condition, f"condition {condition.name}{head} = {body.text}"
        world = replace(world, conditions=(*world.conditions, condition))


# ---------------------------------------------------------------- rules


def _rules(
    rng: random.Random, world: World, names: Sequence[str], own_labels: Mapping[str, frozenset[str]], crowded: float
) -> tuple[tuple[RuleText, ...], tuple[RuleText, ...]]:
    visible = {
        name: [each for each in world.services if each.module in names[: names.index(name) + 1]] for name in names
    }
    targets = Targets(rng, world, visible, own_labels)
    drawing = Rules(rng, world, targets)
    effects: list[tuple[Effect, bool]] = [("allow", True)] * (3 * len(world.services))
    effects += [("require", True)] * rng.choice([1, 1, 2, 3])
    more: Sequence[Effect] = ("allow", "deny", "deny", "deny", "require")
    effects += [(rng.choice(more), False) for _ in range(rng.choice([3, 6, 6, 10, 14]))]
    granting = sorted({module for service in world.services for module in service.grants_by})
    drawn: list[RuleText] = []
    for effect, broad in effects:
        homes = granting if effect == "allow" else names
        rule = drawing.rule(effect, f"r{len(drawn)}", rng.choice(homes), broad=broad)
        drawn += [] if rule is None else [rule]
    if rng.random() < crowded:
        drawn += _swarm(rng, world, names, targets, drawing)
    extra: Sequence[Effect] = ("allow", "deny", "require")
    spare = [drawing.rule(effect, f"new_{effect}", names[-1], broad=effect == "allow") for effect in extra]
    rng.shuffle(drawn)
    return tuple(drawn), tuple(rule for rule in spare if rule is not None)


def _swarm(
    rng: random.Random, world: World, names: Sequence[str], targets: Targets, drawing: Rules
) -> Iterator[RuleText]:
    """Many rules on one endpoint."""
    target = targets.single(names[-1], rng.randrange(len(world.endpoints)))
    if target is None:
        return
    focus = drawing.focus(target)
    for number in range(rng.randint(20, 45)):
        effect: Effect = rng.choice(["allow", "allow", "deny", "require"])
        yield drawing.one_of_many(effect, f"many{number}", names[-1], target, focus)


# ---------------------------------------------------------------- the rest


def _extras(rng: random.Random, world: World) -> Iterator[str]:
    """A proof and a test, which do not bear on decisions."""
    if rng.random() < 0.3:
        written = Expressions(rng).condition(Place(world, world.envs), 1)
        quantifier = rng.choice(["never", "always"])
        yield f'prove "it holds"\n  {quantifier} allow for anyone on any endpoint when {written.text}'
    call = f"call {world.services[0].name} GET /nowhere/at/all"
    yield f'test "nobody is nobody" {{\n  given anonymous\n  {call} expect deny\n}}'


def _facts(rng: random.Random, world: World, module: str) -> Iterator[tuple[str, bytes]]:
    for relation in world.relations:
        rows = [
            [text_of(json_value(rng, type_)) for _, type_ in relation.columns] for _ in range(rng.choice([0, 3, 8]))
        ]
        lines = [[name for name, _ in relation.columns], *rows]
        yield f"facts/{module}.{relation.name}.csv", "".join(f"{','.join(line)}\r\n" for line in lines).encode()

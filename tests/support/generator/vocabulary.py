"""Draws the vocabulary of a bundle: enums, labels, networks, workloads, kinds, roles, relations, signals, settings.

`draw_vocabulary` gives the values and the declarations that say the same. Names are fixed and unique in the bundle, so
that any module may import any of them; which there are, of what types, and how they hang together is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type
from tests.support.generator.pools import DURATIONS, MODES, NETWORKS, NOW_MS, UUIDS, WORKLOADS, instant_text
from tests.support.generator.world import Field, Kind, Relation, World

STRING_SET = SetType(Scalar.STRING)


class Vocabulary(Struct, frozen=True):
    """`declarations` are one text each; `names` is all that another module may import; `settings` the settings file."""

    world: World
    declarations: tuple[str, ...]
    names: tuple[str, ...]
    settings: bytes


def draw_vocabulary(rng: random.Random, module: str) -> Vocabulary:
    """The vocabulary that `module` declares."""
    enums = (
        EnumType(f"{module}.level", ("low", "mid", "high", "top")[: rng.choice([2, 3, 4])], ordered=True),
        EnumType(f"{module}.region", ("eu", "us", "apac"), ordered=False),
    )
    labels = ("money", "pii", "danger")
    settings, setting_texts, bound = _settings(rng)
    network_texts = _networks(rng)
    kinds, kind_texts, roles = _kinds(rng, enums)
    relations = _relations(rng, roles, enums)
    signals, signal_texts = _signals(rng, enums)
    declarations = [
        *(f"enum {enum} = {(' < ' if enum.ordered else ' | ').join(enum.values)}" for enum in enums),
        f"label {', '.join(labels)}",
        *setting_texts,
        *network_texts.values(),
        *_workloads(rng),
        *kind_texts,
        *(
            f"relation {each.name} ({', '.join(f'{name}: {type_}' for name, type_ in each.columns)})"
            for each in relations
        ),
        *signal_texts,
    ]
    names = (
        *(str(enum) for enum in enums),
        *settings,
        *network_texts,
        *WORKLOADS,
        *(kind.name for kind in kinds),
        *roles,
        *(relation.name for relation in relations),
        *signals,
        "trusted",
    )
    networks = (*network_texts, "trusted")
    constants = {name: settings[name] for name in ("tenant_id", "limit", "freshness")}
    world = World(enums, labels, networks, tuple(WORKLOADS), constants, signals, kinds, relations)
    return Vocabulary(world, tuple(declarations), names, bound)


def _settings(rng: random.Random) -> tuple[dict[str, Type], list[str], bytes]:
    """Settings, some of them bound in the file, some by their default."""
    types: dict[str, Type] = {
        "tenant_id": Scalar.STRING,
        "limit": IntType(),
        "freshness": Scalar.DURATION,
        "orders_audience": Scalar.STRING,
        "user_issuer": Scalar.STRING,
        "shop_host": Scalar.STRING,
        "edge_identity": Scalar.STRING,
    }
    values = {
        "tenant_id": f'"{rng.choice(["acme", "a1"])}"',
        "limit": str(rng.choice([1, 2, 50])),
        "freshness": rng.choice(list(DURATIONS)),
        "orders_audience": '"https://orders.example"',
        "user_issuer": '"https://user.example"',
        "shop_host": '"shop.example"',
        "edge_identity": f'"{WORKLOADS["edge"]}"',
        "trusted": f"[{', '.join(rng.sample(NETWORKS, 2))}]",
    }
    texts: list[str] = []
    bound: list[str] = []
    for name, value in values.items():
        word = "network" if name == "trusted" else str(types[name])
        if rng.random() < 0.5:
            texts.append(f"setting {name}: {word} = {value}")
            continue
        texts.append(f"setting {name}: {word}")
        quoted = f'"{value}"' if name == "freshness" else value
        members = value.strip("[]").split(", ")
        listed = ", ".join(f'"{member}"' for member in members)
        bound.append(f"{name} = [{listed}]" if name == "trusted" else f"{name} = {quoted}")
    return types, texts, "\n".join([*bound, ""]).encode()


def _networks(rng: random.Random) -> dict[str, str]:
    office = f"network office = {', '.join(rng.sample(NETWORKS, rng.choice([1, 2])))}"
    pods = "network pods = 10.20.0.0/16, 2001:db8:20::/48 except 10.20.255.0/24"
    inside = f"network inside = pods, office{rng.choice(['', ', trusted', ', 203.0.113.70', ' except 192.0.2.0/28'])}"
    return {"office": office, "pods": pods, "inside": inside}


def _workloads(rng: random.Random) -> Iterator[str]:
    for name, identity in WORKLOADS.items():
        by_setting = name == "edge" and rng.random() < 0.3
        yield f"workload {name} = edge_identity" if by_setting else f'workload {name} = "{identity}"'


# ---------------------------------------------------------------- principals


def _kinds(rng: random.Random, enums: Sequence[EnumType]) -> tuple[tuple[Kind, ...], list[str], tuple[str, ...]]:
    drawn = [_user(rng, enums)]
    if rng.random() < 0.6:
        drawn.append(_partner(rng, enums))
    if rng.random() < 0.3:
        drawn.append(_robot(rng))
    if rng.random() < 0.7:
        drawn.append(_employee(rng, enums))
    kinds = tuple(kind for kind, _ in drawn)
    return kinds, [text for _, texts in drawn for text in texts], tuple(role for kind in kinds for role in kind.roles)


def _optional(rng: random.Random, share: float) -> bool:
    return rng.random() < share


def _user(rng: random.Random, enums: Sequence[EnumType]) -> tuple[Kind, list[str]]:
    level, region = enums
    fields = [
        Field("sub", Scalar.STRING),
        Field("groups", STRING_SET, optional=_optional(rng, 0.2), source=rng.choice([(), ("realm", "roles")])),
        Field("auth_time", Scalar.TIME, optional=_optional(rng, 0.25)),
        Field("amr", STRING_SET, optional=_optional(rng, 0.25)),
    ]
    extras = [
        Field("accounts", STRING_SET, optional=True),
        Field("suspended", Scalar.BOOL, optional=True),
        Field("clearance", IntType(0, 5), optional=_optional(rng, 0.4)),
        Field("level", level, optional=_optional(rng, 0.4)),
        Field("levels", SetType(level), optional=True),
        Field("region", region, optional=True),
        Field("email", Scalar.STRING, optional=True, private=True),
        Field("home", Scalar.IP, optional=True),
        Field("homes", SetType(Scalar.IP), optional=True),
        Field("device", Scalar.UUID, optional=True),
        Field("devices", SetType(Scalar.UUID), optional=True),
        Field("session", Scalar.DURATION, optional=_optional(rng, 0.5)),
        Field("agent", Scalar.WORKLOAD, optional=True),
        Field("tenant", Scalar.STRING, optional=_optional(rng, 0.3), source=("profile", "https://example/tenant")),
        Field("scores", SetType(IntType(0, 9)), optional=True),
        Field("born", Scalar.TIME, optional=True, private=True),
        Field("role", Scalar.STRING, optional=True),
    ]
    fields += rng.sample(extras, rng.randint(4, 9))
    gives = "none" if rng.random() < 0.1 else "token.groups"
    roles = ("customer", "support", "lead", "auditor", "admin")
    items = ["role customer", "role support"]
    if gives == "none":
        items += ["role lead includes support", "role auditor", "role admin includes customer"]
    else:
        items += ['role lead from "lead", "Leads" includes support', 'role auditor from "Auditors"']
        items += [rng.choice(["role admin", 'role admin from "admin", "root" includes customer'])]
        if rng.random() < 0.6:
            items.append("exclusive auditor, admin")
    factors = _factors(rng, fields, "token", "auth_time")
    kind = Kind("user", "token", tuple(fields), tuple(factors), roles, held=gives != "none")
    return _declared(kind, factors, gives, items)


def _partner(rng: random.Random, enums: Sequence[EnumType]) -> tuple[Kind, list[str]]:
    level, _ = enums
    strings_or_levels: tuple[Type, ...] = (Scalar.STRING, level)
    tier = rng.choice(strings_or_levels)
    fields = [
        Field("sub", Scalar.STRING),
        Field("merchant", Scalar.STRING),
        Field("tier", tier, optional=_optional(rng, 0.3)),
        Field("level", rng.choice(strings_or_levels), optional=True),
        Field("clearance", IntType(0, 5), optional=_optional(rng, 0.5)),
    ]
    if rng.random() < 0.5:
        fields.append(Field("auth_time", Scalar.TIME))
    first, second = ("low", "mid") if tier == level else ("a1", "u1")
    items = [f'role gold from "{second}" includes silver', f'role silver from "{first}"']
    factors = _factors(rng, fields, "token", "auth_time") if len(fields) > 5 else {}
    return _declared(
        Kind("partner", "token", tuple(fields), tuple(factors), ("gold", "silver")), factors, "token.tier", items
    )


def _robot(rng: random.Random) -> tuple[Kind, list[str]]:
    fields = (
        Field("client", Scalar.STRING, source=("azp",)),
        Field("scores", SetType(IntType(0, 9)), optional=_optional(rng, 0.5)),
    )
    return _declared(Kind("robot", "token", fields, (), ()), {}, "", [])


def _employee(rng: random.Random, enums: Sequence[EnumType]) -> tuple[Kind, list[str]]:
    level, _ = enums
    fields = [
        Field("department", Scalar.STRING, optional=_optional(rng, 0.7)),
        Field("last_login", Scalar.TIME, optional=_optional(rng, 0.5)),
        Field("teams", STRING_SET, optional=_optional(rng, 0.5), source=("org", "teams")),
        Field("grade", level, optional=True),
        Field("email", Scalar.STRING, optional=True, private=True),
    ]
    gives = rng.choice(["none", "subject.teams"])
    exclusive = ["exclusive reader, clerk"] if gives != "none" and rng.random() < 0.4 else []
    items = ["role reader", "role keeper includes reader", "role clerk", *exclusive]
    factors = _factors(rng, fields, "subject", "last_login")
    return _declared(
        Kind("employee", "subject", tuple(fields), tuple(factors), ("reader", "keeper", "clerk")), factors, gives, items
    )


def _factors(rng: random.Random, fields: Sequence[Field], root: Literal["token", "subject"], at: str) -> dict[str, str]:
    """The factors of a kind whose proof stands in the field `at`."""
    by_name = {field.name: field for field in fields}
    there = [f"{root} has {at}"] if by_name[at].optional else []
    factors = {"login": there}
    if "amr" in by_name:
        used = ", ".join(f'"{mode}"' for mode in rng.sample(MODES, 2))
        has = ["token has amr"] if by_name["amr"].optional else []
        factors["mfa"] = [*there, *has, f"token.amr overlaps [{used}]"]
    if rng.random() < 0.2:
        factors["fresh"] = [*there, f"now - {root}.{at} < {rng.choice(['5m', 'freshness'])}"]
    return {
        name: f"factor {name} at {root}.{at}{' when ' if asked else ''}{' and '.join(asked)}"
        for name, asked in factors.items()
    }


def _declared(kind: Kind, factors: dict[str, str], gives: str, items: Sequence[str]) -> tuple[Kind, list[str]]:
    if kind.form == "token":
        issuer = "user_issuer" if kind.name == "user" else f'"https://{kind.name}.example"'
        head, word = f"issuer {issuer}", "claim"
    else:
        head, word = f'type "{kind.name}"', "property"
    lines = [head, *(field.text(word) for field in kind.fields), *factors.values()]
    body = "".join(f"  {line}\n" for line in lines)
    texts = [f"{'token' if kind.form == 'token' else 'subject'} {kind.name} {{\n{body}}}"]
    if items:
        listed = "".join(f"  {item}\n" for item in items)
        texts.append(f"roles for {kind.name} from {gives} {{\n{listed}}}")
    return kind, texts


# ---------------------------------------------------------------- data from outside


def _relations(rng: random.Random, roles: tuple[str, ...], enums: Sequence[EnumType]) -> tuple[Relation, ...]:
    level, region = enums
    role = RoleType(tuple(sorted(roles)))
    relations = [
        Relation("shared", (("account", Scalar.STRING), ("user", Scalar.STRING))),
        Relation("blocked", (("user", Scalar.STRING),)),
        Relation("member", (("user", Scalar.STRING), ("role", role))),
        Relation("tenant_role", (("user", Scalar.STRING), ("tenant", Scalar.STRING), ("role", role))),
        Relation("quota", (("level", level), ("most", IntType()))),
        Relation("device_known", (("device", Scalar.UUID), ("lost", Scalar.BOOL))),
        Relation("seen_from", (("address", Scalar.IP), ("region", region))),
        Relation("calls_for", (("caller", Scalar.WORKLOAD), ("since", Scalar.TIME))),
        Relation("pause", (("user", Scalar.STRING), ("length", Scalar.DURATION))),
    ]
    return tuple(rng.sample(relations, rng.randint(2, 5)))


def _signals(rng: random.Random, enums: Sequence[EnumType]) -> tuple[dict[str, Type], list[str]]:
    level, region = enums
    kinds: list[tuple[str, Type, str, str]] = [
        ("risk", IntType(0, 100), "context.risk", "10"),
        ("trusted_device", Scalar.BOOL, "context.trusted_device", "true"),
        ("posture", level, "context.posture", '"low"'),
        ("place", region, "context.place", '"eu"'),
        ("zones", STRING_SET, "context.zones", '["a1", "a2"]'),
        ("note", Scalar.STRING, "context.note", '"a1"'),
        ("last_seen", Scalar.TIME, "context.last_seen", instant_text(NOW_MS)),
        ("hop", Scalar.IP, "context.hop", "192.0.2.7"),
        ("session_id", Scalar.UUID, "context.session_id", f'"{UUIDS[0]}"'),
        ("calls", IntType(), "seen.per_minute", "0"),
        ("accounts_seen", IntType(), "seen.distinct", "0"),
    ]
    drawn = rng.sample(kinds, rng.randint(2, 6))
    texts = list(_signal_texts(rng, drawn))
    return {name: type_ for name, type_, _, _ in drawn}, texts


def _signal_texts(rng: random.Random, drawn: Sequence[tuple[str, Type, str, str]]) -> Iterator[str]:
    for name, type_, provider, fallback in drawn:
        key = rng.choice(["token.sub", "(token.sub, endpoint)"])
        otherwise = fallback if rng.random() < 0.4 else "unknown"
        yield f'signal {name}: {type_} from "{provider}" key {key} within {rng.choice(["2ms", "5ms"])} else {otherwise}'

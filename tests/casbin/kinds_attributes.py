"""Kinds whose matcher asks attributes, lists and numbers: by rules of the policy, by objects, by literals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace

from tests.casbin.draws import (
    ACTIONS,
    OBJECTS,
    SUBJECTS,
    Row,
    asking,
    lines,
    plain_free,
    plain_hit,
    rows,
    voted,
)
from tests.casbin.kind import ALLOW_AND_DENY, SAME_OBJECT_AND_ACTION, Kind, Request, Trial, model

Made = Callable[[Mapping[str, object]], object]


def _as_mapping(parts: Mapping[str, object]) -> object:
    return dict(parts)


def _as_namespace(parts: Mapping[str, object]) -> object:
    return SimpleNamespace(**parts)


@dataclass(frozen=True, slots=True)
class Nameless:
    Age: object
    Level: object


@dataclass(frozen=True, slots=True)
class Person:
    Name: object
    Age: object
    Level: object
    Dept: object


@dataclass(frozen=True, slots=True)
class Thing:
    Owner: object
    Name: object
    Level: object


def _as_typed(parts: Mapping[str, object]) -> object:
    """A value of a class that declares its parts; what a person lacks is lacked by the class."""
    if "Owner" in parts:
        return Thing(**parts)
    return Person(**parts) if len(parts) == 4 else Nameless(parts.get("Age", 18), parts.get("Level", 0))


def _person(random: Random) -> dict[str, object]:
    parts: dict[str, object] = {
        "Name": random.choice(SUBJECTS),
        "Age": random.choice((5, 17, 18, 19, 40, 59, 60, 61, 40.5)),
        "Level": random.randint(0, 5),
        "Dept": random.choice(("hr", "it", "")),
    }
    if random.random() < 0.02:
        del parts[random.choice(list(parts))]
    return parts


def _thing(random: Random, name: object) -> dict[str, object]:
    return {
        "Owner": random.choice((name, name, *SUBJECTS)),
        "Name": random.choice(OBJECTS),
        "Level": random.randint(0, 5),
    }


def _attributes(made: Made) -> Callable[[Random], Trial]:
    text = model(
        "(r.sub.Name == r.obj.Owner || r.sub.Age >= 18 && r.sub.Level > r.obj.Level) && r.act == p.act", policy="act"
    )

    def draw(random: Random) -> Trial:
        drawn = rows(random, 3, ACTIONS)

        def hit(random: Random, row: Row) -> Request:
            person = _person(random)
            return (made(person), made(_thing(random, person.get("Name"))), row[1])

        def free(random: Random) -> Request:
            return hit(random, ("p", random.choice(ACTIONS)))

        return Trial(text, lines(drawn), asking(hit, free, drawn))

    return draw


RULES = (
    "r.sub.Age > 18", "r.sub.Age > 18 && r.sub.Age < 60", "r.sub.Level >= r.obj.Level", "r.sub.Name == r.obj.Owner",
    "r.sub.Age < 18 || r.sub.Level in (3, 4, 5)", "!(r.sub.Age < 18)", "r.sub.Age != 40", "r.obj.Name == p.obj",
    "r.sub.Age - 20 > r.obj.Level",
)  # fmt: skip
QUOTED_RULES = ("r.sub.Dept == 'hr'", "r.sub.Dept in ('hr', 'it') && r.sub.Age > 17")
ODD_RULES = ("r.sub.Age >", "r.sub.Missing > 3", "r.sub.Name > 3", "True")


def _rules(texts: tuple[str, ...]) -> Callable[[Random], Trial]:
    text = model("eval(p.sub_rule) && r.act == p.act", policy="sub_rule, obj, act")

    def draw(random: Random) -> Trial:
        drawn = rows(random, 4, texts, OBJECTS, ACTIONS[:2])

        def hit(random: Random, row: Row) -> Request:
            person = _person(random)
            return (_as_mapping(person), _as_typed(_thing(random, person.get("Name"))), row[3])

        def free(random: Random) -> Request:
            return hit(random, ("p", "", "", random.choice(ACTIONS)))

        return Trial(text, lines(drawn), asking(hit, free, drawn))

    return draw


def _lists(random: Random) -> Trial:
    drawn = rows(random, 5, SUBJECTS, SUBJECTS, OBJECTS)

    def hit(random: Random, row: Row) -> Request:
        return (row[random.choice((1, 2))], row[3], random.choice(ACTIONS), random.choice((["x"], ("a", "x"), {"x"})))

    def free(random: Random) -> Request:
        return (*plain_free(random), random.choice(([], ["x"], ("y",), {"x": 1})))

    text = model(
        "r.sub in (p.sub, p.owner) && r.obj == p.obj && (r.act in ['read', 'write'] || 'x' in r.tags)",
        request="sub, obj, act, tags",
        policy="sub, owner, obj",
    )
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.7))


def _substrings(random: Random) -> Trial:
    drawn = rows(random, 4, SUBJECTS, OBJECTS, ACTIONS[:2])

    def hit(random: Random, row: Row) -> Request:
        start = random.randint(0, 3)
        return (row[1][start : start + random.randint(1, 4)], row[2], row[3])

    text = model(f"r.sub in p.sub && {SAME_OBJECT_AND_ACTION}")
    return Trial(text, lines(drawn), asking(hit, plain_free, drawn))


NUMERIC = (
    "r.amount <= r.limit", "r.amount * 2 < r.limit + 10", "r.amount % 3 == 1", "r.amount / 4 >= 2.5",
    "r.amount - r.limit != 0", "r.amount > -1 and r.amount < 100", "-r.amount < r.limit", "r.limit % -7 <= -1",
    "r.amount / r.limit > 0.5", "r.sub + '-x' == 'alice-x'", "r.sub < 'c'", "r.amount > 1 && r.limit >= 5",
)  # fmt: skip


def _numbers(random: Random) -> Trial:
    drawn = rows(random, 4, SUBJECTS)

    def hit(random: Random, row: Row) -> Request:
        return (row[1], random.choice((0, 1, 4, 7, 10, 50, 2.5, -3)), random.choice((1, 3, 5, 20, 7.5, -2, 0)))

    def free(random: Random) -> Request:
        return hit(random, ("p", random.choice(SUBJECTS)))

    text = model(f"r.sub == p.sub && {random.choice(NUMERIC)}", request="sub, amount, limit", policy="sub")
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.8))


def _another(random: Random, row: Row) -> Request:
    """A row's values, but any subject, and at times any action."""
    return (random.choice(SUBJECTS), row[2], random.choice((row[3], random.choice(ACTIONS))))


def _negations(random: Random) -> Trial:
    matcher = random.choice(
        (
            "!(r.sub == p.sub) && r.obj == p.obj",
            "r.sub != p.sub && r.obj == p.obj",
            "!keyMatch(r.sub, p.sub) && r.obj == p.obj && !(r.act == p.act)",
            "not (r.sub == p.sub or r.act != p.act) and r.obj == p.obj",
            "!g(r.sub, p.sub) && r.obj == p.obj",
            "!(!(r.sub == p.sub)) && r.act not in ('write', 'delete')",
        )
    )
    drawn = voted(random, rows(random, 4, SUBJECTS, OBJECTS, ACTIONS[:2]), ("allow", "allow", "allow", "deny"))
    held = (("g", "alice", "bob"), ("g", "carol", "bob"))
    text = model(matcher, policy="sub, obj, act, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _"})
    return Trial(text, lines(drawn, held), asking(_another, plain_free, drawn, 0.8))


def _two_readings(random: Random) -> Trial:
    """`!a == b` is `not (a == b)` here, and `(!a) == b` where `!` binds as in C."""
    drawn = rows(random, 4, SUBJECTS, OBJECTS, ACTIONS[:2])
    text = model(f"!r.sub == p.sub && {SAME_OBJECT_AND_ACTION}")
    return Trial(text, lines(drawn), asking(_another, plain_free, drawn, 0.8))


def _without_row(random: Random) -> Trial:
    """A disjunct that reads no row grants whatever the rows say, or is what a deny row then says."""
    matcher = random.choice(
        (
            f"r.sub == p.sub && {SAME_OBJECT_AND_ACTION} || r.sub == 'root'",
            f"r.act == 'read' || r.sub == p.sub && {SAME_OBJECT_AND_ACTION}",
            "r.sub == p.sub || r.sub in ('root', 'alice') && r.act == 'read'",
            "r.sub == p.sub || True",
            "r.sub == r.obj || r.sub == p.sub",
        )
    )
    votes = ("allow", "allow", "deny") if random.random() < 0.3 else ("allow",)
    drawn = voted(random, rows(random, 4, SUBJECTS, OBJECTS, ACTIONS[:2]), votes)

    def free(random: Random) -> Request:
        return (random.choice(("root", *SUBJECTS)), *plain_free(random)[1:])

    text = model(matcher, policy="sub, obj, act, eft", effect=ALLOW_AND_DENY)
    return Trial(text, lines(drawn), asking(plain_hit, free, drawn, 0.4))


ODD_VALUES = (None, True, False, 0, 1, 1.5, "", "alice", ["alice"], {"a": 1}, b"alice", float("nan"))


def _odd_values(random: Random) -> Trial:
    """Request values that are no strings, where the policy means strings."""
    matcher = random.choice(
        (
            f"r.sub == p.sub && {SAME_OBJECT_AND_ACTION}",
            f"g(r.sub, p.sub) && {SAME_OBJECT_AND_ACTION}",
            "r.sub == p.sub && keyMatch(r.obj, p.obj)",
            "r.sub != p.sub && r.obj == p.obj",
            "r.sub in (p.sub, 'root') && r.act == p.act",
        )
    )
    drawn = voted(random, rows(random, 4, SUBJECTS, OBJECTS, ACTIONS[:2]), ("allow", "allow", "allow", "deny"))
    text = model(matcher, policy="sub, obj, act, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _"})
    ask = asking(plain_hit, plain_free, drawn, 0.8)

    def odd(random: Random) -> Request:
        request = ask(random)
        if random.random() < 0.7:
            return request
        place = random.randrange(3)
        return (*request[:place], random.choice(ODD_VALUES), *request[place + 1 :])

    return Trial(text, lines(drawn, (("g", "alice", "bob"),)), odd)


OF_BOOLEANS = (
    "r.flag == r.count", "r.flag != r.count", "r.flag in (0, 1)", "r.flag not in (0, 1)", "r.flag < 2", "r.flag",
    "!(r.flag == r.count)", "r.flag <= r.count", "r.count in (True, 2)", "r.flag == 1", "r.flag != 0", "r.flag == True",
    "r.count in [r.flag, 7]", "r.count in r.flags", "r.flag in r.flags", "r.count not in r.flags",
    "r.flag + 1 > r.count", "r.flag == p.sub", "r.flag != p.sub",
)  # fmt: skip


def _booleans(random: Random) -> Trial:
    """To Python `True` is 1."""
    drawn = rows(random, 3, SUBJECTS)

    def hit(random: Random, row: Row) -> Request:
        flags = random.choice(([True, False], [1, 0], (True, 2), {False}, frozenset({1}), []))
        return (row[1], random.choice((True, False, 1, 0, 2, 1.0)), random.choice((0, 1, 1.0, 2, True)), flags)

    def free(random: Random) -> Request:
        return hit(random, ("p", random.choice(SUBJECTS)))

    text = model(f"r.sub == p.sub && {random.choice(OF_BOOLEANS)}", request="sub, flag, count, flags", policy="sub")
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.8))


OF_METHODS = (
    "r.obj.items == r.sub", "r.obj.items != r.sub", "!(r.obj.items == r.sub)", "r.obj.keys in (r.sub, 'eve')",
    "r.obj.get < 'c'", "r.obj.values.copy == r.sub", 'r.obj["items"] == r.sub', "r.obj.pop == r.obj.pop",
)  # fmt: skip


def _methods(random: Random) -> Trial:
    """Parts of a mapping whose names are those of methods that it has."""
    drawn = voted(random, rows(random, 3, ACTIONS), ("allow", "allow", "allow", "deny"))
    matcher = f"r.act == p.act && (r.obj.Owner == r.sub || {random.choice(OF_METHODS)})"

    def hit(random: Random, row: Row) -> Request:
        subject = random.choice(SUBJECTS)
        named = random.choice((subject, subject, *SUBJECTS))
        parts = {"items": named, "keys": named, "get": named, "pop": named, "values": {"copy": named}}
        return (subject, {"Owner": random.choice((subject, "nobody")), **parts}, row[1])

    def free(random: Random) -> Request:
        return hit(random, ("p", random.choice(ACTIONS)))

    text = model(matcher, policy="act, eft", effect=ALLOW_AND_DENY)
    return Trial(text, lines(drawn), asking(hit, free, drawn, 0.9))


ATTRIBUTES = (
    Kind("abac with mappings", _attributes(_as_mapping), raised=0.05),
    Kind("abac with typed objects", _attributes(_as_typed), raised=0.05),
    Kind("abac with other objects", _attributes(_as_namespace), raised=0.05),
    Kind("abac with parts called as methods", _methods, raised=0.3),
    Kind("abac with rules", _rules(RULES), raised=0.05),
    Kind("abac with rules that hold quotes", _rules((*RULES, *QUOTED_RULES)), raised=0.05),
    Kind(
        "abac with rules that do not read",
        _rules((*RULES, *ODD_RULES, *ODD_RULES)),
        "either",
        frozenset({"E603"}),
        frozenset({"E603"}),
        allowed=0.15,
        raised=0.7,
    ),
    Kind("in lists", _lists),
    Kind("in strings", _substrings, "refuses", frozenset({"E612"})),
    Kind("comparisons and arithmetic", _numbers, raised=0.1),
    Kind("booleans and numbers", _booleans, raised=0.3),
    Kind("negations", _negations),
    Kind("negation with two readings", _two_readings, "refuses", frozenset({"E619"})),
    Kind("a disjunct without a row", _without_row),
    Kind("values of other types", _odd_values, raised=0.25),
)

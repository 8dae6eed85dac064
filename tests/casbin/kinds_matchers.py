"""A kind whose matchers are drawn from the grammar of expressions, a few levels deep."""

from __future__ import annotations

from random import Random

from tests.casbin.draws import ACTIONS, OBJECTS, SUBJECTS, Row, asking, lines, links, path, plain_hit, rows, voted
from tests.casbin.kind import ALLOW_AND_DENY, ALLOW_OVERRIDE, PRIORITY, SAME, Kind, Request, Trial, model

STRINGS = ("r.sub", "r.obj", "r.act", "p.sub", "p.obj", "p.act", "r.ctx.team", "'alice'", '"read"', "'data1'")
NUMBERS = ("r.ctx.age", "r.ctx.level", "0", "1", "18", "2.5", "r.ctx.age", "-3")
ROLES = ("alice", "carol", "team")


def truth(random: Random, depth: int) -> str:
    """An expression that is a truth."""
    if depth <= 0:
        return random.choice(
            (
                "r.sub == p.sub", "r.obj == p.obj", "r.act == p.act", "g(r.sub, p.sub)", "r.ctx.member",
                "keyMatch2(r.ctx.path, '/a/:id')", "keyMatch(r.ctx.path, '/a/*')", "r.act in ('read', 'write')",
                "r.sub != p.sub",
            )
        )  # fmt: skip
    match random.randrange(8):
        case 0 | 1:
            return f"{truth(random, depth - 1)} {random.choice(('&&', '&&', 'and'))} {truth(random, depth - 1)}"
        case 2 | 3:
            return f"{truth(random, depth - 1)} {random.choice(('||', '||', 'or'))} {truth(random, depth - 1)}"
        case 4:
            return f"{random.choice(('!', '!', 'not '))}({truth(random, depth - 1)})"
        case 5:
            return f"({truth(random, depth - 1)})"
        case 6:
            return _comparison(random)
        case _:
            return truth(random, 0)


def _comparison(random: Random) -> str:
    match random.randrange(5):
        case 4:
            sign = random.choice(("==", "!=", "<", "<=", ">", ">="))
            return random.choice((f"r.ctx.member {sign} {random.choice(NUMBERS)}", "r.ctx.member in (0, r.ctx.level)"))
        case 0:
            return f"{random.choice(STRINGS)} {random.choice(('==', '!=', '<', '>='))} {random.choice(STRINGS)}"
        case 1:
            return (
                f"{random.choice(STRINGS)} {random.choice(('in', 'not in'))} ({', '.join(random.sample(STRINGS, 3))})"
            )
        case _:
            sign = random.choice(("==", "!=", "<", "<=", ">", ">="))
            return f"{number(random, 1)} {sign} {number(random, 2)}"


def number(random: Random, depth: int) -> str:
    """An expression that is a number."""
    if depth <= 0 or random.random() < 0.4:
        return random.choice(NUMBERS)
    if random.random() < 0.3:
        return f"({number(random, depth - 1)})"
    return f"{number(random, depth - 1)} {random.choice('+-*/%')} {number(random, depth - 1)}"


def _any_matcher(random: Random) -> Trial:
    held = links(random, 4, SUBJECTS, ROLES)
    votes = ("allow", "allow", "deny") if random.random() < 0.5 else ("allow",)
    drawn = voted(random, rows(random, 5, SUBJECTS, OBJECTS, ACTIONS[:2]), votes)
    effect = random.choice((ALLOW_OVERRIDE, ALLOW_AND_DENY, PRIORITY))
    text = model(
        truth(random, 4),
        request="sub, obj, act, ctx",
        policy="sub, obj, act, eft",
        effect=effect,
        roles={"g": "_, _"},
    )

    def context(random: Random) -> dict[str, object]:
        return {
            "team": random.choice((*SUBJECTS, "team")),
            "age": random.choice((0, 1, 17, 18, 30, 2.5)),
            "level": random.randint(-3, 5),
            "member": random.random() < 0.5,
            "path": path(random),
        }

    def hit(random: Random, row: Row) -> Request:
        return (*row[1:4], context(random))

    def free(random: Random) -> Request:
        return (random.choice(SUBJECTS), random.choice(OBJECTS), random.choice(ACTIONS), context(random))

    return Trial(text, lines(drawn, held), asking(hit, free, drawn))


WITHOUT_BLANKS = (
    f"{SAME}||r.sub == 'root'",
    "r.sub == p.sub&&r.obj == p.obj && r.act == p.act",
    "r.sub == p.sub && !(r.act == 'delete') &&!(r.obj == p.act)",
    "g(r.sub, p.sub) && r.obj == p.obj&& r.act == p.act || r.sub == 'alice'",
    "r.act == p.act && (r.sub == 'root' || r.sub == p.sub &&r.obj == p.obj)",
)


def _without_blanks(random: Random) -> Trial:
    """Casbin for Python makes one word of an operator and the name beside it, which it may never come to."""
    votes = ("allow", "allow", "deny") if random.random() < 0.3 else ("allow",)
    drawn = voted(random, rows(random, 4, SUBJECTS, OBJECTS, ACTIONS[:2]), votes)

    def free(random: Random) -> Request:
        return (random.choice(("root", *SUBJECTS)), random.choice(OBJECTS), random.choice(ACTIONS))

    text = model(random.choice(WITHOUT_BLANKS), policy="sub, obj, act, eft", effect=ALLOW_AND_DENY, roles={"g": "_, _"})
    return Trial(text, lines(drawn), asking(plain_hit, free, drawn, 0.5))


MATCHERS = (
    Kind("any matcher", _any_matcher, raised=0.1),
    Kind("operators without blanks", _without_blanks, unread=frozenset({"E603"}), allowed=0, raised=1),
)

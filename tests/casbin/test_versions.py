"""Programs that come of one another by `updated`: whatever was asked before, each answers as one compiled anew."""

from __future__ import annotations

import random

from policy_lang.casbin.program import CasbinProgram, compile_casbin
from policy_lang.ir.tables import Link, RoleGraph
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.role_graphs import Roles
from policy_lang.meaning.values import TRUE, UNKNOWN

NOW = LocalTime.of(1_767_225_600_000, "UTC")
NAMES = ("a", "b", "c", "d")
"""Few, so that a name is often a role, then none, then one again."""

CONDITIONS: tuple[tuple[str, ...], ...] = ((), ("_", "2000-01-01 00:00:00"), ("bad", "_"), ("2000-01-01 00:00:00", "_"))


def _program(domains: bool, policy: str) -> CasbinProgram:
    dom, g = (", dom", "g = _, _, _") if domains else ("", "g = _, _")
    asked = "g(r.sub, p.sub, r.dom) && r.dom == p.dom" if domains else "g(r.sub, p.sub)"
    model = f"""[request_definition]
r = sub{dom}, obj
[policy_definition]
p = sub{dom}, obj
[role_definition]
{g}
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = {asked} && r.obj == p.obj
"""
    return compile_casbin(model, policy)


def test_what_a_sister_was_asked_gives_nobody_a_role() -> None:
    base = _program(False, "p, admin, secret\np, staff, desk\ng, team, admin\ng, root, admin\n")
    assert base.updated(add=[("g", "x", "team")]).enforce("x", "secret")
    later = base.updated(remove=[("g", "team", "admin")]).updated(add=[("g", "y", "team")])
    assert not later.enforce("y", "secret")


def test_a_role_that_was_taken_away_is_not_remembered() -> None:
    program = _program(
        True, "p, admin, d1, secret\ng, team, admin, d1\ng, root, admin, d1\ng, x, team, d1\ng, z, team, d2\n"
    )
    assert program.enforce("x", "d1", "secret")
    for gone in (("x", "team", "d1"), ("z", "team", "d2"), ("team", "admin", "d1")):
        program = program.updated(remove=[("g", *gone)])
    assert not program.updated(add=[("g", "y", "team", "d1")]).enforce("y", "d1", "secret")


def test_every_version_of_a_graph_holds_what_its_own_links_say() -> None:
    rng = random.Random(20261121)
    asked = 0
    for _ in range(60):
        asked += _a_tree_of_versions(rng)
    assert asked > 10_000


def _a_tree_of_versions(rng: random.Random) -> int:
    """Versions made of any of the last five, each of which is asked everything; how much was asked."""
    domains = rng.choice([("",), ("d1", "d2")])
    conditions = rng.choice([((),), CONDITIONS])

    def drawn() -> Link:
        return Link(rng.choice(NAMES), rng.choice(NAMES), rng.choice(domains), rng.choice(conditions))

    longest = rng.choice([None, None, 2, 3])
    graph = RoleGraph("g", domains != ("",), tuple({drawn() for _ in range(4)}), longest=longest)
    wanted = frozenset(rng.sample(NAMES, rng.choice([3, 4])))
    versions, asked = [Roles.of(graph, wanted, mode="strict")], 0
    for _ in range(20):
        last = rng.choice(versions[-5:])
        links = list(last.graph.links)
        remove = [rng.choice(links)] if links and rng.random() < 0.55 else []
        add = [link for link in [drawn()] if link not in links and rng.random() < 0.6]
        versions.append(last.changed(add, remove))
        asked += sum(_holds_what_it_says(each, wanted, domains) for each in versions[-5:])
    return asked


def _holds_what_it_says(roles: Roles, wanted: frozenset[str], domains: tuple[str, ...]) -> int:
    for member in NAMES:
        for domain in domains:
            said = {role: roles.linked(member, role, domain, now=NOW) for role in wanted}
            assert roles.held(member, domain, now=NOW) == {role for role in wanted if said[role] is TRUE}
            assert roles.doubted(member, domain, now=NOW) == {role for role in wanted if said[role] is UNKNOWN}
    return len(NAMES) * len(domains) * len(wanted)

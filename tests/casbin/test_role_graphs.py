"""Role graphs: who has which role, by which links, in which domain and at what time; and what is kept of it."""

from __future__ import annotations

import timeit
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from msgspec import Struct

from policy_lang.ir.tables import FunctionName, Link, Mode, RoleGraph
from policy_lang.meaning.local_time import LocalTime
from policy_lang.meaning.role_closures import MOST_NAMES_KEPT
from policy_lang.meaning.role_graphs import A_DOMAIN, MOST_DOMAINS_KEPT, MOST_FITTED_KEPT, Roles
from policy_lang.meaning.role_links import LONGEST_KEPT, Kept, LinksInForce
from policy_lang.meaning.values import FALSE, TRUE, UNKNOWN
from policy_lang.verdict import Truth3

NOON = LocalTime.of(int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000), "UTC")

THIS_YEAR = ("2026-01-01 00:00:00", "2027-01-01 00:00:00")
LAST_YEAR = ("2025-01-01 00:00:00", "2026-01-01 00:00:00")
NO_TIME = ("yesterday", "_")


def _graph(
    *links: str,
    domains: bool = False,
    matching: FunctionName | None = None,
    domain_matching: FunctionName | None = None,
    longest: int | None = None,
) -> RoleGraph:
    """A graph of links written `member role` or `member role domain`."""
    read = tuple(Link(*link.split(" ")) for link in links)
    return RoleGraph("g", domains, read, matching, domain_matching, longest)


def _under(condition: tuple[str, ...], *links: str) -> tuple[Link, ...]:
    return tuple(Link(*link.split(" "), condition=condition) for link in links)


def _chain(length: int) -> tuple[str, ...]:
    return tuple(f"r{at} r{at + 1}" for at in range(length))


class Asked(Struct, frozen=True):
    graph: RoleGraph
    member: object
    role: object
    want: Truth3
    domain: object = ""


PATTERNS = _graph("/book/:id books", "/pen/:id pens", "books things", matching="keyMatch2")
ROLE_PATTERN = _graph("alice /team/:name", "/team/red door", matching="keyMatch2")
TENANTS = _graph("alice admin one", "bob admin two", "admin reader one", "carol admin *", domains=True)
MATCHED_TENANTS = _graph(
    "alice admin one", "carol admin t*", "admin reader two", domains=True, domain_matching="keyMatch"
)
LOOP = _graph("a b", "b c", "c a")

CASES = {
    "an empty graph gives a name itself": Asked(_graph(), "alice", "alice", TRUE),
    "an empty graph gives nothing else": Asked(_graph(), "alice", "admin", FALSE),
    "the empty name is a name like others": Asked(_graph("alice admin"), "", "admin", FALSE),
    "the empty name has itself": Asked(_graph("alice admin"), "", "", TRUE),
    "a link gives its role": Asked(_graph("alice admin"), "alice", "admin", TRUE),
    "a link does not lead back": Asked(_graph("alice admin"), "admin", "alice", FALSE),
    "a role's role is had": Asked(_graph("alice admin", "admin reader"), "alice", "reader", TRUE),
    "an unknown name has itself": Asked(_graph("alice admin"), "mallory", "mallory", TRUE),
    "an unknown name has no role": Asked(_graph("alice admin"), "mallory", "admin", FALSE),
    "letters are told apart by case": Asked(_graph("alice admin"), "Alice", "admin", FALSE),
    "a loop ends and gives what is on it": Asked(LOOP, "b", "a", TRUE),
    "a loop ends and gives nothing beside it": Asked(LOOP, "b", "d", FALSE),
    "a link to oneself ends": Asked(_graph("a a", "a b"), "a", "b", TRUE),
    "without a matching function a pattern is a name": Asked(_graph("/book/:id books"), "/book/1", "books", FALSE),
    # lengths
    "nine links are followed where nine are allowed": Asked(_graph(*_chain(9), longest=9), "r0", "r9", TRUE),
    "a tenth link is not": Asked(_graph(*_chain(10), longest=9), "r0", "r10", FALSE),
    "without a bound a chain may be long": Asked(_graph(*_chain(300)), "r0", "r300", TRUE),
    "a short way counts beside a long one": Asked(_graph(*_chain(12), "r0 r9", longest=9), "r0", "r12", TRUE),
    "of no links at all only oneself is had": Asked(_graph("a b", longest=0), "a", "b", FALSE),
    "a bound below nought gives nobody anything": Asked(_graph("a b", longest=-1), "a", "b", FALSE),
    # no strings
    "a number is nobody": Asked(_graph("1 admin"), 1, "admin", UNKNOWN),
    "nothing is nobody, not even itself": Asked(_graph(), None, None, UNKNOWN),
    "a list has no roles": Asked(_graph("alice admin"), ["alice"], "admin", UNKNOWN),
    "a domain that is no text is unknown": Asked(TENANTS, "alice", "admin", UNKNOWN, domain=1),
    # patterns
    "a name that fits a member has its role": Asked(PATTERNS, "/book/1", "books", TRUE),
    "a name that fits a member has its role's roles": Asked(PATTERNS, "/book/1", "things", TRUE),
    "a name that fits another member has not": Asked(PATTERNS, "/pen/1", "books", FALSE),
    "a name that fits no member has nothing": Asked(PATTERNS, "/book/1/page", "books", FALSE),
    "a name does not have the pattern that it fits": Asked(PATTERNS, "/book/1", "/book/:id", FALSE),
    "whoever has a pattern has the names that fit it": Asked(ROLE_PATTERN, "alice", "/team/blue", TRUE),
    "whoever has a pattern has the pattern": Asked(ROLE_PATTERN, "alice", "/team/:name", TRUE),
    "whoever has a pattern has the roles of names that fit": Asked(ROLE_PATTERN, "alice", "door", TRUE),
    "one that fits the pattern does not have the others": Asked(ROLE_PATTERN, "/team/blue", "/team/red", FALSE),
    "a name with a query fits the member without one": Asked(
        _graph("/book/1 books", matching="keyMatch5"), "/book/1?page=2", "books", TRUE
    ),
    "a name that cannot be read as a pattern is itself": Asked(
        _graph("10.0.0.0/8 inside", "office inside", matching="ipMatch"), "office", "inside", TRUE
    ),
    "an address is in a network that is a member": Asked(
        _graph("10.0.0.0/8 inside", "office inside", matching="ipMatch"), "10.1.2.3", "inside", TRUE
    ),
    "what is no address is in no network": Asked(
        _graph("0.0.0.0/0 inside", "office inside", matching="ipMatch"), "home", "inside", FALSE
    ),
    # domains
    "a link holds in its domain": Asked(TENANTS, "alice", "admin", TRUE, domain="one"),
    "a link does not hold in another domain": Asked(TENANTS, "alice", "admin", FALSE, domain="two"),
    "links of two domains make no chain": Asked(TENANTS, "bob", "reader", FALSE, domain="two"),
    "in an unknown domain a name has itself": Asked(TENANTS, "alice", "alice", TRUE, domain="none"),
    "in an unknown domain nothing else is had": Asked(TENANTS, "alice", "admin", FALSE, domain="none"),
    "without a matching function a star is a domain": Asked(TENANTS, "carol", "admin", FALSE, domain="one"),
    "a domain has the links of a pattern that it fits": Asked(MATCHED_TENANTS, "carol", "admin", TRUE, domain="two"),
    "chains go through a domain and its pattern": Asked(MATCHED_TENANTS, "carol", "reader", TRUE, domain="two"),
    "a domain that fits no pattern has its own": Asked(MATCHED_TENANTS, "carol", "admin", FALSE, domain="one"),
    "an unknown domain that fits has the pattern's links": Asked(
        MATCHED_TENANTS, "carol", "admin", TRUE, domain="third"
    ),
    "a pattern of domains does not have the domains' links": Asked(
        MATCHED_TENANTS, "admin", "reader", FALSE, domain="t*"
    ),
    "in a graph without domains the domain is of no account": Asked(
        _graph("alice admin"), "alice", "admin", TRUE, domain="one"
    ),
    # conditions
    "a link whose time it is holds": Asked(
        RoleGraph("g", False, _under(THIS_YEAR, "alice admin")), "alice", "admin", TRUE
    ),
    "a link whose time is over does not": Asked(
        RoleGraph("g", False, _under(LAST_YEAR, "alice admin")), "alice", "admin", FALSE
    ),
    "a link whose time cannot be read is in doubt": Asked(
        RoleGraph("g", False, _under(NO_TIME, "alice admin")), "alice", "admin", UNKNOWN
    ),
    "a condition of three parts is in doubt": Asked(
        RoleGraph("g", False, _under((*THIS_YEAR, "x"), "alice admin")), "alice", "admin", UNKNOWN
    ),
    "a way in doubt beside one that holds is no doubt": Asked(
        RoleGraph("g", False, (*_under(NO_TIME, "alice admin"), Link("alice", "b"), Link("b", "admin"))),
        "alice",
        "admin",
        TRUE,
    ),
    "a way in doubt beside one that is over is in doubt": Asked(
        RoleGraph("g", False, (*_under(NO_TIME, "alice admin"), *_under(LAST_YEAR, "alice admin"))),
        "alice",
        "admin",
        UNKNOWN,
    ),
    "doubt goes on along a way": Asked(
        RoleGraph("g", False, (*_under(NO_TIME, "alice b"), *_under(THIS_YEAR, "b admin"))), "alice", "admin", UNKNOWN
    ),
    "what is over ends a way in doubt": Asked(
        RoleGraph("g", False, (*_under(NO_TIME, "alice b"), *_under(LAST_YEAR, "b admin"))), "alice", "admin", FALSE
    ),
    "of two links alike but for their times either will do": Asked(
        RoleGraph("g", False, (*_under(THIS_YEAR, "alice admin"), *_under(LAST_YEAR, "alice admin"))),
        "alice",
        "admin",
        TRUE,
    ),
    "a condition is asked of names that fit a member too": Asked(
        RoleGraph("g", False, _under(LAST_YEAR, "/book/:id books"), "keyMatch2"), "/book/1", "books", FALSE
    ),
    "a long way in doubt is cut as any": Asked(
        RoleGraph("g", False, _under(NO_TIME, *_chain(11)), longest=10), "r0", "r11", FALSE
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("mode", ["strict", "compat"])
def test_who_has_which_role(case: Asked, mode: Mode) -> None:
    doubtful = mode == "compat" and case.graph == ROLE_PATTERN and case.want is FALSE
    want = UNKNOWN if doubtful else case.want
    assert Roles.of(case.graph, mode=mode).linked(case.member, case.role, case.domain, now=NOON) is want


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("known", [True, False], ids=["asked about", "of all links"])
def test_the_roles_held_are_those_linked(case: Asked, known: bool) -> None:
    if not all(isinstance(each, str) for each in (case.member, case.role, case.domain)):
        return
    wanted = frozenset((case.role, "another")) if known else None
    roles = Roles.of(case.graph, wanted, mode="strict")
    for _ in range(2):  # as worked out, and as kept
        held = roles.held(case.member, case.domain, now=NOON)
        doubted = roles.doubted(case.member, case.domain, now=NOON)
        if known:
            assert held | doubted <= wanted
        elif case.role not in {case.member, *(name for link in case.graph.links for name in (link.member, link.role))}:
            return
        assert (case.role in held) == (case.want is TRUE)
        assert (case.role in doubted) == (case.want is UNKNOWN)


def test_a_text_that_compares_otherwise_is_the_text_it_holds() -> None:
    class Everybody(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            raise ZeroDivisionError

    roles = Roles.of(_graph("alice admin"), mode="strict")
    assert roles.linked(Everybody("mallory"), "admin", now=NOON) is FALSE
    assert roles.linked(Everybody("alice"), Everybody("admin"), now=NOON) is TRUE


def test_conditions_are_asked_at_the_instant_of_each_question() -> None:
    roles = Roles.of(RoleGraph("g", False, _under(THIS_YEAR, "alice admin")), frozenset(("admin",)), mode="strict")
    years = {2025: frozenset(), 2026: frozenset(("admin",)), 2027: frozenset()}
    for year in (2026, 2025, 2026, 2027, 2026):
        now = LocalTime.of(int(datetime(year, 6, 1, tzinfo=UTC).timestamp() * 1000), "UTC")
        assert roles.held("alice", "", now=now) == years[year]


def test_conditions_read_the_clock_of_their_zone() -> None:
    until_noon = ("_", "2026-11-21 12:30:00")
    roles = Roles.of(RoleGraph("g", False, _under(until_noon, "alice admin")), mode="strict")
    assert roles.linked("alice", "admin", now=NOON) is TRUE
    assert roles.linked("alice", "admin", now=LocalTime.of(NOON.now_ms, "Europe/Berlin")) is FALSE
    assert roles.linked("alice", "admin", now=LocalTime.of(NOON.now_ms, "Nowhere/At_All")) is UNKNOWN


def test_ten_thousand_times_cost_little_more_than_one() -> None:
    """They are read when the links are, and not at each question."""

    def asked(*, alike: bool) -> float:
        links = []
        for at in range(10_000):
            minute, hour = at % 60, 0 if alike else at // 60 % 24
            day = 1 if alike else 1 + at // 1_440
            start = f"2026-01-{day:02} {hour:02}:{0 if alike else minute:02}:00"
            links.append(Link("alice", f"role{at}", condition=(start, "2027-01-01 00:00:00")))
        roles = Roles.of(RoleGraph("g", False, tuple(links)), mode="strict")
        assert len(roles.held("alice", "", now=NOON)) == 10_001
        return min(timeit.repeat(lambda: roles.held("alice", "", now=NOON), number=1, repeat=5))

    assert asked(alike=False) < 4 * asked(alike=True)


# ---------------------------------------------------------------- changing


def test_a_change_leaves_the_graph_it_was_made_from() -> None:
    before = Roles.of(_graph("alice admin", "admin reader"), mode="strict")
    after = before.changed([Link("bob", "admin")], [Link("alice", "admin", line=7)])
    assert before.held("alice", "", now=NOON) == {"alice", "admin", "reader"}
    assert before.held("bob", "", now=NOON) == {"bob"}
    assert after.held("alice", "", now=NOON) == {"alice"}
    assert after.held("bob", "", now=NOON) == {"bob", "admin", "reader"}


Change = tuple[list[Link], list[Link], str, str, Truth3]

CHANGES: dict[str, Change] = {
    "a link that is not there is removed without ado": ([], [Link("nobody", "admin")], "alice", "admin", TRUE),
    "a link under another condition stays": ([], [Link("alice", "admin", condition=THIS_YEAR)], "alice", "admin", TRUE),
    "a link that stands there twice is gone": ([], [Link("carol", "admin")], "carol", "admin", FALSE),
    "removed and added is there": ([Link("alice", "admin")], [Link("alice", "admin")], "alice", "admin", TRUE),
    "a role's role is gone for its members": ([], [Link("admin", "reader")], "alice", "reader", FALSE),
    "a new link under a condition is asked": ([Link("dave", "admin", "", LAST_YEAR)], [], "dave", "admin", FALSE),
    "a new link of a role is for its members": ([Link("reader", "guest")], [], "alice", "guest", TRUE),
    "a member becomes a role": ([Link("erin", "alice")], [], "erin", "reader", TRUE),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change(change: Change) -> None:
    add, remove, member, role, want = change
    before = Roles.of(_graph("alice admin", "admin reader", "carol admin", "carol admin"), mode="strict")
    for name in ("alice", "carol", "admin", "dave", "erin"):
        before.held(name, "", now=NOON)
    after = before.changed(add, remove)
    assert after.linked(member, role, now=NOON) is want
    assert (role in after.held(member, "", now=NOON)) == (want is TRUE)


def test_a_name_that_was_a_role_and_is_one_again_has_what_it_got_between() -> None:
    """What was kept while it was a role is not what it leads to now."""
    roles = Roles.of(_graph("bob alice", "carol admin"), mode="strict")
    assert roles.held("bob", "", now=NOON) == {"bob", "alice"}
    roles = roles.changed([], [Link("bob", "alice")])
    roles = roles.changed([Link("alice", "admin")], [])
    roles = roles.changed([Link("bob", "alice")], [])
    assert roles.held("bob", "", now=NOON) == {"bob", "alice", "admin"}


def test_a_new_pattern_has_the_names_that_were_there() -> None:
    before = Roles.of(_graph("/book/1 one", "/book/:id books", matching="keyMatch2"), mode="strict")
    before.held("/pen/1", "", now=NOON)
    after = before.changed([Link("/pen/:id", "pens")], [Link("/book/:id", "books")])
    assert after.linked("/pen/1", "pens", now=NOON) is TRUE
    assert after.held("/pen/1", "", now=NOON) == {"/pen/1", "pens"}
    assert after.held("/book/1", "", now=NOON) == {"/book/1", "one"}
    assert set(after.patterns) == {"/pen/:id"}


def test_a_new_domain_and_the_end_of_one() -> None:
    before = Roles.of(TENANTS, mode="strict")
    after = before.changed([Link("dave", "admin", "three")], [Link("bob", "admin", "two")])
    assert after.linked("dave", "admin", "three", now=NOON) is TRUE
    assert after.linked("bob", "admin", "two", now=NOON) is FALSE
    assert set(after.domains) == {"one", "three", "*"}
    assert after.domains["one"] is before.domains["one"]


def test_a_new_pattern_of_domains_holds_in_domains_asked_before() -> None:
    before = Roles.of(MATCHED_TENANTS, mode="strict")
    assert before.linked("dave", "admin", "one", now=NOON) is FALSE
    after = before.changed([Link("dave", "admin", "o*")], [])
    assert after.linked("dave", "admin", "one", now=NOON) is TRUE
    assert after.changed([], [Link("dave", "admin", "o*")]).linked("dave", "admin", "one", now=NOON) is FALSE


def test_other_roles_may_be_asked_about() -> None:
    roles = Roles.of(_graph("alice admin", "admin reader"), frozenset(("admin",)), mode="strict")
    assert roles.held("alice", "", now=NOON) == {"admin"}
    assert roles.wanting(frozenset(("reader", "alice"))).held("alice", "", now=NOON) == {"reader", "alice"}
    assert roles.wanting(None).held("alice", "", now=NOON) == {"alice", "admin", "reader"}


# ---------------------------------------------------------------- what is kept


def test_a_change_of_members_keeps_the_closures_of_roles() -> None:
    before = Roles.of(_graph("alice admin", "admin reader", "bob reader"), mode="strict")
    held = before.held("alice", "", now=NOON)
    kept = dict(before.closures.kept.entries)
    after = before.changed([Link("carol", "admin")], [Link("bob", "reader")])
    assert after.held("carol", "", now=NOON) == held - {"alice"} | {"carol"}
    assert after.closures.kept.entries == kept


def test_unknown_names_are_not_remembered() -> None:
    roles = Roles.of(_graph("alice admin", "admin reader"), frozenset(("admin",)), mode="strict")
    roles.held("alice", "", now=NOON)
    kept = len(roles.closures.kept.entries)
    for at in range(1_000):
        assert roles.held(f"unknown{at}", f"unknown{at}", now=NOON) == frozenset()
        assert roles.linked(f"unknown{at}", "admin", now=NOON) is FALSE
    assert len(roles.closures.kept.entries) == kept
    assert not roles.fitted.entries
    assert set(roles.in_force.entries) == {""}


def test_unknown_domains_are_not_remembered() -> None:
    roles = Roles.of(TENANTS, mode="strict")
    for at in range(1_000):
        assert roles.held("alice", f"unknown{at}", now=NOON) == {"alice"}
    assert not roles.in_force.entries


def test_names_that_fit_patterns_are_kept_up_to_a_limit() -> None:
    roles = Roles.of(_graph("/book/:id books", matching="keyMatch2"), mode="strict")
    for at in range(MOST_FITTED_KEPT // 2 + 10):
        assert "books" in roles.held(f"/book/{at}", "", now=NOON)
        assert 0 < len(roles.fitted.entries) <= MOST_FITTED_KEPT // 2
    kept = len(roles.fitted.entries)
    assert "books" in roles.held("/book/" + "1" * 10_000, "", now=NOON)
    assert len(roles.fitted.entries) == kept


def test_domains_that_fit_patterns_are_kept_up_to_a_limit() -> None:
    roles = Roles.of(_graph("carol admin t*", domains=True, domain_matching="keyMatch"), mode="strict")
    for at in range(MOST_DOMAINS_KEPT + 10):
        assert roles.held("carol", f"t{at}", now=NOON) == {"carol", "admin"}
        assert 0 < len(roles.in_force.entries) <= MOST_DOMAINS_KEPT
    kept = len(roles.in_force.entries)
    assert roles.held("carol", "t" * 10_000, now=NOON) == {"carol", "admin"}
    assert len(roles.in_force.entries) == kept


def _many_domains(count: int, *links: Link) -> Roles:
    """Domains `t*`, `tt*` and so on, the first `n` of which a domain of `n` times `t` fits."""
    written = tuple(Link("carol", "admin", "t" * at + "*") for at in range(1, count + 1))
    return Roles.of(RoleGraph("g", True, (*written, *links), None, "keyMatch"), mode="strict")


def test_domains_that_hold_the_same_links_share_what_is_worked_out() -> None:
    roles = _many_domains(300, Link("admin", "reader", "t*"))
    for at in range(50):
        assert roles.held("carol", "t" * 300 + str(at), now=NOON) == {"carol", "admin", "reader"}
    assert len(roles.keys.entries) == len(roles.closures.kept.entries) == 1
    assert len({id(links.key) for links in roles.in_force.entries.values()}) == 1


def test_a_version_with_the_same_keys_of_domains_shares_what_is_worked_out() -> None:
    before = _many_domains(10, Link("admin", "reader", "t*"))
    assert before.held("carol", "t" * 10, now=NOON) == {"carol", "admin", "reader"}
    after = before.changed([Link("dave", "admin", "tt*")], [])
    assert after.held("dave", "t" * 10, now=NOON) == {"dave", "admin", "reader"}
    assert after.held("dave", "t", now=NOON) == {"dave"}
    assert len(after.keys.entries) == len(after.closures.kept.entries) == 1
    assert "reader" not in after.changed([], [Link("admin", "reader", "t*")]).held("dave", "t" * 10, now=NOON)


def test_domains_weigh_as_many_as_they_fit() -> None:
    count = LONGEST_KEPT - 1
    roles, most = _many_domains(count), MOST_DOMAINS_KEPT * (A_DOMAIN + 1)
    seen = set[int]()
    for at in range(most // (A_DOMAIN + count) + 20):
        assert "admin" in roles.held("carol", "t" * count + chr(0x4E00 + at), now=NOON)
        kept = roles.in_force
        assert (A_DOMAIN + count) * len(kept.entries) == kept.weight <= most
        seen.add(len(kept.entries))
    assert max(seen) == most // (A_DOMAIN + count)
    assert {len(links.parts) for links in roles.in_force.entries.values()} == {count}
    assert len(roles.in_force.entries) == 20


def test_sets_of_domains_are_kept_up_to_a_limit() -> None:
    roles = _many_domains(LONGEST_KEPT)
    for kept in (roles.keys, Kept[object](100)):
        small = LinksInForce.of(tuple(roles.domains.values())[:50], {}, roles.fitted, kept)
        large = LinksInForce.of(tuple(roles.domains.values()), {}, roles.fitted, kept)
        assert kept.weight == sum(len(parts) + 1 for parts in kept.entries if isinstance(parts, tuple)) <= kept.limit
        assert small.key is not large.key
        assert type(large.key) is object


def test_what_is_kept_stays_within_its_limit() -> None:
    kept: Kept[str] = Kept(10)
    assert kept.keep("a", "first", 6) == "first"
    assert kept.keep("b", "second", 4) == "second"
    assert set(kept.entries) == {"a", "b"}
    assert kept.keep("c", "third", 1) == "third"
    assert set(kept.entries) == {"c"}
    assert kept.keep("d", "too heavy", 11) == "too heavy"
    assert set(kept.entries) == {"c"}


def test_a_chain_of_many_names_is_followed_and_bounded_in_memory() -> None:
    roles = Roles.of(_graph(*_chain(3_000)), mode="strict")
    assert len(roles.held("r0", "", now=NOON)) == 3_001
    for at in range(0, 3_000, 10):
        roles.held(f"r{at}", "", now=NOON)
        assert roles.closures.kept.weight <= MOST_NAMES_KEPT
    assert roles.linked("r0", "r3000", now=NOON) is TRUE


def test_a_hundred_thousand_users_and_a_thousand_roles_are_small() -> None:
    links = [Link(f"role{at}", f"role{at // 3}") for at in range(1, 1_000)]
    links += [Link(f"user{at}", f"role{at * 7 % 1_000}") for at in range(100_000)]
    links += [Link(f"user{at}", f"role{at * 13 % 997}") for at in range(100_000)]
    graph = RoleGraph("g", False, tuple(links))
    wanted = frozenset(f"role{at}" for at in range(1_000))
    tracemalloc.start()
    try:
        roles = Roles.of(graph, wanted, mode="strict")
        for at in range(0, 100_000, 7):
            assert roles.held(f"user{at}", "", now=NOON)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 40_000_000


def test_threads_may_ask_and_change_at_once() -> None:
    roles = Roles.of(_graph(*_chain(40), "r40 r0"), mode="strict")
    full = frozenset(f"r{at}" for at in range(41))

    def ask(seed: int) -> bool:
        mine = roles.changed([Link(f"u{seed}", "r5")], [])
        same = (roles.held(f"r{(seed + at) % 41}", "", now=NOON) == full for at in range(200))
        return all(same) and mine.held(f"u{seed}", "", now=NOON) == full | {f"u{seed}"}

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(40)))

"""What one leaf holds: however much a call gathers, there is a record of it, and what it lacks is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.bounds import MOST_CLEAR, MOST_NAMED, bounded, with_cut
from pdp.audit.leaf import MAX_LEAF_BYTES, Sealed, encode
from pdp.model import Json

RECORD_ID = "0" * 32
RULES: list[Json] = [f"module.rule_{number}_{'x' * 40}" for number in range(2_000)]


def _leaf_bytes(clear: dict[str, Json], room: int) -> int:
    box = "A" * (4 * -(-(room + 68) // 3))
    return len(encode("decision", RECORD_ID, clear, Sealed(box, "0" * 64)))


def test_what_fits_stays_as_it_is() -> None:
    clear: dict[str, Json] = {"d": "deny", "by": RULES[:100], "rl": [["a", ["when 1", "F", "x"]]]}
    assert bounded(clear)[0] == clear
    assert bounded({})[0] == {}


def test_of_rules_without_end_the_first_are_named_and_the_clauses_are_left_out() -> None:
    clear: dict[str, Json] = {"d": "deny", "by": RULES, "sh": RULES, "rl": [RULES], "os": {"d": "deny", "by": RULES}}
    kept, _ = bounded(clear)
    assert kept["ct"] == ["rl", "sh", "by", "os"]
    assert kept["by"] == kept["sh"] == RULES[:MOST_NAMED]
    assert kept["os"] == {"d": "deny", "by": RULES[:MOST_NAMED]}
    assert "rl" not in kept


def test_what_is_cut_of_the_box_stands_beside_what_is_cut_in_clear() -> None:
    assert with_cut({"ct": ["rl"]}, ("headers", "claims")) == {"ct": ["rl", "headers", "claims"]}
    assert with_cut({"d": "deny"}, ()) == {"d": "deny"}


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.text(max_size=300), max_size=4))
def test_a_box_that_fills_the_room_makes_a_leaf(clear: dict[str, Json]) -> None:
    """leaf(clear, box(room(clear))) <= 60,000 bytes, whatever the fields are written in."""
    kept, room = bounded(clear)
    assert room > 0
    assert _leaf_bytes(kept, room) <= MAX_LEAF_BYTES


def test_a_clear_part_at_its_bound_leaves_room_for_every_bounded_member() -> None:
    _, room = bounded({"by": ["x" * (MOST_CLEAR - 100)]})
    assert room > 26_000

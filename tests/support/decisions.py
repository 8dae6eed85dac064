"""Decisions of every kind, the impossible ones included: a strategy for the laws that hold of all of them."""

from __future__ import annotations

from hypothesis import strategies as st

from pdp.metrics import WORDS
from pdp.model import Challenge, Decision, Minted
from policy_lang.verdict import Duties, Header, Observed

MINTED = Minted("minted-token", "j", "k", "orders", 1_800_000_060, "1")
_TEXT = st.text(st.characters(codec=None), max_size=20)
_BY = st.one_of(
    st.sampled_from(sorted(WORDS)).map(lambda word: (word,)),
    st.lists(st.sampled_from(["orders.own", "orders.fresh", "shop.never"]), max_size=3).map(tuple),
    st.lists(_TEXT, max_size=2).map(tuple),
)
_IDS = st.one_of(st.none(), st.just(""), st.text("0123456789abcdef", min_size=32, max_size=32), _TEXT)

_NAMES = st.sampled_from(["x-user", "x-place", "x-portcullis-decision", "x-debug"])
_DUTIES = st.builds(
    Duties,
    headers=st.lists(st.builds(Header, _NAMES, _TEXT), max_size=2, unique_by=lambda header: header.name).map(tuple),
    removed=st.lists(_NAMES, max_size=2, unique=True).map(tuple),
    token_scopes=st.sampled_from([None, None, None, (), ("orders.read",)]),
    alerts=st.lists(st.sampled_from(["soc", "desk"]), max_size=2, unique=True).map(tuple),
)
_OBSERVED = st.one_of(st.none(), st.builds(Observed, st.sampled_from(["deny", "step_up"]), _BY, _TEXT))

DECISIONS = st.builds(
    Decision,
    outcome=st.sampled_from(["allow", "deny", "step_up"]),
    by=_BY,
    reason=_TEXT,
    subject=_TEXT,
    id=_IDS,
    policy=_TEXT,
    authenticated=st.booleans(),
    challenges=st.lists(st.builds(Challenge, _TEXT, st.one_of(st.none(), st.integers(0, 10**9))), max_size=3).map(
        tuple
    ),
    scopes=st.lists(_TEXT, max_size=3).map(tuple),
    duties=_DUTIES,
    minted=st.sampled_from([None, MINTED]),
    advice=_DUTIES,
    status=st.sampled_from([None, 200, 403, 404, 429, 451, 503]),
    shadow=st.lists(st.sampled_from(["orders.one", "orders.two"]), max_size=2, unique=True).map(tuple),
    observed=_OBSERVED,
    valid_until_ms=st.one_of(st.none(), st.integers(0, 2**62)),
    identity_headers=st.frozensets(_NAMES),
)

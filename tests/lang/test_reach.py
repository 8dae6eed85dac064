"""The inventory as rows: who may reach what."""

from __future__ import annotations

from policy_lang.compile import compile_policy
from policy_lang.reach import Grant, Row, reach

POLICY = b"""module m
label pii, money
workload edge = "spiffe://prod/edge"
token user { issuer "https://id.example" claim sub: string claim groups: set of string }
subject employee { type "employee" }
roles for user from token.groups { role reader }
service s { audience "s" host "s.example" tag owner = "team"
  endpoint one GET|POST /one/{a} scope "r", "w" tagged pii tag stage = "beta"
  endpoint rpc grpc pkg.S/M tagged money
  endpoint shut DELETE /one closed
  endpoint nobody PUT /one
}
service docs { audience none accepts employee endpoint read action "read" on "doc" }
allow z for role reader via edge on s.one because "-"
allow a for any user on s.one, s.rpc when token.sub == "x" because "-"
allow never for any user on s.nobody when false because "-"
allow e for any employee on docs because "-"
shadow allow f for anyone on s.one because "-"
deny g on s because "-"
"""


def test_rows_say_who_may_reach_what() -> None:
    assert reach(compile_policy({"m.pol": POLICY}).program) == (
        Row("docs", "docs.read", "read on doc", (), (), (), False, (Grant("m.e", "any employee"),)),
        Row("s", "s.nobody", "PUT /one", (), (), (("owner", "team"),), False, ()),
        Row(
            service="s",
            endpoint="s.one",
            route="GET|POST /one/{a}",
            scopes=("r", "w"),
            labels=("m.pii",),
            tags=(("owner", "team"), ("stage", "beta")),
            closed=False,
            allows=(Grant("m.a", "any user"), Grant("m.z", "role reader via edge")),
        ),
        Row("s", "s.rpc", "grpc pkg.S/M", (), ("m.money",), (("owner", "team"),), False, (Grant("m.a", "any user"),)),
        Row("s", "s.shut", "DELETE /one", (), (), (("owner", "team"),), True, ()),
    )


def test_nothing_declared_is_no_rows() -> None:
    assert reach(compile_policy({"m.pol": b"module m"}).program) == ()

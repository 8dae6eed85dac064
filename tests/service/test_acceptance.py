"""What the configuration asks of a policy: refused with its remedy, or warned of."""

from __future__ import annotations

import pytest

from pdp.errors import PolicyError
from pdp.runtime.acceptance import Conditions, misgivings, observations, refuse_unfit
from pdp.runtime.bundle import bundle_of
from pdp.runtime.compiled import engine_of
from policy_lang.compile import compile_policy
from policy_lang.ir import Program
from tests.support.issuing import ISSUER
from tests.support.scoped import POLICY

OBSERVED = """module a
label money, pii
token user {{
  issuer "https://id.example"
  claim sub: string
}}
service one {{
  audience "one"
  host "one.example", "both.example"
  {observe}
  endpoint pay POST /pay tagged money
}}
service two {{
  audience "two"
  host "two.example"{shared}
  endpoint look GET /look tagged pii
}}
allow users
  for any user
  on one, two
  because "users"
"""


def _program(*, observe: str = "", shared: str = "") -> Program:
    return compile_policy({"a.pol": OBSERVED.format(observe=observe, shared=shared).encode()}).program


TRIED = _program(observe="observe until 2099-01-01")
SHARED = _program(shared=', "both.example"')


def test_a_host_of_two_services_is_refused_where_hosts_say_which_service_is_meant() -> None:
    with pytest.raises(PolicyError, match=r"both\.example is a host of one, two") as refused:
        refuse_unfit(SHARED, Conditions(service_from_host=True))
    assert refused.value.code == "E411"
    refuse_unfit(SHARED, Conditions(service_from_host=False))
    refuse_unfit(_program(), Conditions(service_from_host=True))


FORBIDDEN: dict[str, tuple[str, bool]] = {
    "a plain name means the label of every module": ("money", True),
    "a whole name means that one": ("a.money", True),
    "the label of another module is another": ("b.money", False),
    "a label of a service that is not observed": ("pii", False),
}


@pytest.mark.parametrize("sentence", FORBIDDEN)
def test_what_may_never_be_observed(sentence: str) -> None:
    label, refused = FORBIDDEN[sentence]
    conditions = Conditions(never_observe=(label,))
    refuse_unfit(_program(), conditions)
    if refused:
        with pytest.raises(PolicyError, match=r"`one` is observed, and `one\.pay` carries") as error:
            refuse_unfit(TRIED, conditions)
        assert error.value.code == "P113"
    else:
        refuse_unfit(TRIED, conditions)


def test_a_date_that_is_over_makes_no_observed_service_fit() -> None:
    past = _program(observe="observe until 2020-01-01")
    with pytest.raises(PolicyError, match="P113"):
        refuse_unfit(past, Conditions(never_observe=("money",)))


def test_an_issuer_and_a_kind_that_do_not_meet_are_named_both() -> None:
    found = misgivings(_program(), {"https://other.example"}, [], issues_tokens=False)
    assert found == [
        "the policy has no token kind for the issuer https://other.example: its tokens are refused",
        "the issuer https://id.example of the token kind `user` is not configured: nobody can be a `user`",
    ]


def test_a_listener_for_a_service_that_is_not_there_is_named() -> None:
    gateways = [("edge", ("one", "three")), ("mesh", None)]
    found = misgivings(_program(), {"https://id.example"}, gateways, issues_tokens=False)
    assert found == ["the gateway edge may ask about `three`, which the policy does not declare"]


def test_nothing_is_said_of_what_fits() -> None:
    assert misgivings(_program(), {"https://id.example"}, [("edge", ("one",))], issues_tokens=False) == []


def test_a_policy_that_issues_tokens_and_nobody_to_make_them_is_said() -> None:
    program = engine_of(bundle_of({"scoped.pol": POLICY.encode()})).program
    (said,) = misgivings(program, {ISSUER}, [], issues_tokens=False)
    assert said == "rules of the policy issue tokens, and [minting] has no `url`: calls that need one are refused"
    assert misgivings(program, {ISSUER}, [], issues_tokens=True) == []


def test_a_service_is_observed_until_its_instant_and_not_at_it() -> None:
    until_ms = next(each.observe_until_ms for each in TRIED.services if each.observe_until_ms is not None)
    assert observations(TRIED, until_ms - 1) == ["`one` is observed until 2099-01-01T00:00:00Z"]
    assert observations(TRIED, until_ms) == []
    assert observations(_program(), 0) == []

"""Which names of claims look personal (W824), and which claims are warned of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.checking.personal import looks_personal, may_tell_people_apart
from policy_lang.compile import compile_policy
from policy_lang.typesystem import EnumType, IntType, RoleType, Scalar, SetType, Type

PERSONAL = {
    "the word itself": ("email",),
    "with a hyphen": ("e-mail",),
    "the last word": ("work_email",),
    "the last hump": ("homeAddress",),
    "a hump after capitals": ("userUPN",),
    "two words": ("given_name",),
    "two humps": ("phoneNumber",),
    "a number behind it": ("passport_number",),
    "digits at the end": ("address2",),
    "a plural": ("emails",),
    "a plural in es": ("ip_addresses",),
    "the end of a URI": ("https://x.example/claims/birthdate",),
    "in capitals": ("SSN",),
    "the whole name": ("name",),
    "a step on the way": ("town", "address", "locality"),
    "the last step": ("n", "profile", "family_name"),
    "the standard's word": ("preferred_username",),
    "username": ("username",),
    "an address of the network": ("client_ip",),
}
NOBODYS = {
    "a part of a word": ("emailing",),
    "a word that something is said of": ("email_verified",),
    "a hump that something is said of": ("phoneNumberVerified",),
    "a hash of a name": ("username_hash",),
    "the name of a host": ("host_name",),
    "the name of a role": ("role_name",),
    "an identifier": ("sub",),
    "a set of roles": ("roles",),
    "an empty name": ("",),
    "nothing but digits": ("12345",),
    "nothing but signs": ("___",),
    "nothing but a tail": ("number",),
    "no name at all": (),
    "an s alone": ("s",),
}


@pytest.mark.parametrize("sentence", PERSONAL)
def test_personal_is(sentence: str) -> None:
    assert looks_personal(PERSONAL[sentence])


@pytest.mark.parametrize("sentence", NOBODYS)
def test_not_personal_is(sentence: str) -> None:
    assert not looks_personal(NOBODYS[sentence])


@given(st.text(max_size=500), st.sampled_from(["email", "given_name", "iban"]))
def test_whatever_stands_before_the_last_word_changes_nothing(before: str, word: str) -> None:
    """looks_personal(b + "_" + w) for every text b and every word w of the list."""
    assert looks_personal((f"{before}_{word}",))


@given(st.text(max_size=500))
def test_every_text_has_an_answer(name: str) -> None:
    assert looks_personal((name,)) == looks_personal((name, name))


TYPES: dict[str, tuple[Type, bool]] = {
    "a text": (Scalar.STRING, True),
    "a set of texts": (SetType(Scalar.STRING), True),
    "an address": (Scalar.IP, True),
    "a number, of a telephone": (IntType(), True),
    "an instant, of a birth": (Scalar.TIME, True),
    "a UUID": (Scalar.UUID, True),
    "a truth": (Scalar.BOOL, False),
    "an enum": (EnumType("m.e", ("a", "b"), ordered=False), False),
    "a set of an enum": (SetType(EnumType("m.e", ("a", "b"), ordered=False)), False),
    "a role": (RoleType(("clerk",)), False),
    "a duration": (Scalar.DURATION, False),
    "a workload": (Scalar.WORKLOAD, False),
}


@pytest.mark.parametrize("sentence", TYPES)
def test_whether_values_tell_people_apart(sentence: str) -> None:
    declared, wanted = TYPES[sentence]
    assert may_tell_people_apart(declared) is wanted


def warned(claims: str, properties: str = "") -> list[tuple[str, tuple[str, ...]]]:
    text = f"""module m
enum title = mr | ms
token user {{ issuer "https://id.example" {claims} }}
subject guest {{ type "guest" {properties} }}
service s {{ audience "s" accepts guest host "s.example" endpoint e GET /e endpoint look action "look" on "e" }}
allow all for any user, any guest on s because "-"
"""
    compiled = compile_policy({"m.pol": text.encode()})
    return [(each.message, each.helps) for each in compiled.warnings if each.code == "W824"]


HELP = "then no command shows its value, and no token that is made here carries it"
CLAIMS: dict[str, tuple[str, str | None]] = {
    "plain": ("claim email: string", "write `claim email: string private`"),
    "optional": ("claim email: string optional", "write `claim email: string optional private`"),
    "of another name": (
        'claim contact: set of string from "profile" "emails"',
        'write `claim contact: set of string private from "profile" "emails"`',
    ),
    "of a name of its own": ('claim phone: string from "x"', 'write `claim phone: string private from "x"`'),
    "a number with bounds": ("claim phone: int 0..99", "write `claim phone: int 0..99 private`"),
    "private": ("claim email: string private", None),
    "private, of another name": ('claim contact: string private from "email"', None),
    "a truth": ("claim email_verified: bool claim mobile: bool", None),
    "of an enum": ("claim name: title", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize("sentence", CLAIMS)
def test_a_claim_that_is(sentence: str) -> None:
    claims, wanted = CLAIMS[sentence]
    assert [helps for _, helps in warned(claims)] == ([] if wanted is None else [(f"{wanted}: {HELP}",)])


def test_what_is_written_for_the_remedy_is_the_remedy() -> None:
    """The claim of each help, taken for the claim warned of, is warned of no more."""
    for claims, wanted in CLAIMS.values():
        if wanted is not None:
            ((_, (told,)),) = warned(claims)
            assert warned(told.split("`")[1]) == []


def test_a_property_of_a_subject_is_called_one() -> None:
    assert warned("", "property nickname: string optional") == [
        (
            "the property `nickname` looks personal, and is not `private`",
            (f"write `property nickname: string optional private`: {HELP}",),
        )
    ]


def test_each_claim_is_warned_of_by_itself() -> None:
    messages = [message for message, _ in warned("claim email: string claim sub: string claim iban: string")]
    assert [message.split("`")[1] for message in messages] == ["email", "iban"]

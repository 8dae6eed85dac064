"""Settings: bound per environment, typed, and refused by name where they do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import addresses
from policy_lang.addresses import union
from policy_lang.declared.entries import SettingEntry
from policy_lang.declared.settings import LONGEST_STRING, MOST_BYTES, NO_SETTINGS, Settings, read_settings
from policy_lang.typesystem import IntType, Scalar
from tests.lang.bundles import Bundle, bundle


def read(text: bytes | str) -> Settings:
    data = text if isinstance(text, bytes) else text.encode()
    settings = read_settings({"settings/prod.toml": data}, "prod")
    assert isinstance(settings, Settings), settings
    return settings


def setting(taken: Bundle, name: str = "x") -> SettingEntry:
    entry = taken.module("m").own[name]
    assert isinstance(entry, SettingEntry)
    return entry


def test_without_an_environment_nothing_is_bound_and_the_environments_are_known() -> None:
    files = {"settings/prod.toml": b"x = 1", "settings/dev.toml": b"!", "settings/a/b.toml": b"", "m.pol": b""}
    assert read_settings(files, None) == Settings(None, "", {}, ("dev", "prod"))
    assert read_settings({}, None) == NO_SETTINGS


KEYS = {
    "a plain key": "idp = 'x'",
    "a quoted key": '"idp" = "x"',
    "a byte order mark": "\ufeffidp = 'x'",
}


@pytest.mark.parametrize("case", KEYS)
def test_keys(case: str) -> None:
    assert read(KEYS[case]).values == {"idp": "x"}


FULL = {
    "a quoted name": '"shop.common.idp" = "x"',
    "a dotted name": 'shop.common.idp = "x"',
    "a table": '[shop.common]\nidp = "x"',
    "a table in a table": '[shop]\n[shop.common]\nidp = "x"',
    "an inline table": 'shop = { common = { idp = "x" } }',
    "a module quoted, a setting dotted": '"shop.common".idp = "x"',
}


@pytest.mark.parametrize("case", FULL)
def test_full_names(case: str) -> None:
    assert read(FULL[case]).values == {"shop.common.idp": "x"}


REFUSED: dict[str, tuple[bytes, str]] = {
    "not TOML": (b"x = ", "E227: `settings/prod.toml` cannot be read: Invalid value (at end of document)"),
    "not UTF-8": (b"x = '\xff'", "E227: `settings/prod.toml` cannot be read: it is not UTF-8"),
    "a key twice": (b"x = 1\nx = 2", "E227: `settings/prod.toml` cannot be read: Cannot overwrite a value"),
    "a key twice, in two spellings": (
        b'"a.x" = 1\n[a]\nx = 2',
        "E228: `settings/prod.toml` binds `a.x`: it is bound twice",
    ),
    "too large": (
        b"#" * (MOST_BYTES + 1),
        f"E227: `settings/prod.toml` cannot be read: it has more than {MOST_BYTES} bytes",
    ),
    "nested without end": (
        b"x = " + b"[" * 100_000,
        "E227: `settings/prod.toml` cannot be read: it is nested too deep",
    ),
    "a key of a hundred thousand steps": (
        b"a" + b".a" * 100_000 + b" = 1",
        "E227: `settings/prod.toml` cannot be read: a key has too many steps",
    ),
    "a quoted key of many steps": (
        b'"a"' + b' . "a"' * 1000 + b" = 1",
        "E227: `settings/prod.toml` cannot be read: a key has too many steps",
    ),
    "a table of many steps": (
        b"[a" + b".a" * 1000 + b"]",
        "E227: `settings/prod.toml` cannot be read: a key has too many steps",
    ),
    "a number of ten thousand digits": (
        b"x = " + b"9" * 10_000,
        "E227: `settings/prod.toml` cannot be read: it holds a number too long to be one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_refused(case: str) -> None:
    data, wanted = REFUSED[case]
    found = read_settings({"settings/prod.toml": data}, "prod")
    assert isinstance(found, tuple)
    (only,) = found
    assert f"{only.code}: {only.message}".startswith(wanted)
    assert only.span.source == "settings/prod.toml"


@given(st.binary(max_size=200) | st.text("abx.=[]{}'\"\n 19-:,#", max_size=80).map(str.encode))
def test_any_bytes_are_settings_or_a_mistake(data: bytes) -> None:
    found = read_settings({"settings/prod.toml": data}, "prod")
    assert isinstance(found, Settings) or (found and all(each.code in {"E227", "E228"} for each in found))


@pytest.mark.parametrize("name", ["staging", "", "../prod", "a/b", "prod.toml"])
def test_an_unknown_environment_lists_those_there_are(name: str) -> None:
    found = read_settings({"settings/prod.toml": b"", "settings/dev.toml": b"", "settings/a/b.toml": b""}, name)
    assert isinstance(found, tuple)
    assert [(each.code, each.message, each.helps) for each in found] == [
        ("E226", f"there are no settings for `{name}`", ("there are `dev`, `prod`",))
    ]


def test_an_environment_without_any_settings() -> None:
    found = read_settings({"m.pol": b""}, "prod")
    assert isinstance(found, tuple)
    assert found[0].helps == ("the bundle has no folder `settings`",)


TYPED = {
    "a string": ("string", '"https://id"', "https://id"),
    "an empty string": ("string", '""', ""),
    "an integer": ("int", "-7", -7),
    "the largest integer": ("int", str(2**63 - 1), 2**63 - 1),
    "a duration in words": ("duration", '"1h30m"', 5_400_000),
    "a duration in milliseconds": ("duration", "250", 250),
    "no duration at all": ("duration", "0", 0),
}


@pytest.mark.parametrize("case", TYPED)
def test_values(case: str) -> None:
    word, written, value = TYPED[case]
    taken = bundle({"m.pol": f"module m setting x: {word}", "settings/prod.toml": f"x = {written}"}, "prod")
    assert taken.messages == []
    assert setting(taken).value == value
    assert setting(taken).type == {"string": Scalar.STRING, "int": IntType(), "duration": Scalar.DURATION}[word]


def test_a_network_is_ranges_and_addresses_in_one_space() -> None:
    written = 'x = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:11.0.0.0"]'
    taken = bundle({"m.pol": "module m setting x: network", "settings/prod.toml": written}, "prod")
    assert taken.messages == []
    one, six = addresses.number("192.0.2.7"), addresses.number("2001:db8::")
    assert one is not None
    assert six is not None
    ten = addresses.number("10.0.0.0")
    assert ten is not None
    wanted = union([(ten, ten + 2**24), (one, one), (six, six + 2**96 - 1)])
    assert (setting(taken).type, setting(taken).value) == (None, wanted)


MISFITS = {
    "a number for a string": ("string", "1"),
    "a truth for a string": ("string", "true"),
    "a string too long": ("string", f'"{"x" * (LONGEST_STRING + 1)}"'),
    "a string for an integer": ("int", '"1"'),
    "a truth for an integer": ("int", "true"),
    "a float for an integer": ("int", "1.0"),
    "an integer beyond 64 bits": ("int", str(2**63)),
    "a date for an integer": ("int", "2026-01-01"),
    "a table for an integer": ("int", "{}"),
    "units in the wrong order": ("duration", '"30m1h"'),
    "a duration without a unit": ("duration", '"5"'),
    "a negative duration": ("duration", "-5"),
    "a duration that does not fit": ("duration", f'"{2**60}d"'),
    "an empty duration": ("duration", '""'),
    "a string for a network": ("network", '"10.0.0.0/8"'),
    "no range at all": ("network", "[]"),
    "host bits": ("network", '["10.0.0.1/8"]'),
    "a name for a range": ("network", '["10.0.0.0/8", "office"]'),
    "a number in a network": ("network", "[1]"),
    "an address with a zone": ("network", '["fe80::1%eth0"]'),
}


@pytest.mark.parametrize("case", MISFITS)
def test_values_of_the_wrong_type_name_file_and_key_and_are_not_shown(case: str) -> None:
    word, written = MISFITS[case]
    taken = bundle({"m.pol": f"module m setting x: {word}", "settings/prod.toml": f"x = {written}"}, "prod")
    (only,) = taken.found
    # An empty table binds nothing at all.
    assert only.code == ("E229" if written == "{}" else "E233")
    assert only.code == "E229" or only.message.startswith("`x` in `settings/prod.toml` is not a")
    assert taken.module("m").broken == {"x"}


TWO = {"a.pol": "module a setting x: int = 1", "m.pol": "module m setting x: int setting y: int = 7"}

BINDINGS = {
    "by module and name": ("m.x = 5", "", 5),
    "each its own": ("[m]\nx = 5\n[a]\nx = 6", "", 5),
    "a plain name of two modules": (
        "m.x = 5\nx = 6",
        "E228: `settings/prod.toml` binds `x`: 2 modules declare it; write `a.x`",
        5,
    ),
    "a plain name of one": ("m.x = 5\ny = 6", "", 5),
    "one setting by both names": (
        'm.x = 5\ny = 6\n"m.y" = 6',
        "E228: `settings/prod.toml` binds `y`: `m.y` binds the same setting",
        5,
    ),
    "an unknown name": ("m.x = 5\nz = 6", "E228: `settings/prod.toml` binds `z`: no module declares it", 5),
    "an unknown module": ("m.x = 5\nb.x = 6", "E228: `settings/prod.toml` binds `b.x`: no module declares it", 5),
    "unbound": ("", "E229: the setting `x` has no value in `settings/prod.toml`", None),
}


@pytest.mark.parametrize("case", BINDINGS)
def test_which_setting_a_key_binds(case: str) -> None:
    written, mistake, value = BINDINGS[case]
    taken = bundle({**TWO, "settings/prod.toml": written}, "prod")
    assert taken.messages == ([mistake] if mistake else [])
    if value is not None:
        assert setting(taken).value == value


def test_a_default_holds_where_nothing_binds() -> None:
    taken = bundle(
        {"m.pol": "module m setting x: duration = 5m setting y: network = 10.0.0.0/8", "settings/e.toml": ""}, "e"
    )
    assert taken.messages == []
    assert setting(taken).value == 300_000


def test_a_file_that_did_not_parse_whole_may_declare_what_a_key_binds() -> None:
    taken = bundle({"m.pol": "module m settin x: int", "settings/prod.toml": "x = 5"}, "prod")
    assert taken.codes == ["m.pol:E101"]


def test_an_unbound_setting_says_which_environments_there_are() -> None:
    files = {"m.pol": "module m setting x: int", "settings/dev.toml": "", "settings/prod.toml": ""}
    assert [each.helps for each in bundle(files).found] == [("choose one by `--settings`: there are `dev`, `prod`",)]


USES = """module m
    setting idp: string setting who: string setting where: string setting peer: string
    token user { issuer idp claim sub: string }
    workload edge = peer
    service s { audience who host where endpoint one GET /one }
"""


def test_texts_come_from_settings() -> None:
    written = 'idp = "https://id"\nwho = "orders"\nwhere = "orders.example"\npeer = "spiffe://p/edge"'
    taken = bundle({"m.pol": USES, "settings/prod.toml": written}, "prod")
    assert taken.messages == []
    assert [each.kind.name for each in taken.inventory.kinds] == ["https://id"]
    assert [each.identity for each in taken.inventory.workloads] == ["spiffe://p/edge"]
    (service,) = (each.service for each in taken.inventory.services)
    assert (service.audiences, service.hosts) == (("orders",), ("orders.example",))


def test_two_settings_of_one_issuer() -> None:
    settings = 'setting a: string = "https://id" setting b: string = "https://id"'
    assert bundle({"m.pol": f"module m {settings} token x {{ issuer a }} token y {{ issuer b }}"}).messages == [
        "E207: two token kinds for the issuer `https://id`"
    ]

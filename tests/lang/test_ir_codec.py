"""Programs as bytes: the round trip, and bytes that are no program."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang import ir, ir_codec
from policy_lang.compile import compile_policy
from policy_lang.typesystem import INT_MAX, INT_MIN, IntType, Scalar, SetType

POLICIES = Path(__file__).parents[1] / "golden" / "policies"
TEXT = """module m
token user { issuer "https://id.example" claim sub: string private claim n: int 0..7 claim f: bool claim u: uuid
  claim at: time claim d: duration optional from "a" "b" claim s: set of int optional claim t: set of string
  factor mfa at token.at }
relation rows (a: string, n: int)
service s { audience "s", "t" host "s.example", "[::1]"
  endpoint one GET|POST /café/{a}/{n: int}/{u: uuid}/*/ scope "r", "w" query page: int 1..9 optional
  endpoint two ANY /** }
service none { audience none host "n.example" endpoint one GET / }
deny a on s when token is user and (token.f or token.n in [1, 2] or token.t overlaps ["é", "x"]) because "-"
allow b for any user on s
  when rows(token.sub, 3) and token.sub like "x*" and not token.t is empty and token.t covers ["y"]
  when token has d and token.d < 5m and now - 1h <= token.at and token.u != "2f4a1a52-7c0b-4f6e-9d0a-0c6f0e3b9a11"
  because "sixty \\"words\\" and a \\u{1F600}"
require c for any user on any endpoint
  needs factor mfa within 5m needs token.f else challenge "device" must log full strict
""".replace("café", "caf%C3%A9")


def program_of(text: str) -> ir.Program:
    return compile_policy({"m.pol": text.encode()}).program


PROGRAM = program_of(TEXT)
DOCUMENT: dict[str, Any] = json.loads(ir_codec.dump(PROGRAM))


def test_a_program_comes_back_as_it_was() -> None:
    data = ir_codec.dump(PROGRAM)
    again = ir_codec.load(data)
    assert again == PROGRAM
    assert ir_codec.dump(again) == data


@pytest.mark.parametrize("folder", sorted(POLICIES.iterdir()), ids=lambda path: path.name)
def test_whole_policies_come_back(folder: Path) -> None:
    program = compile_policy({path.name: path.read_bytes() for path in folder.glob("*.pol")}).program
    assert ir_codec.load(ir_codec.dump(program)) == program


def test_the_empty_program_comes_back() -> None:
    program = program_of("module m")
    assert ir_codec.load(ir_codec.dump(program)) == program


def test_the_form_is_canonical() -> None:
    data = ir_codec.dump(PROGRAM)
    canonical = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert data == canonical.encode("ascii")


def test_sets_are_written_in_one_order() -> None:
    """Two sets that were filled in another order, so that their own order may differ."""
    words = [f"w{n}" for n in range(50)]
    one, other = frozenset(words), frozenset(reversed(words))
    assert ir_codec.dump(with_constant(one)) == ir_codec.dump(with_constant(other))


def with_constant(value: ir.Value) -> ir.Program:
    atom = ir.Member(ir.Attr("token", "x"), ir.Const(value))
    return ir.Program(ir.VERSION, (), (), (), (), (), (atom,), (ir.Lit(0, negated=True),), (), ())


SCALARS = st.booleans() | st.integers(INT_MIN, INT_MAX) | st.text(st.characters(exclude_categories=["Cs"]))
VALUES = SCALARS | st.frozensets(st.booleans()) | st.frozensets(st.integers(-5, 5)) | st.frozensets(st.text(max_size=3))


@given(VALUES.filter(lambda value: not isinstance(value, frozenset) or all(str(each) < "\ud800" for each in value)))
def test_constants_keep_their_type(value: ir.Value) -> None:
    data = ir_codec.dump(with_constant(value))
    (atom,) = ir_codec.load(data).atoms
    assert isinstance(atom, ir.Member)
    assert isinstance(atom.among, ir.Const)
    assert atom.among == ir.Const(value)
    assert type(atom.among.value) is type(value)
    assert ir_codec.dump(with_constant(atom.among.value)) == data


TYPES = (IntType(), IntType(-1, 5), *Scalar, *(SetType(each) for each in Scalar), SetType(IntType(0, 1)))


def test_types_come_back() -> None:
    fields = tuple(ir.FieldSchema(f"f{n}", each, True, False, ("x",)) for n, each in enumerate(TYPES))
    program = ir.Program(ir.VERSION, (), (ir.Kind("k", "i", fields),), (), (), (), (), (), (), ())
    assert ir_codec.load(ir_codec.dump(program)) == program


# ---------------------------------------------------------------- what is no program


def changed(*way: Any, to: Any) -> bytes:
    """The document with one value replaced."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    for step in way[:-1]:
        at = at[step]
    at[way[-1]] = to
    return json.dumps(document).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in DOCUMENT.items() if key != name}).encode()


CELL = next(n for n, cell in enumerate(DOCUMENT["cells"]) if cell[2] and cell[4])
REFUSED = {
    "nothing": b"",
    "not JSON": b"program",
    "not ASCII": '"é"'.encode(),
    "not UTF-8": b"\xff",
    "a number": b"1",
    "a list": b"[]",
    "an empty object": b"{}",
    "deeper than any program": b"[" * 200_000 + b"]" * 200_000,
    "an operand deeper than any program": changed("atoms", 0, to=["truth", None]).replace(
        b"null", b'["shift",' * 50_000 + b'["now"]' + b',1,["now"]]' * 50_000, 1
    ),
    "a key twice": ir_codec.dump(PROGRAM).replace(b'{"atoms"', b'{"version":1,"atoms"', 1),
    "another version": changed("version", to=2),
    "version true": changed("version", to=True),
    "no version": without("version"),
    "no cells": without("cells"),
    "a key more": json.dumps({**DOCUMENT, "more": []}).encode(),
    "an unknown atom": changed("atoms", 0, to=["opaque", ["now"]]),
    "an atom without a tag": changed("atoms", 0, to=[]),
    "an atom with an argument too many": changed("atoms", 0, to=["truth", ["now"], ["now"]]),
    "an unknown operand": changed("atoms", 0, to=["truth", ["signal", "risk"]]),
    "an unknown root": changed("atoms", 0, to=["truth", ["attr", "header", "x"]]),
    "has of a constant": changed("atoms", 0, to=["has", ["const", 1]]),
    "a set of two types": changed("atoms", 0, to=["empty", ["set", 1, True]]),
    "a set with a member twice": changed("atoms", 0, to=["empty", ["set", 1, 1]]),
    "a fraction": changed("atoms", 0, to=["truth", ["const", 1.5]]),
    "not a number": b'{"version":NaN}',
    "an integer beyond 64 bits": changed("atoms", 0, to=["truth", ["const", 2**63]]),
    "an integer of 5,000 digits": changed("atoms", 0, to=["truth", ["const", 1]]).replace(b"1", b"1" * 5000),
    "half a character": changed("atoms", 0, to=["truth", ["const", "\ud800"]]),
    "a sign of two": changed("atoms", 0, to=["truth", ["shift", ["now"], 2, ["now"]]]),
    "an unknown relation": changed("atoms", 0, to=["lookup", "m.none", ["now"]]),
    "a lookup with too few arguments": changed("atoms", 0, to=["lookup", "m.rows", ["now"]]),
    "an unknown guard": changed("guards", 0, to=["xor", 0]),
    "a guard of an atom that does not exist": changed("guards", 0, to=["atom", 1000]),
    "a guard of atom minus one": changed("guards", 0, to=["atom", -1]),
    "a guard of itself": changed("guards", 0, to=["all", 0]),
    "a guard of a later one": changed("guards", 0, to=["any", 1]),
    "a guard of minus one": changed("guards", 3, to=["any", -1]),
    "a guard of true": changed("guards", 3, to=["any", True]),
    "an unknown effect": changed("rules", 0, 1, to="permit"),
    "an unknown log level": changed("rules", 2, 4, to=["loud", False]),
    "two rules of one id": changed("rules", 1, 0, to=DOCUMENT["rules"][0][0]),
    "two endpoints of one id": changed("endpoints", 1, "id", to=DOCUMENT["endpoints"][0]["id"]),
    "an endpoint of an unknown service": changed("endpoints", 0, "service", to="nowhere"),
    "an endpoint without a place": changed("endpoints", 0, to={}),
    "all that follows, and more": changed("endpoints", 0, "segments", to=[["rest"], ["any"]]),
    "an unknown segment": changed("endpoints", 0, "segments", to=[["glob", "*"]]),
    "an unknown capture": changed("endpoints", 0, "segments", to=[["capture", "x", "opaque"]]),
    "a capture twice": changed("endpoints", 0, "segments", to=[["capture", "x", "int"]] * 2),
    "an unknown type": changed("kinds", 0, 2, 0, 1, to=["regex"]),
    "a set of sets": changed("kinds", 0, 2, 0, 1, to=["set", ["set", ["int", None, None]]]),
    "a claim that comes from nowhere": changed("kinds", 0, 2, 0, 4, to=[]),
    "a claim twice": changed("kinds", 0, 2, 0, 0, to=DOCUMENT["kinds"][0][2][1][0]),
    "two kinds of one issuer": changed("kinds", to=[DOCUMENT["kinds"][0], ["other", *DOCUMENT["kinds"][0][1:]]]),
    "a cell of an endpoint that does not exist": changed("cells", 0, 0, to=99),
    "a cell of an unknown kind": changed("cells", 0, 1, to="nobody"),
    "two cells of one place": changed("cells", 1, to=DOCUMENT["cells"][0]),
    "a rule that does not exist": changed("cells", CELL, 2, 0, 0, to=99),
    "an allow among the denies": changed("cells", CELL, 2, 0, 0, to=1),
    "a rule twice in a group": changed("cells", CELL, 2, to=DOCUMENT["cells"][CELL][2] * 2),
    "a clause of a guard that does not exist": changed("cells", CELL, 2, 0, 1, 0, 2, to=999),
    "a need of a guard that does not exist": changed("cells", CELL, 4, 0, 2, 0, 1, to=999),
    "needs on a deny": changed("cells", CELL, 2, 0, 2, to=DOCUMENT["cells"][CELL][4][0][2]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ir_codec.load(REFUSED[name])


@given(st.binary(max_size=64) | st.text("[]{}:,\"'01 atoms", max_size=64).map(str.encode))
def test_any_bytes_are_a_program_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        ir_codec.load(data)


@given(st.data())
def test_a_program_with_one_value_replaced_is_refused_or_sound(data: st.DataObject) -> None:
    """Whatever is loaded can be dumped again and is the same program: nothing unsound is half accepted."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if isinstance(at[key], list | dict) and at[key] and data.draw(st.integers(0, 9)):
            at = at[key]
        else:
            break
    at[key] = data.draw(st.sampled_from([None, True, 0, 1, -1, 10**6, 2**70, 1.5, "", "all", [], {}, ["now"]]))
    try:
        program = ir_codec.load(json.dumps(document).encode())
    except ValueError:
        return
    assert ir_codec.load(ir_codec.dump(program)) == program

"""`pdp new --from-casbin`: the files of a policy folder around a Casbin model, as text.

In go the table that the model and the policy make, their texts, and the name of a service; out come files by relative
path: a policy with one `casbin` block and tests, the two texts as they were, a README and a CI file. The answers that
the tests expect are those of the compiled table.
INVARIANT: the block grants nothing that the table does not; beside it nothing is granted.
Source: language.md 6.4, example p9; contracts.md "Bundles, places, configuration".

Decision (2026-11-21): who asks is `token.sub`. Where rows name paths, the path, the method and the address of the
request are bound, and what else the model asks for becomes a claim; else an endpoint takes each of them as a capture,
so that an application can ask `GET /check/data1/read`.
Decision (2026-11-21): each part of a value that the model asks for (`r.sub.Age`) is bound to a claim of its own, and
the value beside them where it is asked for too. A claim is an integer or a truth where the matcher compares it with
such, a set where it looks for something in it, else a string. Which claim it really is, its owner knows.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal, assert_never

from msgspec import Struct

from pdp.authoring.casbin_parameters import Meaning, meanings
from pdp.authoring.casbin_requests import Drawer
from pdp.authoring.casbin_sites import Site, sites_of
from pdp.authoring.pol_text import METHODS, Names, identifier, quoted
from pdp.authoring.scaffold import bundle_files
from policy_lang.checking.casbin_parameters import asked_about
from policy_lang.ir.tables import FunctionName, Mode, Table
from policy_lang.layout.formatter import formatted
from policy_lang.plan.tables import TablePlan
from policy_lang.request import Path, canonical_path

MODEL_FILE = "casbin/model.conf"
POLICY_FILE = "casbin/policy.csv"
BLOCK = "rows_decide"
CHECKED = "check"
"""What stands before the captures of an endpoint that is no path of the rows."""

CALLER_CLAIM = "sub"
"""The claim that says who asks."""

MOST_ROWS_TESTED = 12
TRIES = 8
"""Requests that are made for one row; the first that comes out as the row says becomes its test."""

MOST_DRAWN = 200
MOST_REFUSED_TESTED = 6

_PATH, _METHOD, _ADDRESS = (f"request.{name}" for name in ("path", "method", "ip"))

_CALLER = f"token.{CALLER_CLAIM}"

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", re.ASCII)
_SEED = 1


class CasbinTexts(Struct, frozen=True):
    """The two texts, as they go into the folder, and how they are read there."""

    model: str
    policy: str
    mode: Mode
    matching: Mapping[str, FunctionName]
    domain_matching: Mapping[str, FunctionName]
    zone: str | None


def casbin_files(service: str, table: Table, texts: CasbinTexts, now_ms: int) -> Mapping[str, str]:
    """The files by path. `now_ms` is the instant at which the tests' answers are asked for."""
    binding = Binding.of(table)
    asked = asked_about(table, [each.name for each in binding.bound]).table
    tests = () if asked is None else _tests(service, asked, binding, now_ms)
    policy = "\n".join((*_head(service, binding), *_block(service, texts, binding), *tests, ""))
    laid_out = formatted("policy.pol", policy.encode())
    return {
        "policy.pol": laid_out if isinstance(laid_out, str) else policy,
        MODEL_FILE: texts.model,
        POLICY_FILE: texts.policy,
        "README.md": _README.replace("SERVICE", service),
        ".github/workflows/policy.yml": bundle_files(service)[".github/workflows/policy.yml"],
    }


# ---------------------------------------------------------------- binding


InputType = Literal["string", "int", "bool", "set of string"]

_NOBODY: Mapping[InputType, str] = {"string": '"nobody"', "int": "0", "bool": "false", "set of string": "[]"}
"""The claims of a caller that no row is about."""


class Bound(Struct, frozen=True):
    """A parameter of the model, or a part of one, by its name, and the input it is bound to."""

    name: str
    input: str
    type: InputType

    def written(self) -> str:
        """As `bind` has it."""
        plain = _NAME.fullmatch(self.name) is not None
        return f"{self.name if plain else quoted(self.name)} = {self.input}"

    def text(self, value: object) -> str | None:
        """A value of it as a test says it; None where that is none of its type."""
        match self.type, value:
            case "string", str():
                return (value if self.input == _ADDRESS else quoted(value)) if _is_text(value) else None
            case "int", int() if not isinstance(value, bool):
                return str(value)
            case "bool", bool():
                return str(value).lower()
            case "set of string", list():
                texts = [quoted(each) for each in value if isinstance(each, str) and _is_text(each)]
                return f"[{', '.join(texts)}]" if len(texts) == len(value) else None
            case _:
                return None


def _is_text(value: str) -> bool:
    return value.isprintable() and value == value.strip()


class Binding(Struct, frozen=True):
    """What every parameter is bound to. `claims` are names and types; `route` is the endpoint's."""

    bound: tuple[Bound, ...]
    claims: tuple[tuple[str, InputType], ...]
    route: str

    @classmethod
    def of(cls, table: Table) -> Binding:
        """The binding of a table's parameters."""
        meant = meanings(table)
        names = Names((CALLER_CLAIM,))
        parts = [each for each in asked_about(table, ()).missing if "." in each]
        asked = (*asked_about(table, parts).missing, *parts)
        bound = tuple(
            each
            for place, meaning in enumerate(meant)
            for each in _bound(table, place, meaning, asked, paths="path" in meant, names=names)
        )
        claims: dict[str, InputType] = {CALLER_CLAIM: "string"}
        claims |= {each.input.removeprefix("token."): each.type for each in bound if each.input.startswith("token.")}
        captured = [f"{{{each.input.removeprefix('path.')}}}" for each in bound if each.input.startswith("path.")]
        route = "ANY /**" if "path" in meant else f"ANY /{'/'.join([CHECKED, *captured])}"
        return cls(bound, tuple(claims.items()), route)

    def case(self, request: Sequence[object]) -> tuple[str, str, Sequence[str]] | None:
        """A request, with a value for each that is bound, as a call: method, path, and what its line changes; None
        where no call carries it.
        """
        told = {each.input: (value, each.text(value)) for each, value in zip(self.bound, request, strict=True)}
        captured = [str(value) for name, (value, _) in told.items() if name.startswith("path.")]
        path, _ = told.get(_PATH, ("/".join(["", CHECKED, *captured]), ""))
        method, _ = told.get(_METHOD, ("GET", ""))
        changed = [
            f"with {name} = {text}" for name, (_, text) in told.items() if name.startswith("token.") or name == _ADDRESS
        ]
        said = all(text is not None for _, text in told.values())
        plain = _is_plain(str(path)) and all(_PLAIN_SEGMENT.fullmatch(each) for each in captured)
        fits = said and plain and method in METHODS and _is_address(told.get(_ADDRESS, ("::", ""))[0])
        return (str(method), str(path), changed) if fits else None


def _bound(
    table: Table, place: int, meaning: Meaning, asked: Sequence[str], *, paths: bool, names: Names
) -> Iterator[Bound]:
    """The bindings of one parameter: of the whole and of the parts that are `asked` for."""
    name = table.parameters[place]
    sites = [site for site in sites_of(table) if site.place == place]
    for each in asked:
        parameter, _, part = each.partition(".")
        if parameter != name:
            continue
        type_ = _type([site for site in sites if ".".join(site.fields) == part])
        plain = identifier(part.rpartition(".")[2] or name, "value")
        if part or type_ != "string":
            yield Bound(each, f"token.{names.take(plain)}", type_)
        else:
            yield Bound(each, _input(meaning, plain, paths=paths, names=names), type_)


def _type(sites: Sequence[Site]) -> InputType:
    """What the matcher takes a value for."""
    values = {type(value) for site in sites for value in site.values}
    if any(site.how == "holds" for site in sites):
        return "set of string"
    if values & {int, float}:
        return "int"
    return "bool" if bool in values else "string"


def _input(meaning: Meaning, name: str, *, paths: bool, names: Names) -> str:
    match meaning:
        case "subject":
            return _CALLER
        case "path":
            return _PATH
        case "method":
            return _METHOD
        case "address":
            return _ADDRESS
        case "other":
            return f"token.{names.take(name)}" if paths else f"path.{names.take(name)}"
        case _:
            assert_never(meaning)


def _is_plain(path: str) -> bool:
    """Whether a call may name the path, and `/**` has it."""
    read = canonical_path(path) if _PLAIN_PATH.fullmatch(path) else None
    return isinstance(read, Path) and (path == "/" or not path.endswith("/"))


def _is_address(value: object) -> bool:
    try:
        return bool(ipaddress.ip_address(str(value)))
    except ValueError:
        return False


# ---------------------------------------------------------------- text


def _head(service: str, binding: Binding) -> list[str]:
    claims = [f"  claim {name}: {type_}" for name, type_ in binding.claims]
    return [
        f"# Who may do what with {service}, as a Casbin model says it. What no row allows is refused.",
        "language 1",
        f"module {service}",
        "",
        "# Who calls. The issuer signs the tokens; a claim that is not declared here is not read.",
        "token user {",
        '  issuer "https://id.example"',
        *claims,
        "}",
        "",
        f"service {service} {{",
        f'  audience "{service}"',
        f'  host "{service.replace("_", "-")}.example"',
        f"  endpoint everything {binding.route}",
        "}",
        "",
    ]


def _block(service: str, texts: CasbinTexts, binding: Binding) -> list[str]:
    bound = ", ".join(each.written() for each in binding.bound)
    lines = [
        f"casbin {BLOCK} {{",
        f"  model {quoted(MODEL_FILE)}",
        f"  policy {quoted(POLICY_FILE)}",
        f"  bind {bound}",
        f"  on {service}",
        "  as full",
        f"  mode {texts.mode}",
    ]
    lines += [f"  match {name} = {quoted(function)}" for name, function in texts.matching.items()]
    lines += [f"  match_domain {name} = {quoted(function)}" for name, function in texts.domain_matching.items()]
    lines += [] if texts.zone is None else [f"  zone {quoted(texts.zone)}"]
    return [*lines, "}", ""]


def _tests(service: str, table: Table, binding: Binding, now_ms: int) -> list[str]:
    """One test of rows, one of what is refused, of the table that is asked about what is bound; the claims that a line
    does not change are nobody's.
    """
    given = ", ".join([*(f"{name}: {_NOBODY[type_]}" for name, type_ in binding.claims), f'aud: ["{service}"]'])
    begins = [f"  given token user {{ {given} }}"]
    rows, refused = _cases(service, table, binding, now_ms)
    lines = ['test "rows" {', *begins, *rows, "}", ""] if rows else []
    wrong = [f"  call {service} GET /elsewhere with token.aud = [{quoted('another')}] expect deny by audience"]
    if binding.route != "ANY /**":
        wrong = [f"  call {service} GET /elsewhere expect deny by route"]
    return [*lines, 'test "nothing else passes" {', *begins, *refused, *wrong, "}"]


def _cases(service: str, table: Table, binding: Binding, now_ms: int) -> tuple[list[str], list[str]]:
    """Lines of calls made for rows, and of calls that are refused."""
    drawer, plan, random = Drawer.of(table), TablePlan.of(table), Random(_SEED)  # noqa: S311 - examples, no secret
    rows: dict[str, None] = {}
    refused: dict[str, None] = {}
    step = max(1, len(table.rows) // MOST_ROWS_TESTED)
    for row in table.rows[::step][:MOST_ROWS_TESTED]:
        tried = [drawer.fitting(row, random) for _ in range(TRIES)]
        said = [(request, plan.said(request, now_ms=now_ms).vote) for request in tried]
        request, vote = next((each for each in said if each[1] == row.vote), said[0])
        rows |= _line(service, binding, request, vote)
    for _ in range(MOST_DRAWN):
        request = drawer.drawn(random)
        vote = plan.said(request, now_ms=now_ms).vote
        if vote != "allow" and len(refused) < MOST_REFUSED_TESTED:
            refused |= {line: None for line in _line(service, binding, request, vote) if line not in rows}
    return list(rows), list(refused)


def _line(service: str, binding: Binding, request: Sequence[object], vote: str | None) -> dict[str, None]:
    """The line of a case, or none."""
    case = binding.case(request)
    if case is None:
        return {}
    method, path, changed = case
    expected = "deny by default" if vote is None else f"{vote} by {BLOCK}"
    return {" ".join((f"  call {service} {method} {path}", *changed, f"expect {expected}")): None}


_README = """\
# The policy of SERVICE

- `policy.pol`: who calls, what can be called, how the Casbin model is asked, and tests of that.
- `casbin/model.conf`, `casbin/policy.csv`: the model and its rows, as they were.
- `.github/workflows/policy.yml`: checks all of it on every change, once `PDP` in it says what to install `pdp` from.

Start with `issuer`, `audience` and `host` in `policy.pol`, then with `bind`: which input each parameter of the model
is. Rules beside the block work as ever: a `deny` beats every row. Check with `pdp check .`, run the tests with
`pdp test .`, ask the rows alone with `pdp casbin enforce`, and serve it with `pdp serve --policies .`.
"""

"""Slips in declarations and tests: what is written, and what the message says to write instead.

Each is told where the grammar stops, once, and nothing else is said of the policy round it.
"""

from __future__ import annotations

import pytest

from policy_lang.syntax import slip_declarations, slip_tests
from tests.lang.slip_programs import only, remedy, silent

DECLARATIONS = {
    'condition c(x: string): bool = x == "a"': "delete `: bool`",
    'condition c(x: string) -> bool = x == "a"': "delete `-> bool`",
    "condition c: bool = true": "delete `: bool`",
    'condition c(x) = x == "a"': "write `x: TYPE`",
    'condition c(x: string) { x == "a" }': "write `= …`",
    'condition c(x: string) => x == "a"': "write `=`",
    "package foo": "write `module foo`",
    "default allow = false": "delete it",
    "default allow": "delete it",
    "default deny": "delete it",
    "def c(x): x == 1": "write `condition c (x: TYPE) = …`",
    "let x = 5": "write `condition x = …`, or `setting x: TYPE = …`",
    "from a import b": "write `import a (b)`",
    "import a": "write `import a (NAME, …)`",
    "import a.b": "write `import a.b (NAME, …)`",
    "import a as b": "write `import a (NAME, …)`",
    'import "a" (b)': "write `import MODULE (NAME, …)`, without quotes",
    "import a {b}": "write `import a (b)`",
    "import a: b": "write `import a (b)`",
    "-- comment": "write `#`",
    "permit(principal, action, resource);": "did you mean `allow`?",
    "forbid(principal)": "did you mean `deny`?",
    "role admin2": "write `roles for KIND from token.CLAIM { role … }`",
    "endpoint x GET /x": "write `service NAME { … endpoint … }`",
    "factor mfa2 at token.auth_time": "write `token KIND { issuer … claim … factor … }`",
    "claim x: string": "write `token KIND { issuer … claim … factor … }`",
    "const x = 5": "write `condition x = …`, or `setting x: TYPE = …`",
    "var x = 5": "write `condition x = …`, or `setting x: TYPE = …`",
    "function f(x) = x": "write `condition f (x: TYPE) = …`",
    "rule b { }": "did you mean `allow`, `deny` or `require`?",
    "policy b { }": "did you mean `allow`, `deny` or `require`?",
    "priority 5": "delete it",
    "setting fresh = 5m": "write `setting fresh: TYPE = …`",
    "setting fresh: duration: 5m": "write `=`",
    "setting fresh: time = 2026-01-01": "write one of these",
    "setting fresh: bool = true": "write one of these",
    "enum color { red, green }": "write `enum color = red | green`",
    "enum color = red, green": "write `enum color = red | green`",
    'enum color = "red" | "green"': "write `red`",
    "enum color: red | green": "write `=`",
    'network n = "10.0.0.0/8"': "write `10.0.0.0/8`",
    "network n = [10.0.0.0/8]": "write `10.0.0.0/8`",
    "network n { 10.0.0.0/8 }": "write `network n = 10.0.0.0/8`",
    "workload w = spiffe://a/b": 'write `"spiffe://…"`',
    'workload w "spiffe://a/b"': 'write `workload w = "spiffe://…"`',
    "relation r [a: string]": "write `relation r (COLUMN: TYPE, …)`",
    "relation r (string, string)": "write `NAME: string`",
    "relation r { a: string }": "write `relation r (COLUMN: TYPE, …)`",
    "roles user from token.roles { role x2 }": "write `roles for user from …`",
    "roles { admin }": "write `roles for KIND from token.CLAIM { … }`",
    "roles for user { role x2 }": "write `roles for user from token.CLAIM { … }`",
    'roles for user from "roles" { role x2 }': "write `from token.roles`",
    'include "x"': "write `import x (NAME, …)`",
    "use a": "write `import a (NAME, …)`",
    "/* x */": "write `#` on each line",
    'token two: { issuer "x" }': "delete it",
    "token two { claim a: string }": 'write `issuer "…"` before it',
    'token two { issuer: "x" }': "delete it: `issuer …`",
    "service s { endpoint a GET /a }": 'write `audience "…"` before it',
    'service s { audience: "a" }': "delete it: `audience …`",
    'service s { host "a" audience "a" }': 'write `audience "…"` before it',
    'service s: { audience "a" }': "delete it",
    "condition isAdmin = role admin": "names and words are: write `is_admin`",
    "condition is-admin = role admin": "write `is_admin`",
    "condition c = role admin;": "delete it: each clause starts with its own word",
    "condition c := role admin": "write `=`",
    "condition c() = role admin": "write `condition c = …`",
    "when token.age > 5": "write it behind `allow NAME`, `deny NAME` or `require NAME`",
    'signal s: int from "context.x" key token.sub within fresh else 0': "write a duration of at most 1s, such as `5ms`",
    "*/": "write `#` on each line",
    "val x = 5": "write `condition x = …`, or `setting x: TYPE = …`",
}


@pytest.mark.parametrize("written", DECLARATIONS)
def test_a_declaration(written: str) -> None:
    assert remedy(only(a_declaration=written)) == DECLARATIONS[written]


CLAIMS = {
    "claim realm_access.roles: set of string": 'write `claim roles: TYPE from "realm_access" "roles"`',
    'claim "realm_access": string': 'write `claim realm_access: TYPE from "realm_access"`',
    "claim nick: string?": "write `claim nick: string optional`",
    "claim nick: [string]": "write `set of string`",
    "claim nick: string | null": "write `claim nick: string optional`",
    "claim nick: optional string": "write `claim nick: string optional`",
    "claim nick: Optional[string]": "write `claim nick: string optional`",
    "claim nick: [string] optional": "write `set of string`",
    "claim nick?: string": "write `claim nick: TYPE optional`",
    "claim nick string": "write `claim nick: string`",
    'claim nick: string = "a"': "write `optional`, and say in the rule what holds without it",
    "claim nick: string required": "delete it",
    "nick: string": "write `claim nick: TYPE`",
    "claim nick: string, claim nock: string": "delete the comma",
    "claim nick: set<string>": "write `set of`",
    "claim nick: set string": "write `set of string`",
    "claim isSuspended: bool optional": (
        'write `claim is_suspended: TYPE from "isSuspended"`: what is sent keeps its name'
    ),
    "claim tenant-id: string": 'write `claim tenant_id: TYPE from "tenant-id"`: what is sent keeps its name',
    "claim IsSuspended: bool": 'write `claim is_suspended: TYPE from "IsSuspended"`: what is sent keeps its name',
    "claim _id: string": 'write `claim id: TYPE from "_id"`: what is sent keeps its name',
    'claim isSuspended: bool from "isSuspended"': (
        'write `claim is_suspended: TYPE from "isSuspended"`: what is sent keeps its name'
    ),
    "factor totpCode at token.auth_time": "names and words are: write `totp_code`",
    "factor totp at token.authTime": 'write `token.auth_time`, declared by `claim auth_time: TYPE from "authTime"`',
    "claim https://id.example/tenant: string": 'write `claim tenant: TYPE from "https://id.example/tenant"`',
    "claim cognito:groups: set of string": 'write `claim groups: TYPE from "cognito:groups"`',
    'claim "https://id.example/tenant": string': 'write `claim tenant: TYPE from "https://id.example/tenant"`',
    "claim address.geo.city: string": 'write `claim city: TYPE from "address" "geo" "city"`',
    "claim 2fa: bool": 'write `claim a_2fa: TYPE from "2fa"`: what is sent keeps its name',
}


@pytest.mark.parametrize("written", CLAIMS)
def test_a_claim(written: str) -> None:
    assert remedy(only(a_claim=written)) == CLAIMS[written]


ENDPOINTS = {
    "endpoint x GET /x query pageSize: int": (
        'write `query page_size: TYPE from "pageSize"`: what is sent keeps its name'
    ),
    "endpoint x GET /x query page-size: int": (
        'write `query page_size: TYPE from "page-size"`: what is sent keeps its name'
    ),
    "endpoint x GET /x header x-y: string": 'write `header x_y: TYPE from "x-y"`: what is sent keeps its name',
    "endpoint x GET /x header xY: string": 'write `header x_y: TYPE from "xY"`: what is sent keeps its name',
    "endpoint getUser GET /x": "names and words are: write `get_user`",
    'endpoint x GET "/a"': "write `/a`",
    "endpoint x get /a": "write `GET`",
    "endpoint GET /a": "write `endpoint NAME GET /a`",
    "endpoint x GET,POST /a": "write `GET | POST`",
    "endpoint x /a": "write `endpoint x GET /a`",
    "GET /a": "write `endpoint NAME GET /a`",
    "endpoint x GET /users/<id>": "write `{id}`",
    "endpoint x GET /users/<int:id>": "write `{id: int}`",
    "endpoint x GET /users/{userId}": "write `{user_id}`, and its type behind `:`",
    "endpoint x GET /users/{user-id}": "write `{user_id}`, and its type behind `:`",
    "endpoint x GET /files/{path...}": "write `**` for all that follows",
    "endpoint x GET /files/{path:.*}": "write `**` for all that follows",
    "endpoint x GET /files/{id:[0-9]+}": "write `{id: int}`",
    "endpoint x: GET /x": "delete it",
    "endpoint x GET https://a/x": "write `/x`",
    "endpoint x GET x": "write `/x`",
    "endpoint x GET *": "write `/**`",
    "endpoint x * /x": "write `endpoint x ANY /x`",
    'endpoint x GET /x scopes "a"': "write `scope`",
    "endpoint x GET /x scope a": 'write `"` before and behind it',
    'endpoint x GET /x requires "a"': "write `scope`",
    "endpoint x GET /users/<uuid:id>": "write `{id: uuid}`",
    "endpoint x GET /users/{id:string()}": "write `{id}`; a rule asks for more",
    "endpoint x GET /users/{id!}": "write `{id}`; a rule asks for more",
}


@pytest.mark.parametrize("written", ENDPOINTS)
def test_an_endpoint(written: str) -> None:
    assert remedy(only(an_endpoint=written)) == ENDPOINTS[written]


SERVICES = {
    'audience: "x"': 'write `audience "…", "…"`',
    'path "/x"': "delete it, and write the whole path behind each method",
    'base "/x"': "delete it, and write the whole path behind each method",
    'url "https://x"': "delete it, and write the whole path behind each method",
    'tag owner "x"': 'write `tag owner = "x"`',
}


@pytest.mark.parametrize("written", SERVICES)
def test_a_line_of_a_service(written: str) -> None:
    assert remedy(only(a_line_of_a_service=written)) == SERVICES[written]


TESTS = {
    'given token.sub = "a"\n call api GET /users/1 expect allow': 'write `given token KIND { sub: "a", … }`',
    'given token { sub: "u" }': "write `given token KIND { … }`",
    'given user { sub: "u" }': "write `given token user { … }`",
    'given token user sub: "u"': "write `given token user { … }`",
    'given token user { sub = "u" }': "write `:`",
    'given token user { "sub": "u" }': "write `sub`",
    'given token user { sub: "u" , }': "delete the comma",
    "call api GET /users/1 expect allow\n given anonymous": "move it there, or begin another test",
    'call api GET /users/1 with token.sub = "a", token.age = 4 expect allow': "write `with token.age = …`",
    'call api GET /users/1 with token.sub = "a" and token.age = 4 expect allow': "write `with token.age = …`",
    'call api GET /users/1 with token { sub: "a" } expect allow': "write `with token.NAME = …`",
    "call GET /users/1 expect allow": "write `call SERVICE GET /users/1`",
    "call GET https://api.example/users/1 expect allow": "write `call SERVICE GET /users/1`",
    "call api GET https://api.example/users/1 expect allow": "write `/users/1`",
    "call GET api /users/1 expect allow": "write `call api GET /users/1`",
    'call api GET "/users/1" expect allow': "write `/users/1`",
    'call api.read(id: "1") expect allow': 'write `call api.read { id: "1" }`',
    'call api.read("1") expect allow': 'write `call api.read { NAME: "1" }`',
    "call read expect allow": "write `call SERVICE.read`",
    "call api GET /users/1 -> allow": "write `expect`",
    "call api GET /users/1 expect: allow": "delete it",
    "call api GET /users/1 expect = allow": "delete it",
    "call api GET /users/1 expect true": "write `allow`",
    "call api GET /users/1 expect 200": "write `allow`",
    "call api GET /users/1 expect 403": "write `deny`",
    "call api GET /users/1 expect allowed": "write `allow`",
    'call api GET /users/1 expect "allow"': "write `allow`",
    'call api GET /users/1 expect allow by "a"': "write `a`",
    'call api GET /users/1 expect deny because "b"': "write `by RULE`",
    "expect allow": "write `call SERVICE GET /path expect …`",
    'when token.sub = "a"': "write `given token KIND { … }`",
    'call api GET /users/1 given token.sub = "a" expect allow': "write `with token.NAME = …`",
    "given now 2026-01-01": "write `given now 2026-01-01T00:00:00Z`",
    "given now = 2026-01-01T00:00:00Z": "delete it",
    "given request.ip = 10.0.0.1": "write `given request { ip: … }`",
    "given ip 10.0.0.1": "write `given request { ip: … }`",
    'given header dev = "x"': "write `call … with header.NAME = …`",
    "given role admin": 'write `given token KIND { roles: ["admin"], … }`, by the claim that gives it',
    'given shared("a","b")': "write `given fact shared(…)`",
    'given fact shared = ("a","b")': "write `given fact shared(…)`",
    "call api GET /users/1 with role admin expect allow": (
        'write `with token.roles = ["admin"]`, by the claim that gives it'
    ),
    "assert allow": "write `call SERVICE GET /path expect …`",
    "call api GET /users/1 expect allow; call api GET /users/2 expect deny": (
        "delete it: each clause starts with its own word"
    ),
    "given token user { email: None }": "leave it out",
    "given token user { age: 5.5 }": "count in a smaller unit",
    "given token user { sub: 'x' }": "write `\"` for `'`",
    'given now "noon"': "write `given now 2026-01-31T00:00:00Z`",
    "call api GET /users/1 expect 401": "write `deny by token`, or `step_up FACTOR`",
}


@pytest.mark.parametrize("written", TESTS)
def test_a_test(written: str) -> None:
    assert remedy(only(a_test=written)) == TESTS[written]


def test_every_row_of_the_tables_is_told_by_one_of_these() -> None:
    slips = [only(a_declaration=written) for written in DECLARATIONS]
    slips += [only(a_claim=written) for written in CLAIMS]
    slips += [only(an_endpoint=written) for written in ENDPOINTS]
    slips += [only(a_line_of_a_service=written) for written in SERVICES]
    slips += [only(a_test=written) for written in TESTS]
    assert silent((*slip_declarations.ROWS, *slip_declarations.PATHS, *slip_tests.ROWS), slips) == []

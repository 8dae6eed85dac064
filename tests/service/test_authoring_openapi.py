"""OpenAPI documents: what is said becomes endpoints, what cannot be said is named, nothing else is said."""

from __future__ import annotations

import json

import pytest

from pdp.authoring.merge import Wishes, merged
from pdp.authoring.model import AuthoringError, HttpRoute
from pdp.authoring.openapi import read_openapi
from policy_lang.syntax.grammar import Tree, read
from policy_lang.verdict import Json
from tests.support.authoring import UUID, imported, text_of

# ---------------------------------------------------------------- paths


def captures(path: str, **schemas: Json) -> Json:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": schema} for name, schema in schemas.items()
    ]
    return {path: {"get": {"parameters": found}}}


PATTERNS: dict[str, tuple[Json, str]] = {
    "typed captures": (
        captures("/a/{id}/b/{n}/{s}", id=UUID, n={"type": "integer"}, s={}),
        "/v1/a/{id: uuid}/b/{n: int}/{s}",
    ),
    "a capture in camel case": (captures("/a/{orderId}", orderId={}), "/v1/a/{order_id}"),
    "two captures that become one word": (captures("/{aB}/{a_b}", aB={}, a_b={}), "/v1/{a_b}/{a_b_2}"),
    "a list in a segment": (captures("/a/{ids}", ids={"type": "array"}), "/v1/a/{ids}"),
    "the root": ({"/": {"get": {}}}, "/v1/"),
    "a trailing slash": ({"/a/": {"get": {}}}, "/v1/a/"),
    "a star is a literal": ({"/a/*": {"get": {}}}, "/v1/a/%2A"),
    "two stars are a literal": ({"/**": {"get": {}}}, "/v1/%2A%2A"),
    "parentheses and commas": ({"/f(a,b)": {"get": {}}}, "/v1/f%28a%2Cb%29"),
    "a verb behind a colon": ({"/a:cancel": {"get": {}}}, "/v1/a:cancel"),
    "an escape that must be one": ({"/a%20b": {"get": {}}}, "/v1/a%20b"),
}


@pytest.mark.parametrize(("paths", "pattern"), PATTERNS.values(), ids=PATTERNS.keys())
def test_the_pattern_of_a_path(paths: Json, pattern: str) -> None:
    read_in = imported(paths)
    assert [each.route for each in read_in.operations] == [HttpRoute("GET", pattern)]
    assert isinstance(read(text_of(read_in), "start"), Tree)


LEFT_OUT: dict[str, tuple[Json, tuple[str, ...]]] = {
    "a capture with text behind it": (captures("/a/{x}.json", x={}), ("{x}.json", "whole segment")),
    "a capture with text before it": (captures("/a-{x}", x={}), ("a-{x}", "whole segment")),
    "two captures in one segment": (captures("/{x}{y}", x={}, y={}), ("whole segment",)),
    "a brace alone": (captures("/a/{x", x={}), ("whole segment",)),
    "a capture twice": (captures("/{x}/{x}", x={}), ("one name twice",)),
    "a capture without parameter": ({"/a/{x}": {"get": {}}}, ("`{x}` has no parameter", "in: path")),
    "a path without a slash": ({"a": {"get": {}}}, ("begins with `/`",)),
    "a path with a query": ({"/a?b=c": {"get": {}}}, ("before the query",)),
    "a path with a fragment": ({"/a#b": {"get": {}}}, ("canonical",)),
    "a path with an empty segment": ({"/a//b": {"get": {}}}, ("empty",)),
    "a path with a dot segment": ({"/a/../b": {"get": {}}}, ("dot_segment",)),
    "a path that is not ASCII": ({"/größe": {"get": {}}}, ("canonical",)),
    "a path with an escaped letter": ({"/%61": {"get": {}}}, ("canonical",)),
    "a path of 10,000 characters": ({"/" + "a" * 10_000: {"get": {}}}, ("longer than any",)),
    "a matrix capture": (
        {"/{x}": {"get": {"parameters": [{"name": "x", "in": "path", "style": "matrix"}]}}},
        ("style `matrix`",),
    ),
    "a path that is a list": ({"/a": []}, ("mapping of methods",)),
    "an operation that is a text": ({"/a": {"get": "x"}}, ("an operation is a mapping",)),
    "TRACE": ({"/a": {"trace": {}}}, ("no method `TRACE`",)),
    "QUERY of 3.2": ({"/a": {"query": {}}}, ("no method `QUERY`",)),
    "a method of one's own": ({"/a": {"additionalOperations": {"LINK": {}}}}, ("no method `LINK`",)),
    "servers of its own": ({"/a": {"get": {"servers": [{"url": "https://x.example"}]}}}, ("servers of its own",)),
    "an unknown type": (captures("/{x}", x={"type": "guid"}), ("unknown type `guid`", "integer")),
    "types that exclude each other": (
        captures("/{x}", x={"allOf": [{"type": "string"}, {"type": "integer"}]}),
        ("exclude each other",),
    ),
    "bounds the wrong way round": (
        {
            "/a": {
                "get": {
                    "parameters": [
                        {"name": "a", "in": "query", "schema": {"type": "integer", "minimum": 2, "maximum": 1}}
                    ]
                }
            }
        },
        ("between 2 and 1",),
    ),
    "a reference to another file": (captures("/{x}", x={"$ref": "x.json"}), ("another file",)),
    "a reference to nothing": (captures("/{x}", x={"$ref": "#/no"}), ("leads nowhere",)),
    "a path in another file": ({"/a": {"$ref": "a.yaml"}}, ("every method", "another file")),
    "a cycle of references": (captures("/{x}", x={"$ref": "#/components/schemas/Loop"}), ("back to itself",)),
    "a cycle through allOf": (captures("/{x}", x={"$ref": "#/components/schemas/All"}), ("schemas for one parameter",)),
    "a cycle through oneOf": (captures("/{x}", x={"$ref": "#/components/schemas/One"}), ("schemas for one parameter",)),
    "a cycle through items": (
        captures("/{x}", x={"$ref": "#/components/schemas/List"}),
        ("schemas for one parameter",),
    ),
    "a parameter twice": ({"/a": {"get": {"parameters": [{"name": "a", "in": "query"}] * 2}}}, ("twice",)),
    "a parameter without a name": ({"/a": {"get": {"parameters": [{"in": "query"}]}}}, ("has a `name`",)),
    "a parameter without a place": ({"/a": {"get": {"parameters": [{"name": "a"}]}}}, ("add `in`",)),
    "`required` that is a text": (
        {"/a": {"get": {"parameters": [{"name": "a", "in": "query", "required": "yes"}]}}},
        ("true or false",),
    ),
    "parameters that are a mapping": ({"/a": {"get": {"parameters": {}}}}, ("is a list",)),
    "a scheme that is not declared": (
        {"/a": {"get": {"security": [{"nobody": []}]}}},
        ("`nobody`", "declared nowhere"),
    ),
    "a scope with a space": ({"/a": {"get": {"security": [{"idp": ["a b"]}]}}}, ("`a b`", "no token")),
    "security that is a mapping": ({"/a": {"get": {"security": {}}}}, ("is a list",)),
}
LOOPS: Json = {
    "schemas": {
        "Loop": {"$ref": "#/components/schemas/Loop"},
        "All": {"allOf": [{"$ref": "#/components/schemas/All"}]},
        "One": {"oneOf": [{"$ref": "#/components/schemas/One"}, {"type": "string"}]},
        "List": {"type": "array", "items": {"$ref": "#/components/schemas/List"}},
    },
    "securitySchemes": {"idp": {"type": "oauth2"}},
}


@pytest.mark.parametrize(("paths", "words"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_an_operation_that_cannot_be_said_is_left_out_by_name(paths: Json, words: tuple[str, ...]) -> None:
    assert isinstance(paths, dict)
    read_in = imported({**paths, "/healthy": {"get": {}}}, components=LOOPS)
    assert [each.route for each in read_in.operations] == [HttpRoute("GET", "/v1/healthy")]
    (finding,) = [each for each in read_in.findings if each.left_out]
    assert finding.place.startswith("#/")
    assert len(finding.place) <= 300
    for word in words:
        assert word in finding.message


def test_of_two_paths_of_one_shape_the_first_stands() -> None:
    paths: Json = {
        "/a/{x}": {"get": {"operationId": "one", "parameters": [{"name": "x", "in": "path"}]}},
        "/a/{y}": {
            "parameters": [{"name": "y", "in": "path", "schema": UUID}],
            "get": {"operationId": "two"},
            "post": {"operationId": "three"},
        },
    }
    read_in = imported(paths)
    assert [each.name for each in read_in.operations] == ["one", "three"]
    assert [(each.left_out, "`/a/{x}`" in each.message) for each in read_in.findings] == [(True, True), (False, True)]


def test_an_ambiguous_path_is_left_out() -> None:
    paths: Json = {
        "/a/{x}/c": {"get": {"parameters": [{"name": "x", "in": "path"}]}},
        "/a/b/{y}": {"get": {"operationId": "second", "parameters": [{"name": "y", "in": "path"}]}},
        "/a/b/c": {"get": {}},
    }
    result = merged(None, "shop.pol", imported(paths), Wishes())
    assert result.report.new == ("get_a_x_c", "get_a_b_c")
    (finding,) = [each for each in result.report.findings if each.left_out]
    assert "`get_a_x_c`" in finding.message


# ---------------------------------------------------------------- names, labels, scopes, servers


def test_names_are_unique_and_no_words_of_the_language() -> None:
    paths: Json = {
        "/a": {"get": {"operationId": "listThings"}, "post": {"operationId": "list_things"}},
        "/b": {"get": {"operationId": "endpoint"}, "post": {}},
        "/c/{id}": {"get": {"operationId": "", "parameters": [{"name": "id", "in": "path"}]}},
    }
    names = [each.name for each in imported(paths).operations]
    assert names == ["list_things", "list_things_2", "endpoint_endpoint", "post_b", "get_c_id"]


def test_tags_and_deprecation_are_labels_and_two_tags_are_never_one() -> None:
    paths: Json = {
        "/a": {"get": {"tags": ["Pet Store", "shop"], "deprecated": True}},
        "/b": {"get": {"tags": ["pet-store", "role"]}},
    }
    text = text_of(imported(paths))
    assert "label pet_store, shop_tag, deprecated, pet_store_2, role_tag" in text
    assert "tagged pet_store, shop_tag, deprecated" in text
    assert "tagged pet_store_2, role_tag" in text


SCHEMES: Json = {
    "securitySchemes": {"idp": {"type": "oauth2"}, "oidc": {"type": "openIdConnect"}, "key": {"type": "apiKey"}}
}
SCOPES: dict[str, tuple[Json, tuple[str, ...], bool]] = {
    "none asked": ([], (), False),
    "one": ([{"idp": ["a"]}], ("a",), False),
    "two together": ([{"idp": ["a"], "oidc": ["b"]}], ("a", "b"), False),
    "one or the other: all of them, and it is said": ([{"idp": ["a"]}, {"oidc": ["b"]}], ("a", "b"), True),
    "one or a key: the scope, and it is said": ([{"key": []}, {"idp": ["a"]}], ("a",), True),
    "one or nobody: the scope, and it is said": ([{}, {"idp": ["a"]}], ("a",), True),
    "the roles of a key are no scopes": ([{"key": ["admin"]}], (), False),
}


@pytest.mark.parametrize(("security", "scopes", "said"), SCOPES.values(), ids=SCOPES.keys())
def test_the_scopes_of_an_operation(security: Json, scopes: tuple[str, ...], *, said: bool) -> None:
    (operation,) = imported({"/a": {"get": {"security": security}}}, components=SCHEMES).operations
    assert operation.scopes == scopes
    assert any("the document asks for" in each for each in operation.comments) == said


BAD_TYPES: dict[str, tuple[dict[str, Json], str]] = {
    "a list": ({"type": ["a"]}, "the type of `o` is a text: correct it"),
    "a mapping": ({"type": {}}, "the type of `o` is a text: correct it"),
    "null": ({"type": None}, "the type of `o` is a text: correct it"),
    "none": ({}, "the type of `o` is a text: correct it"),
    "a slip": ({"type": "OAuth2"}, "`OAuth2` is no type of a security scheme (`o`)"),
}


@pytest.mark.parametrize(("scheme", "words"), BAD_TYPES.values(), ids=BAD_TYPES.keys())
def test_a_security_scheme_of_no_type_leaves_out_what_asks_for_it(scheme: dict[str, Json], words: str) -> None:
    paths: Json = {"/a": {"get": {"security": [{"o": ["s"]}]}}, "/b": {"get": {}}}
    read_in = imported(paths, components={"securitySchemes": {"o": scheme}})
    assert [each.place for each in read_in.operations] == ["#/paths/~1b/get"]
    (finding,) = read_in.findings
    assert finding.left_out
    assert words in finding.message


def test_what_is_asked_for_under_a_scheme_without_scopes_is_noted_once() -> None:
    read_in = imported({"/a": {"get": {}, "put": {}}}, components=SCHEMES, security=[{"key": ["admin"]}])
    (finding,) = read_in.findings
    assert "the scheme `key` has no scopes, and `admin` is asked for under it" in finding.message
    assert [each.scopes for each in read_in.operations] == [(), ()]


def test_an_operations_security_wins_over_the_documents() -> None:
    paths: Json = {"/a": {"get": {}, "post": {"security": []}}}
    one, two = imported(paths, components=SCHEMES, security=[{"idp": ["a"]}]).operations
    assert (one.scopes, two.scopes) == (("a",), ())


WHERE: dict[str, tuple[Json, tuple[str, ...], str, int]] = {
    "a host and a base path": ([{"url": "https://api.example/v1/"}], ("api.example",), "/v1/a", 0),
    "case, port and a final dot": ([{"url": "HTTPS://API.example.:8443"}], ("api.example",), "/a", 0),
    "a path alone": ([{"url": "/v2"}], (), "/v2/a", 0),
    "no servers": ([], (), "/a", 0),
    "two hosts": ([{"url": "https://a.example"}, {"url": "https://b.example/"}], ("a.example", "b.example"), "/a", 0),
    "another base path": ([{"url": "https://a.example/x"}, {"url": "https://b.example/y"}], ("a.example",), "/x/a", 1),
    "a variable at its default": (
        [{"url": "https://eu.example{b}", "variables": {"b": {"default": "/v1"}}}],
        ("eu.example",),
        "/v1/a",
        0,
    ),
    "a variable of several values: each, the default's first": (
        [{"url": "https://{r}.example/v1", "variables": {"r": {"default": "us", "enum": ["eu", "us", "ap"]}}}],
        ("us.example", "eu.example", "ap.example"),
        "/v1/a",
        0,
    ),
    "two variables: every pair": (
        [
            {
                "url": "https://{r}.{s}.example",
                "variables": {name: {"default": "a", "enum": ["a", "b"]} for name in "rs"},
            }
        ],
        ("a.a.example", "a.b.example", "b.a.example", "b.b.example"),
        "/a",
        0,
    ),
    "a variable that says two base paths": (
        [{"url": "https://a.example/{v}", "variables": {"v": {"default": "v1", "enum": ["v1", "v2"]}}}],
        ("a.example",),
        "/v1/a",
        1,
    ),
    "a value of a variable that is no text": (
        [{"url": "https://{r}.example", "variables": {"r": {"default": "eu", "enum": ["eu", 5]}}}],
        (),
        "/a",
        1,
    ),
    "a variable without default": ([{"url": "https://{r}.example"}], (), "/a", 1),
    "no URL of HTTP": ([{"url": "wss://a.example"}], (), "/a", 1),
    "a user in the URL": ([{"url": "https://me@a.example"}], (), "/a", 1),
    "a host that is none": ([{"url": "https://a_b.example"}], (), "/a", 1),
    "a server that is a text": (["https://a.example"], (), "/a", 1),
    "servers that are a text": ("https://a.example", (), "/a", 0),
}


@pytest.mark.parametrize(("servers", "hosts", "path", "left_out"), WHERE.values(), ids=WHERE.keys())
def test_where_calls_go(servers: Json, hosts: tuple[str, ...], path: str, left_out: int) -> None:
    read_in = imported({"/a": {"get": {}}}, servers=servers)
    assert read_in.hosts == hosts
    assert read_in.operations[0].route == HttpRoute("GET", path)
    assert sum(each.left_out for each in read_in.findings) == left_out
    assert any("no host is named" in each.message for each in read_in.findings) == (not hosts)


def test_a_variable_that_may_be_anything_stands_at_its_default_and_that_is_said() -> None:
    servers: Json = [{"url": "https://{tenant}.example", "variables": {"tenant": {"default": "demo"}}}]
    read_in = imported({"/a": {"get": {}}}, servers=servers)
    assert read_in.hosts == ("demo.example",)
    (said,) = [each.message for each in read_in.findings]
    assert "`{tenant}` may be anything, and stands at its default" in said


def test_variables_with_more_readings_than_are_read_stand_at_their_defaults_and_that_is_said() -> None:
    values: Json = {name: {"default": "a", "enum": list("abcdefgh")} for name in ("r", "s")}
    read_in = imported({"/a": {"get": {}}}, servers=[{"url": "https://{r}.{s}.example", "variables": values}])
    assert read_in.hosts == ("a.a.example",)
    assert any("its variables have 64 readings" in each.message for each in read_in.findings)


def test_servers_beyond_those_that_are_read_are_said() -> None:
    read_in = imported({"/a": {"get": {}}}, servers=[{"url": f"https://h{n}.example"} for n in range(201)])
    assert len(read_in.hosts) == 200
    assert any("beyond the first 200" in each.message and each.left_out for each in read_in.findings)


def test_without_a_host_the_service_has_one_that_nobody_can_reach() -> None:
    assert 'host "shop.invalid"' in text_of(imported({"/a": {"get": {}}}, servers=[]))


# ---------------------------------------------------------------- documents

NOT_READ: dict[str, tuple[dict[str, Json], str]] = {
    "no OpenAPI": ({"info": {}}, "I106"),
    "a version to come": ({"openapi": "4.0.0", "paths": {}}, "I107"),
    "version 3.10": ({"openapi": "3.10.0", "paths": {}}, "I107"),
    "Swagger 1.2": ({"swagger": "1.2"}, "I107"),
    "both at once": ({"swagger": "2.0", "openapi": "3.0.0"}, "I106"),
    "paths that are a list": ({"openapi": "3.0.0", "paths": []}, "I106"),
    "a version that is a mapping": ({"openapi": {}, "paths": {}}, "I107"),
}


@pytest.mark.parametrize(("root", "code"), NOT_READ.values(), ids=NOT_READ.keys())
def test_a_document_that_is_not_read(root: dict[str, Json], code: str) -> None:
    with pytest.raises(AuthoringError) as refused:
        read_openapi(json.dumps(root).encode(), "api.json")
    assert refused.value.code == code


def test_a_document_without_paths_has_no_operations() -> None:
    assert imported({}).operations == ()
    assert read_openapi(b"openapi: 3.1", "api.yaml").operations == ()


def test_swagger_2_is_read() -> None:
    root: Json = {
        "swagger": "2.0",
        "host": "api.example:8080",
        "basePath": "/v1",
        "securityDefinitions": {"idp": {"type": "oauth2"}},
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "type": "string", "format": "uuid"}},
        "paths": {
            "/a/{id}": {
                "get": {
                    "security": [{"idp": ["r"]}],
                    "parameters": [
                        {"$ref": "#/parameters/Id"},
                        {"name": "n", "in": "query", "type": "integer", "minimum": 1, "maximum": 9},
                        {
                            "name": "many",
                            "in": "query",
                            "type": "array",
                            "collectionFormat": "multi",
                            "items": {"type": "integer"},
                        },
                        {"name": "list", "in": "query", "type": "array", "items": {"type": "integer"}},
                        {"name": "body", "in": "body", "schema": {"type": "object"}},
                    ],
                }
            }
        },
    }
    read_in = read_openapi(json.dumps(root).encode(), "api.json")
    (operation,) = read_in.operations
    assert read_in.hosts == ("api.example",)
    assert operation.route == HttpRoute("GET", "/v1/a/{id: uuid}")
    assert operation.scopes == ("r",)
    assert [each.type for each in operation.parameters] == ["int 1..9", "set of int", "string"]

"""Parameters of OpenAPI: each as the type that reads every text it allows, or left out by name."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policy_lang.syntax.grammar import Tree, read
from policy_lang.verdict import Json
from tests.support.authoring import imported, text_of, with_parameter

QUERY: dict[str, tuple[Mapping[str, Json], str]] = {
    "a string": ({"schema": {"type": "string"}}, "string"),
    "no schema at all": ({}, "string"),
    "a schema that says nothing": ({"schema": {}}, "string"),
    "a schema that is true": ({"schema": True}, "string"),
    "a uuid": ({"schema": {"type": "string", "format": "uuid"}}, "uuid"),
    "a boolean": ({"schema": {"type": "boolean"}}, "bool"),
    "an integer": ({"schema": {"type": "integer", "format": "int64"}}, "int"),
    "both bounds": ({"schema": {"type": "integer", "minimum": 1, "maximum": 200}}, "int 1..200"),
    "negative bounds": ({"schema": {"type": "integer", "minimum": -5, "maximum": -1}}, "int -5..-1"),
    "one bound": ({"schema": {"type": "integer", "minimum": 0}}, "int 0..9223372036854775807"),
    "bounds beyond 64 bits": ({"schema": {"type": "integer", "minimum": -(10**30), "maximum": 10**30}}, "int"),
    "a bound of a float beyond 64 bits": ({"schema": {"type": "integer", "maximum": 1e300}}, "int"),
    "bounds with fractions": ({"schema": {"type": "integer", "minimum": 0.5, "maximum": 7.5}}, "int 1..7"),
    "exclusive bounds of 3.1": (
        {"schema": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}},
        "int 1..9",
    ),
    "exclusive bounds of 3.0": (
        {"schema": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": True}},
        "int 1..8",
    ),
    "a date-time, which a query's time is not": ({"schema": {"type": "string", "format": "date-time"}}, "string"),
    "a number": ({"schema": {"type": "number"}}, "string"),
    "null or an integer": ({"schema": {"type": ["integer", "null"]}}, "int"),
    "an integer or a string": ({"schema": {"type": ["integer", "string"]}}, "string"),
    "a schema elsewhere": ({"schema": {"$ref": "#/components/schemas/Limit"}}, "int 1..50"),
    "a schema elsewhere with a bound beside": (
        {"schema": {"$ref": "#/components/schemas/Limit", "maximum": 20}},
        "int 1..20",
    ),
    "all of two": ({"schema": {"allOf": [{"$ref": "#/components/schemas/Limit"}, {"minimum": 5}]}}, "int 5..50"),
    "all of a number and an integer": ({"schema": {"allOf": [{"type": "number"}, {"type": "integer"}]}}, "int"),
    "any of an integer and null": (
        {"schema": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]}},
        "int 3..9223372036854775807",
    ),
    "one of a uuid and an integer": (
        {"schema": {"oneOf": [{"type": "string", "format": "uuid"}, {"type": "integer"}]}},
        "string",
    ),
    "values without a type": ({"schema": {"enum": [1, 2]}}, "int"),
    "true or false without a type": ({"schema": {"enum": [True, False]}}, "bool"),
    "a list, each value with its name": ({"schema": {"type": "array", "items": {"type": "integer"}}}, "set of int"),
    "a list without items": ({"schema": {"type": "array"}}, "set of string"),
    "a list in one value": ({"explode": False, "schema": {"type": "array", "items": {"type": "integer"}}}, "string"),
    "a list with bars": (
        {"style": "pipeDelimited", "schema": {"type": "array", "items": {"type": "integer"}}},
        "string",
    ),
    "an empty value": ({"allowEmptyValue": True, "schema": {"type": "integer"}}, "string"),
    "an encoded text": ({"content": {"application/json": {"schema": {"type": "object"}}}}, "string"),
}
LIMIT: Json = {"schemas": {"Limit": {"type": "integer", "minimum": 1, "maximum": 50}}}


@pytest.mark.parametrize(("parameter", "type_"), QUERY.values(), ids=QUERY.keys())
def test_the_type_of_a_query_parameter(parameter: Mapping[str, Json], type_: str) -> None:
    read_in = with_parameter({"name": "a", "in": "query", **parameter}, components=LIMIT)
    assert [each.type for each in read_in.operations[0].parameters] == [type_], read_in.findings
    assert isinstance(read(text_of(read_in), "start"), Tree)


NOT_DECLARED: dict[str, tuple[Mapping[str, Json], str]] = {
    "an object": ({"in": "query", "style": "deepObject", "schema": {"type": "object"}}, "has structure"),
    "a list of objects": ({"in": "query", "schema": {"type": "array", "items": {"type": "object"}}}, "has structure"),
    "a list of lists": ({"in": "query", "schema": {"type": "array", "items": {"type": "array"}}}, "has structure"),
    "a list of no known style": ({"in": "query", "style": "odd", "schema": {"type": "array"}}, "style `odd`"),
    "a list with bars, exploded": (
        {"in": "query", "style": "pipeDelimited", "explode": True, "schema": {"type": "array"}},
        "no one meaning",
    ),
    "a cookie": ({"in": "cookie", "schema": {"type": "string"}}, "does not read cookies"),
    "the whole query": ({"in": "querystring", "schema": {"type": "string"}}, "no parameters in `querystring`"),
    "a header of ours": ({"name": "X-Portcullis-Decision", "in": "header"}, "are ours"),
    "a header that is none": ({"name": "a b", "in": "header"}, "no name of a header"),
}


@pytest.mark.parametrize(("parameter", "words"), NOT_DECLARED.values(), ids=NOT_DECLARED.keys())
def test_a_parameter_that_cannot_be_said_is_named(parameter: Mapping[str, Json], words: str) -> None:
    read_in = with_parameter({"name": "a", **parameter})
    assert read_in.operations[0].parameters == ()
    (finding,) = read_in.findings
    assert words in finding.message
    assert finding.place.startswith("#/paths/~1a/get/parameters/0")
    assert not finding.left_out


def test_headers_are_lower_case_and_credentials_are_not_among_them() -> None:
    names = ["X-Trace-Id", "Authorization", "content-type", "Accept", "X-Count"]
    parameters: list[Json] = [{"name": name, "in": "header", "schema": {"type": "integer"}} for name in names]
    read_in = imported({"/a": {"get": {"parameters": parameters}}})
    assert [(each.kind, each.source) for each in read_in.operations[0].parameters] == [
        ("header", "x-trace-id"),
        ("header", "x-count"),
    ]
    assert 'header x_trace_id: int optional from "x-trace-id"' in text_of(read_in)
    assert read_in.findings == ()


def test_a_list_in_a_header_is_a_set() -> None:
    schema: Json = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 3}}
    (parameter,) = with_parameter({"name": "X-Ids", "in": "header", "schema": schema}).operations[0].parameters
    assert parameter.type == "set of int 1..3"


def test_an_operations_parameter_wins_over_its_paths() -> None:
    above: Json = [{"name": "a", "in": "query", "schema": {"type": "string"}}, {"name": "b", "in": "query"}]
    own: Json = [{"name": "a", "in": "query", "required": True, "schema": {"type": "integer"}}]
    read_in = imported({"/a": {"parameters": above, "get": {"parameters": own}}})
    assert [(each.source, each.type, each.optional) for each in read_in.operations[0].parameters] == [
        ("a", "int", False),
        ("b", "string", True),
    ]

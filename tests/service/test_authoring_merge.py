"""An import into an edited file: what its author wrote stays, what the document says is written, nothing opens."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.authoring.merge import Merged, Wishes, merged
from pdp.authoring.model import AuthoringError, Imported
from pdp.authoring.policy_text import PolicyText, read_policy
from pdp.authoring.updates import Edit, applied
from policy_lang.layout.formatter import formatted
from policy_lang.verdict import Json
from tests.support.authoring import UUID, document, imported, text_of

ITEM: Json = {"name": "item", "in": "path", "schema": UUID}
LIMIT: Json = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}}
IDP: Json = {"securitySchemes": {"idp": {"type": "oauth2"}}}
PATHS: dict[str, Json] = {
    "/items": {
        "get": {"operationId": "listItems", "tags": ["catalogue"], "parameters": [LIMIT], "summary": "All items"},
        "post": {"operationId": "addItem", "security": [{"idp": ["write"]}]},
    },
    "/items/{item}": {
        "parameters": [ITEM],
        "get": {"operationId": "readItem", "tags": ["catalogue"]},
        "delete": {"operationId": "dropItem", "security": [{"idp": ["write"]}], "deprecated": True},
    },
}


def shop(paths: dict[str, Json] | None = None) -> Imported:
    return imported(PATHS if paths is None else paths, components=IDP)


def again(text: str, document_: Imported | None = None, wishes: Wishes | None = None) -> Merged:
    return merged(text, "shop.pol", document_ or shop(), wishes or Wishes())


FRESH = text_of(shop())


def endpoints(text: str) -> dict[str, str]:
    """The text of each endpoint by its name, blanks folded."""
    (service,) = read_policy(text, "x").services
    return {each.name: " ".join(text[each.whole.start : each.whole.end].split()) for each in service.endpoints}


def test_a_new_file_is_in_canonical_layout_and_a_second_import_changes_nothing() -> None:
    assert formatted("shop.pol", FRESH.encode()) == FRESH
    result = again(FRESH)
    assert result.text == FRESH
    assert result.report.kept == ("list_items", "add_item", "read_item", "drop_item")
    assert (result.report.new, result.report.changed, result.report.vanished) == ((), (), ())


def test_the_same_document_gives_the_same_bytes() -> None:
    assert text_of(shop()) == FRESH


# ---------------------------------------------------------------- the law


def _rename(policy: PolicyText, at: int) -> Edit | None:
    endpoint = policy.services[0].endpoints[at % len(policy.services[0].endpoints)]
    start = policy.text.index(endpoint.name, endpoint.whole.start)
    return Edit(start, start + len(endpoint.name), f"{endpoint.name}_renamed")


def _without(pattern: str) -> Callable[[PolicyText, int], Edit | None]:
    def edit(policy: PolicyText, at: int) -> Edit | None:
        endpoint = policy.services[0].endpoints[at % len(policy.services[0].endpoints)]
        found = re.compile(pattern).search(policy.text, endpoint.route_at.end, endpoint.whole.end)
        return None if found is None else Edit(found.start(), found.end(), "")

    return edit


def _with(clause: str) -> Callable[[PolicyText, int], Edit | None]:
    def edit(policy: PolicyText, at: int) -> Edit | None:
        endpoint = policy.services[0].endpoints[at % len(policy.services[0].endpoints)]
        return Edit(endpoint.whole.end, endpoint.whole.end, clause)

    return edit


def _above(policy: PolicyText, at: int) -> Edit | None:
    endpoint = policy.services[0].endpoints[at % len(policy.services[0].endpoints)]
    start = policy.text.rfind("\n", 0, endpoint.whole.start) + 1
    return Edit(start, start, "   # somebody's words, \tkept\n\n")


def _at_the_end(text: str) -> Callable[[PolicyText, int], Edit | None]:
    return lambda policy, _: Edit(len(policy.text), len(policy.text), text)


def _capture(policy: PolicyText, at: int) -> Edit | None:
    endpoint = policy.services[0].endpoints[at % len(policy.services[0].endpoints)]
    found = re.compile(r"\{([a-z_]+)").search(endpoint.route)
    if found is None:
        return None
    start = endpoint.route_at.start + found.start(1)
    return Edit(start, start, "my_")


EDITS: dict[str, Callable[[PolicyText, int], Edit | None]] = {
    "a name": _rename,
    "closed taken away": _without(r"\bclosed"),
    "labels taken away": _without(r"tagged [a-z_]+(, [a-z_]+)*"),
    "scopes taken away": _without(r'scope "[a-z]+"'),
    "a label": _with(" tagged mine"),
    "a scope": _with(' scope "mine"'),
    "a comment beside": _with("  # my words, kept"),
    "a comment above": _above,
    "a parameter of one's own": _with(" query own: string optional"),
    "a capture renamed": _capture,
    "a parameter renamed": lambda policy, _: _renamed_parameter(policy),
    "a rule": _at_the_end('\n\nallow all for anyone on any endpoint because "yes"'),
    "a test": _at_the_end('\ntest "t" { given anonymous }'),
    "an endpoint of another form": lambda policy, _: Edit(
        policy.services[0].close, policy.services[0].close, ' endpoint act action "read" on "item"\n'
    ),
    "blank lines": lambda policy, at: Edit(policy.services[0].close, policy.services[0].close, "\n" * (at % 3)),
}


def _renamed_parameter(policy: PolicyText) -> Edit | None:
    at = policy.text.find("limit: int 1..100 optional")
    return (
        None if at < 0 else Edit(at, at + len("limit: int 1..100 optional"), 'most: int 1..1_00 optional from "limit"')
    )


SOME_EDITS = st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 7)), max_size=8)


def _edited(text: str, edits: list[tuple[str, int]]) -> str:
    seen: set[str] = set()
    for name, at in edits:
        if name not in seen:  # each kind once: one cannot rename a name that is renamed
            edit = EDITS[name](read_policy(text, "x"), at)
            text = text if edit is None else applied(text, [edit])
            seen.add(name)
    return text


@given(SOME_EDITS)
def test_an_import_of_the_same_document_leaves_an_edited_file_as_it_is(edits: list[tuple[str, int]]) -> None:
    """import(edit(import(d))) = edit(import(d)), byte for byte."""
    text = _edited(FRESH, edits)
    assert again(text).text == text


@pytest.mark.parametrize("name", EDITS)
def test_each_of_those_edits_is_one(name: str) -> None:
    assert any(_edited(FRESH, [(name, at)]) != FRESH for at in range(8))


CHANGED: dict[str, Json] = {
    "/items": {"get": {"operationId": "listItems", "parameters": [{**LIMIT, "required": True}]}},
    "/items/{thing}": {
        "parameters": [{"name": "thing", "in": "path"}],
        "get": {"operationId": "readItem", "tags": ["catalogue", "fresh"]},
        "put": {"operationId": "putItem", "tags": ["fresh"]},
    },
}  # fmt: skip


@given(SOME_EDITS)
def test_a_changed_document_changes_what_it_says_and_a_third_import_nothing(edits: list[tuple[str, int]]) -> None:
    text = _edited(FRESH, edits)
    before = read_policy(text, "x").services[0].endpoints
    result = again(text, shop(CHANGED))
    after = read_policy(result.text, "x").services[0].endpoints
    for old, new in zip(before, after, strict=False):
        assert (old.name, old.closed, old.scopes, old.methods) == (new.name, new.closed, new.scopes, new.methods)
    assert [(each.name, each.closed) for each in after[len(before) :]] == [("put_item", True)]
    comments = re.findall(r"#.*", text)
    assert [each for each in re.findall(r"#.*", result.text) if "any more" not in each] == comments
    assert result.text.count("# not in api.json any more") == 2
    for rule in ("allow all for anyone", 'test "t"'):
        assert (rule in text) == (rule in result.text)
    assert again(result.text, shop(CHANGED)).text == result.text


# ---------------------------------------------------------------- one by one


def _changed(**get: Json) -> Merged:
    paths = {**PATHS, "/items": {"get": {"operationId": "listItems", **get}, "post": PATHS["/items"]["post"]}}  # type: ignore[index,call-overload]
    return again(FRESH, shop(paths))


def _limit(**schema: Json) -> Json:
    return [{"name": "limit", "in": "query", "schema": {"type": "integer", **schema}}]


PARAMETERS: dict[str, tuple[Json, str, str]] = {
    "a narrower type": (
        _limit(minimum=1, maximum=50),
        "query limit: int 1..50 optional",
        "int 1..100 is now int 1..50",
    ),
    "a wider type": (_limit(minimum=1, maximum=200), "query limit: int 1..200 optional", "is now int 1..200 (wider)"),
    "no bounds": (_limit(), "query limit: int optional", "is now int (wider)"),
    "another type": ([{"name": "limit", "in": "query"}], "query limit: string optional", "is now string (wider)"),
    "required": (
        [
            {
                "name": "limit",
                "in": "query",
                "required": True,
                "schema": {"type": "integer", "minimum": 1, "maximum": 100},
            }
        ],
        "query limit: int 1..100",
        "is now required",
    ),
    "another one": (
        [LIMIT, {"name": "X-Trace", "in": "header"}],
        'query limit: int 1..100 optional header x_trace: string optional from "x-trace"',
        "new header x_trace",
    ),
}


@pytest.mark.parametrize(("parameters", "clause", "said"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_a_changed_parameter_is_written_and_said(parameters: Json, clause: str, said: str) -> None:
    result = _changed(parameters=parameters)
    assert endpoints(result.text)["list_items"].endswith(clause)
    (line,) = result.report.changed
    assert line.startswith("list_items: ")
    assert said in line
    assert formatted("x", result.text.encode()) == result.text
    assert (again(result.text).text == FRESH) == ("header" not in clause)  # a parameter of nobody's stays


def test_what_becomes_optional_is_called_wider() -> None:
    required = FRESH.replace("query limit: int 1..100 optional", "query limit: int 1..100")
    result = again(required)
    assert result.text == FRESH
    assert result.report.changed == ("list_items: query limit is now optional (wider)",)


def test_a_parameter_that_the_document_does_not_name_is_kept_and_said() -> None:
    result = _changed(tags=["catalogue"])
    assert "query limit: int 1..100" in result.text
    assert any("query limit is not in api.json" in each.message for each in result.report.findings)


def test_a_changed_capture_keeps_its_authors_name() -> None:
    text = FRESH.replace("{item: uuid}", "{thing}")
    result = again(text)
    assert result.text.count("/v1/items/{thing: uuid}") == 2
    assert result.report.changed == (
        "read_item: /v1/items/{thing} is now /v1/items/{thing: uuid}",
        "drop_item: /v1/items/{thing} is now /v1/items/{thing: uuid}",
    )


def test_a_capture_that_loses_its_type_is_called_wider() -> None:
    paths: dict[str, Json] = {
        "/items/{item}": {"parameters": [{"name": "item", "in": "path"}], "get": {}, "delete": {}}
    }
    result = again(FRESH, shop(paths))
    assert all(line.endswith("(wider)") for line in result.report.changed)
    assert len(result.report.changed) == 2


def test_a_capture_of_a_type_that_no_document_says_keeps_it() -> None:
    text = FRESH.replace("{item: uuid}", "{item: opaque}")
    assert again(text).text == text


def test_what_vanished_stays_with_a_comment_and_loses_it_when_it_is_back() -> None:
    paths = {"/items": PATHS["/items"]}
    result = again(FRESH, shop(paths))
    assert [line.split(":")[0] for line in result.report.vanished] == ["read_item", "drop_item"]
    assert result.text.count("  # not in api.json any more\n  endpoint ") == 2
    assert endpoints(result.text) == endpoints(FRESH)
    assert again(result.text, shop(paths)).text == result.text
    assert again(result.text).text == FRESH


def _parameter(value: Json) -> dict[str, Json]:
    return {**PATHS, "/items": {**PATHS["/items"], "get": {"operationId": "listItems", "parameters": [value]}}}  # type: ignore[dict-item]


CYCLE: Json = {"A": {"$ref": "#/components/parameters/B"}, "B": {"$ref": "#/components/parameters/A"}}
UNREAD: dict[str, tuple[dict[str, Json], list[str]]] = {
    "a parameter that leads back to itself": (_parameter({"$ref": "#/components/parameters/A"}), ["list_items"]),
    "a parameter that is a text": (_parameter("limit"), ["list_items"]),
    "a security scheme that is declared nowhere": (
        {**PATHS, "/items": {"get": {"security": [{"no": []}]}, "post": PATHS["/items"]["post"]}},  # type: ignore[index,call-overload]
        ["list_items"],
    ),
    "a capture that is no parameter any more": (
        {**PATHS, "/items/{item}": {"get": {}, "delete": {}}},
        ["read_item", "drop_item"],
    ),
    "a path that is a text": ({**PATHS, "/items/{item}": "gone"}, ["read_item", "drop_item"]),
    "a path that leads nowhere": ({**PATHS, "/items/{item}": {"$ref": "#/nowhere"}}, ["read_item", "drop_item"]),
    "an operation that is null": (
        {**PATHS, "/items": {"get": None, "post": PATHS["/items"]["post"]}},  # type: ignore[index,call-overload]
        ["list_items"],
    ),
}


@pytest.mark.parametrize(("paths", "names"), UNREAD.values(), ids=UNREAD.keys())
def test_what_was_left_out_has_not_vanished(paths: dict[str, Json], names: list[str]) -> None:
    result = again(FRESH, imported(paths, components={**IDP, "parameters": CYCLE}))  # type: ignore[dict-item]
    assert result.text == FRESH
    assert result.report.vanished == ()
    assert set(result.report.kept) == set(endpoints(FRESH))
    said = [each.place for each in result.report.findings if "cannot be read there: it was kept" in each.message]
    assert said == [f"endpoint {name}" for name in names]
    assert any(each.left_out for each in result.report.findings)


def test_what_was_left_out_beside_what_vanished() -> None:
    broken: dict[str, Json] = {**PATHS, "/items": {"get": {"operationId": "listItems", "security": [{"no": []}]}}}
    result = again(FRESH, shop(broken))
    assert [line.split(":")[0] for line in result.report.vanished] == ["add_item"]


def test_what_is_back_and_cannot_be_read_is_no_longer_called_gone() -> None:
    gone = again(FRESH, shop({"/items": PATHS["/items"]})).text
    assert "any more" in gone
    result = again(gone, shop({**PATHS, "/items/{item}": None}))
    assert result.text == FRESH
    assert result.report.vanished == ()


def test_an_endpoint_of_every_method_has_an_operation_that_was_left_out() -> None:
    text = re.sub(r"GET +/v1/items ", "ANY /v1/items ", FRESH)
    text = re.sub(r"  endpoint add_item.*\n.*\n", "", text)
    assert "add_item" not in text
    unread: dict[str, Json] = {**PATHS, "/items": {"post": {"security": 5}}}
    assert again(text, shop(unread)).report.vanished == ()


def test_an_endpoint_written_by_hand_for_a_path_that_no_pattern_says_has_not_vanished() -> None:
    paths: dict[str, Json] = {
        **PATHS,
        "/reports/{day}.pdf": {"get": {"parameters": [{"name": "day", "in": "path"}]}},
    }
    text = FRESH.replace("\n}", "\n  endpoint report GET /v1/reports/{name} closed\n}")
    result = again(text, shop(paths))
    assert result.text == text
    assert result.report.vanished == ()


def test_an_endpoint_whose_route_moved_is_closed_again() -> None:
    opened = re.sub(r"(GET +/v1/items +)closed", r"\1", FRESH)
    assert not read_policy(opened, "x").services[0].endpoints[0].closed
    paths: dict[str, Json] = {**PATHS, "/things": PATHS["/items"]}
    del paths["/items"]
    result = again(opened, shop(paths))
    moved = read_policy(result.text, "x").services[0].endpoints
    assert [(each.name, each.route, each.closed) for each in moved[:2]] == [
        ("list_items", "/v1/things", True),
        ("add_item", "/v1/things", True),
    ]
    assert "closed until you have looked at the rules" in result.report.changed[0]
    assert again(result.text, shop(paths)).text == result.text


def test_a_name_whose_own_route_is_still_there_is_not_moved() -> None:
    paths: dict[str, Json] = {
        "/items": {"get": {"operationId": "x"}, "post": {"operationId": "y"}},
        "/new": {"get": {"operationId": "listItems"}},
    }
    result = again(FRESH, shop(paths))
    assert endpoints(result.text)["list_items"].startswith("endpoint list_items GET /v1/items")
    assert result.report.new == ("list_items_2",)


def test_a_header_that_the_service_declares_for_all_is_not_declared_again() -> None:
    trace: Json = {"name": "X-Trace", "in": "header"}
    other: Json = {"name": "x.trace", "in": "header"}
    text = FRESH.replace(
        'host "api.example"\n', 'host "api.example"\n  header x_trace: string optional from "x-trace"\n'
    )
    paths: dict[str, Json] = {**PATHS, "/new": {"get": {"parameters": [trace, other]}, "put": {"parameters": [trace]}}}
    result = again(text, shop(paths))
    assert endpoints(result.text)["get_new"].endswith('closed header x_trace_2: string optional from "x.trace"')
    assert endpoints(result.text)["put_new"].endswith("closed")
    moved = {**paths, "/items": {"get": {"operationId": "listItems", "parameters": [LIMIT, trace]}}}
    assert again(result.text, shop(moved)).report.changed == ()


def test_endpoints_that_their_author_joined_stay_joined() -> None:
    text = FRESH
    for name in ("add_item", "drop_item"):
        each = next(e for e in read_policy(text, "x").services[0].endpoints if e.name == name)
        text = applied(text, [Edit(each.whole.start, each.whole.end, "")])
    text = re.sub(r"GET +/v1/items ", "GET|POST /v1/items ", text)
    text = re.sub(r"GET +/v1/items/\{item: uuid\} ", "ANY /v1/items/{item} ", text)
    result = again(text)
    assert result.text == text
    assert result.report.kept == ("list_items", "read_item")


def test_labels_of_new_endpoints_join_those_declared() -> None:
    paths: dict[str, Json] = {**PATHS, "/new": {"get": {"tags": ["catalogue", "fresh"]}}}
    result = again(FRESH, shop(paths))
    assert "label catalogue, deprecated, fresh\n" in result.text
    assert "tagged catalogue, fresh" in endpoints(result.text)["get_new"]


def test_a_tag_that_names_something_else_gets_another_label() -> None:
    text = re.sub(r"label .*\n", "condition catalogue = true\n", FRESH)
    text = re.sub(r"tagged [a-z]+", "", text)
    paths: dict[str, Json] = {**PATHS, "/new": {"get": {"tags": ["catalogue"]}}}
    result = again(text, shop(paths))
    assert "label catalogue_tag\n\nservice shop {" in result.text


def test_a_new_endpoint_that_would_be_ambiguous_beside_one_by_hand_is_left_out() -> None:
    text = FRESH.replace("\n}", "\n  endpoint by_hand GET /v1/items/new/{part} closed\n}")
    parameters: Json = [{"name": "x", "in": "path"}]
    result = again(text, shop({**PATHS, "/items/{x}/old": {"get": {"parameters": parameters}}}))
    assert result.report.new == ()
    assert any(each.left_out and "`by_hand`" in each.message for each in result.report.findings)


def test_scopes_that_the_document_asks_for_anew_are_said() -> None:
    result = _changed(parameters=[LIMIT], security=[{"idp": ["read"]}])
    assert result.text == FRESH
    assert any("asks for the scope read" in each.message for each in result.report.findings)


# ---------------------------------------------------------------- the file around


def test_line_ends_of_windows_stay() -> None:
    text = FRESH.replace("\n", "\r\n")
    assert again(text).text == text
    result = again(text, shop({**PATHS, "/new": {"get": {"tags": ["x"]}}}))
    assert result.report.new == ("get_new",)
    assert "\n" not in result.text.replace("\r\n", "")


def test_a_service_on_one_line() -> None:
    text = 'module m service shop { audience "a" host "h" endpoint old GET /old }'
    result = again(text)
    assert result.report.new == ("list_items", "add_item", "read_item", "drop_item")
    assert [line.split(":")[0] for line in result.report.vanished] == ["old"]
    assert again(result.text).text == result.text


@pytest.mark.parametrize("text", ["", "\n \n"], ids=["empty", "blank"])
def test_a_file_without_anything_is_a_new_one(text: str) -> None:
    assert again(text).text == FRESH


def test_a_file_without_the_service_gets_it_at_its_end() -> None:
    text = (
        '# mine\nmodule mine\nlabel a\n\nservice other { audience "o" host "o.example" endpoint all GET /** closed }\n'
    )
    result = again(text, wishes=Wishes(service="shop"))
    assert result.text.startswith(text.replace("label a", "label a, catalogue, deprecated").rstrip())
    assert [each.name for each in read_policy(result.text, "x").services] == ["other", "shop"]
    assert again(result.text, wishes=Wishes(service="shop")).text == result.text


def test_the_one_service_of_a_file_is_meant_whatever_its_name() -> None:
    text = FRESH.replace("service shop", "service store")
    assert again(text).text == text


def test_hosts_and_audience_are_the_authors() -> None:
    text = FRESH.replace('host "api.example"', 'host "mine.example"')
    result = again(text, wishes=Wishes(audience="theirs"))
    assert result.text == text
    said = " ".join(each.message for each in result.report.findings)
    assert "the host `api.example`" in said
    assert "its audience is not `theirs`" in said


TWO = 'module m service a { audience "a" } service b { audience "b" }'
REFUSED: dict[str, tuple[str, Wishes, str]] = {
    "a file that is no policy": ("module m {", Wishes(), "I201"),
    "two services and none named": (TWO, Wishes(), "I204"),
    "another module": (FRESH, Wishes(module="other"), "I205"),
    "a service that is a condition": ("module m condition c = true", Wishes(service="c"), "I203"),
    "a service that is no name": (FRESH, Wishes(service="My-Service"), "I202"),
    "a service that is a word of the language": (FRESH, Wishes(service="endpoint"), "I202"),
    "a service that is an input": (FRESH, Wishes(service="path"), "I202"),
    "a module that is no name": ("", Wishes(module="a..b"), "I202"),
    "an audience of blanks": ("", Wishes(audience=" "), "I202"),
    "a file that grows too large": (
        FRESH + "# " + "x" * (1024 * 1024 - len(FRESH) - 10),
        Wishes(service="more"),
        "I206",
    ),
}


@pytest.mark.parametrize(("text", "wishes", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(text: str, wishes: Wishes, code: str) -> None:
    with pytest.raises(AuthoringError) as refused:
        again(text, wishes=wishes)
    assert refused.value.code == code, refused.value.detail


def test_a_document_too_large_for_a_policy_file_is_refused() -> None:
    paths: dict[str, Json] = {f"/p{number}": {"get": {"summary": "x" * 90}} for number in range(8000)}
    with pytest.raises(AuthoringError) as refused:
        text_of(imported(paths))
    assert refused.value.code == "I206"


def test_wishes_are_heard_in_a_new_file() -> None:
    result = merged(None, "x", shop(), Wishes(service="store", module="acme.store", audience="https://store"))
    assert "module acme.store\n" in result.text
    assert 'service store {\n  audience "https://store"\n' in result.text


def test_the_document_of_the_tests_is_one() -> None:
    assert document(PATHS, components=IDP)
    assert shop().findings == ()

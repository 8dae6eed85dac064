"""AuthZEN, pure: what a body asks, what a caller may have of it, and how a decision is told. No server runs here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pdp.answers import check_code
from pdp.gateways import Gateway
from pdp.model import Asserted, Challenge, Decision, Inquiry
from pdp.transports.authzen import (
    MOST_DEPTH,
    MOST_ITEMS,
    Batch,
    Evaluation,
    Malformed,
    inquiry_of,
    is_json,
    metadata,
    read_evaluation,
    read_evaluations,
    serialised,
    with_decision_id,
    write,
    write_error,
)
from pdp.transports.limits import LONGEST_TEXT
from policy_lang.verdict import Duties, Header
from tests.support.deciders import ALLOW, ID
from tests.support.decisions import DECISIONS

APP = Gateway("app", frozenset({"todo"}), "spiffe://shop.example/app", subjects=True)
RICK: dict[str, Any] = {"type": "user", "id": "rick", "properties": {"clearance": 3}}
TODO: dict[str, Any] = {"type": "todo", "id": "t1", "properties": {"ownerID": "morty"}}
ASKED: dict[str, Any] = {"subject": RICK, "action": {"name": "can_read_todos"}, "resource": TODO}
READ = Evaluation(Asserted("user", "rick", {"clearance": 3}), "can_read_todos", TODO, {})
EVERYTHING = (
    *("step-up", "portcullis.answer", "portcullis.redact"),
    *("portcullis.remove_header", "portcullis.set_header"),
)


def said(value: object) -> bytes:
    return json.dumps(value).encode()


def without(name: str, form: dict[str, Any] = ASKED) -> dict[str, Any]:
    return {key: value for key, value in form.items() if key != name}


# ---------------------------------------------------------------- one evaluation


def test_an_evaluation_is_read() -> None:
    assert read_evaluation(said(ASKED)) == READ
    assert read_evaluation(said(ASKED | {"context": {"risk": 7}})) == replace(READ, context={"risk": 7})


def test_properties_may_be_absent() -> None:
    bare = read_evaluation(b'{"subject":{"type":"a","id":"b"},"action":{"name":"c"},"resource":{"type":"d","id":"e"}}')
    assert bare == Evaluation(Asserted("a", "b"), "c", {"type": "d", "id": "e", "properties": {}}, {})


def test_members_that_nobody_knows_are_ignored_everywhere() -> None:
    more = {"futureField": {"nested": True}}
    form = {
        "subject": RICK | more,
        "action": {"name": "can_read_todos", "properties": {"method": "GET"}} | more,
        "resource": TODO | {"ownerID": "rick"},
        "evaluations": "not of this request",
        **more,
    }
    assert read_evaluation(said(form)) == READ


MALFORMED: dict[str, tuple[object, str]] = {
    "no subject": (without("subject"), "`subject` is missing: it is an object with `type` and `id`"),
    "no action": (without("action"), "`action` is missing: it is an object with `name`"),
    "no resource": (without("resource"), "`resource` is missing: it is an object with `type` and `id`"),
    "a subject without type": (ASKED | {"subject": without("type", RICK)}, "`subject.type` is missing"),
    "a subject without id": (ASKED | {"subject": without("id", RICK)}, "`subject.id` is missing"),
    "an action without name": (ASKED | {"action": {}}, "`action.name` is missing"),
    "a resource without type": (ASKED | {"resource": without("type", TODO)}, "`resource.type` is missing"),
    "a resource without id": (ASKED | {"resource": without("id", TODO)}, "`resource.id` is missing"),
    "a subject that is a string": (ASKED | {"subject": "rick"}, "`subject` must be an object"),
    "a subject that is null": (ASKED | {"subject": None}, "`subject` must be an object"),
    "a resource that is a list": (ASKED | {"resource": [TODO]}, "`resource` must be an object"),
    "a name that is a number": (ASKED | {"action": {"name": 123}}, "`action.name` must be a string"),
    "an id that is a number": (ASKED | {"subject": RICK | {"id": 7}}, "`subject.id` must be a string"),
    "a type that is null": (ASKED | {"resource": TODO | {"type": None}}, "`resource.type` must be a string"),
    "properties that are a list": (ASKED | {"subject": RICK | {"properties": []}}, "`subject.properties` must be an"),
    "action properties that are a string": (
        ASKED | {"action": {"name": "a", "properties": "x"}},
        "`action.properties` must be an object",
    ),
    "a context that is a string": (ASKED | {"context": "now"}, "`context` must be an object"),
    "a context that is null": (ASKED | {"context": None}, "`context` must be an object"),
    "supported obligations that are a word": (
        ASKED | {"context": {"supported_obligations": "step-up"}},
        "`context.supported_obligations` must be an array of strings",
    ),
    "supported obligations that are numbers": (
        ASKED | {"context": {"supported_obligations": [1]}},
        "`context.supported_obligations` must be an array of strings",
    ),
}


@pytest.mark.parametrize("sentence", MALFORMED)
def test_what_is_not_of_the_form_is_refused_with_what_to_mend(sentence: str) -> None:
    form, message = MALFORMED[sentence]
    read = read_evaluation(said(form))
    assert isinstance(read, Malformed)
    assert read.message.startswith(message)
    assert read == read_evaluations(said(form))


WHOLE = said(ASKED)
UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "a string": b'"rick"',
    "a list": said([ASKED]),
    "null": b"null",
    "half an object": WHOLE[:-1],
    "two objects": WHOLE + WHOLE,
    "a comment": WHOLE + b"//",
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "bytes that are no UTF-8": WHOLE.replace(b"rick", b"ri\xffck"),
    "a member twice": WHOLE.replace(b'"subject"', b'"subject": {}, "subject"'),
    "a member twice, spelt in two ways": WHOLE.replace(b'"subject"', b'"subject": {}, "sub\\u006aect"'),
    "a property twice, deep below": WHOLE.replace(b'"clearance"', b'"clearance": 1, "clearance"'),
    "a lone surrogate": WHOLE.replace(b"rick", b"\\ud800"),
    "a lone surrogate in a name": WHOLE.replace(b"clearance", b"\\udc00"),
    "NaN": WHOLE.replace(b"3}", b"NaN}"),
    "Infinity": WHOLE.replace(b"3}", b"-Infinity}"),
    "a number that no double holds": WHOLE.replace(b"3}", b"1e999}"),
    "an integer of a thousand digits": WHOLE.replace(b"3}", b"9" * 1000 + b"}"),
    "an integer that doubles do not tell from the next": WHOLE.replace(b"3}", b"9007199254740993}"),
    "such an integer below zero": WHOLE.replace(b"3}", b"[-9007199254740992]}"),
    "nesting without an end": WHOLE.replace(b"3}", b"[" * 100_000),
    "nesting beyond the limit": WHOLE.replace(b"3}", b"[" * (MOST_DEPTH - 2) + b"]" * (MOST_DEPTH - 2) + b"}"),
}


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_what_two_readers_could_read_in_two_ways_is_refused(sentence: str) -> None:
    read = read_evaluation(UNREADABLE[sentence])
    assert isinstance(read, Malformed)
    assert read == read_evaluations(UNREADABLE[sentence])


def test_the_largest_of_everything_is_read() -> None:
    deep = WHOLE.replace(b"3}", b"[" * (MOST_DEPTH - 3) + b"]" * (MOST_DEPTH - 3) + b"}")
    assert isinstance(read_evaluation(deep), Evaluation)
    exact = read_evaluation(WHOLE.replace(b"3}", b"9007199254740991}"))
    assert isinstance(exact, Evaluation)
    assert exact.subject.properties == {"clearance": 9007199254740991}
    digits = WHOLE.replace(b"rick", b"9007199254740993")
    assert isinstance(read_evaluation(digits), Evaluation), "digits in a string are no number"


def test_messages_repeat_nothing_of_what_was_sent() -> None:
    unique = "unique-subject"
    for sentence, (form, _) in MALFORMED.items():
        read = read_evaluation(said(form).replace(b"rick", unique.encode()).replace(b"123", b"424242"))
        assert isinstance(read, Malformed), sentence
        assert unique not in read.message
        assert "424242" not in read.message


CONTENT_TYPES: dict[str, tuple[list[str], bool]] = {
    "JSON": (["application/json"], True),
    "JSON in capitals": (["Application/JSON"], True),
    "JSON with its character set": (['application/json; charset="UTF-8"'], True),
    "JSON with a parameter": (["application/json;v=1"], True),
    "none": ([], False),
    "an empty one": ([""], False),
    "two": (["application/json", "application/json"], False),
    "two in one": (["application/json, text/plain"], False),
    "text": (["text/plain"], False),
    "a form": (["application/x-www-form-urlencoded"], False),
    "something like JSON": (["application/json-patch+json"], False),
    "another character set": (["application/json; charset=utf-16"], False),
}


@pytest.mark.parametrize("sentence", CONTENT_TYPES)
def test_content_types(sentence: str) -> None:
    values, wanted = CONTENT_TYPES[sentence]
    assert is_json(values) is wanted


# ---------------------------------------------------------------- several


def batch(*items: object, **more: object) -> Evaluation | Batch | Malformed:
    return read_evaluations(said(ASKED | {"evaluations": list(items), **more}))


def test_without_items_it_is_a_single_evaluation() -> None:
    assert batch() == READ
    assert read_evaluations(WHOLE) == READ
    assert batch(options={"evaluations_semantic": "unheard of"}) == READ


def test_an_item_overrides_whole_objects() -> None:
    read = batch(
        {}, {"resource": {"type": "user", "id": "beth"}}, {"action": {"name": "b"}, "context": {"at": 1}}, context={}
    )
    assert read == Batch(
        (
            READ,
            replace(READ, resource={"type": "user", "id": "beth", "properties": {}}),
            replace(READ, action="b", context={"at": 1}),
        ),
        "execute_all",
    )


def test_half_an_object_is_not_filled_up_from_the_default() -> None:
    read = batch({"resource": {"id": "t2"}}, {"subject": None}, {"action": {}})
    assert isinstance(read, Batch)
    assert [each.message for each in read.items if isinstance(each, Malformed)] == [
        "`resource.type` is missing",
        "`subject` must be an object",
        "`action.name` is missing",
    ]


def test_a_default_that_no_item_uses_may_be_incomplete() -> None:
    read = read_evaluations(said(ASKED | {"resource": {}, "evaluations": [{"resource": TODO}, {}]}))
    assert isinstance(read, Batch)
    assert read.items == (READ, Malformed("`resource.type` is missing"))


def test_an_item_that_is_malformed_is_refused_by_itself() -> None:
    read = read_evaluations(said({"evaluations": [ASKED, {}, 7, None, [], "x", ASKED]}))
    assert isinstance(read, Batch)
    assert [type(each) for each in read.items] == [Evaluation, *[Malformed] * 5, Evaluation]


def test_options() -> None:
    read = batch({}, options={"evaluations_semantic": "deny_on_first_deny", "another_option": 1})
    assert read == Batch((READ,), "deny_on_first_deny")
    read = batch({}, options={"portcullis.decision_ids": True})
    assert read == Batch((READ,), "execute_all", decision_ids=True)


REFUSED_BATCHES: dict[str, dict[str, Any]] = {
    "items that are an object": {"evaluations": {"1": {}}},
    "items that are null": {"evaluations": None},
    "items that are a string": {"evaluations": "all"},
    "an item too many": {"evaluations": [{}] * (MOST_ITEMS + 1)},
    "a default that is a string": {"evaluations": [{}], "subject": "rick"},
    "a default that is null, and overridden": {"evaluations": [{"context": {}}], "context": None},
    "options that are a list": {"evaluations": [{}], "options": []},
    "a semantic that is none": {"evaluations": [{}], "options": {"evaluations_semantic": "permit_all"}},
    "a semantic in capitals": {"evaluations": [{}], "options": {"evaluations_semantic": "EXECUTE_ALL"}},
    "a semantic that is null": {"evaluations": [{}], "options": {"evaluations_semantic": None}},
    "a semantic that is a list": {"evaluations": [{}], "options": {"evaluations_semantic": ["execute_all"]}},
    "ids asked for by a word": {"evaluations": [{}], "options": {"portcullis.decision_ids": "yes"}},
}


@pytest.mark.parametrize("sentence", REFUSED_BATCHES)
def test_a_batch_of_another_form_is_refused_whole(sentence: str) -> None:
    assert isinstance(read_evaluations(said(ASKED | REFUSED_BATCHES[sentence])), Malformed)


def test_as_many_items_as_may_be_are_read() -> None:
    read = batch(*[{}] * MOST_ITEMS)
    assert isinstance(read, Batch)
    assert len(read.items) == MOST_ITEMS


# ---------------------------------------------------------------- laws of reading

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MAYBE = st.one_of(JSON_VALUES, st.sampled_from([RICK, TODO, {"name": "a"}, {}, None]))
FORMS = st.fixed_dictionaries(
    {},
    optional={
        "subject": MAYBE,
        "action": MAYBE,
        "resource": MAYBE,
        "context": MAYBE,
        "options": MAYBE,
        "evaluations": st.lists(
            st.one_of(
                MAYBE, st.fixed_dictionaries({}, optional={"subject": MAYBE, "action": MAYBE, "resource": MAYBE})
            ),
            max_size=4,
        ),
    },
)


@given(st.one_of(st.binary(max_size=200), FORMS.map(said)))
def test_any_bytes_are_read_as_a_value(data: bytes) -> None:
    assert isinstance(read_evaluation(data), Evaluation | Malformed)
    several = read_evaluations(data)
    assert isinstance(several, Evaluation | Batch | Malformed)
    for each in several.items if isinstance(several, Batch) else (several,):
        if isinstance(each, Evaluation):
            assert isinstance(inquiry_of(each, APP, None), Inquiry)
            assert isinstance(each.subject.id, str)
            assert isinstance(each.resource["id"], str)


@given(FORMS)
def test_each_item_is_read_as_if_it_stood_alone(form: dict[str, Any]) -> None:
    """For every batch that is read, item i is the evaluation of (defaults, overridden by item i)."""
    read = read_evaluations(said(form))
    if isinstance(read, Batch):
        defaults = {name: form[name] for name in ("subject", "action", "resource", "context") if name in form}
        for each, item in zip(read.items, form["evaluations"], strict=True):
            alone = read_evaluation(said(defaults | item)) if isinstance(item, dict) else None
            assert isinstance(each, Malformed) if alone is None else each == alone


# ---------------------------------------------------------------- what it asks


def test_an_evaluation_asks_about_an_action() -> None:
    evaluation = replace(READ, context={"risk": 7, "supported_obligations": ["step-up"]}, supported=("step-up",))
    assert inquiry_of(evaluation, APP, "r1") == Inquiry(
        service=None,
        method=None,
        path=None,
        host=None,
        headers=(),
        gateway="app",
        services=frozenset({"todo"}),
        identity="spiffe://shop.example/app",
        capabilities=frozenset({"step_up"}),
        asserted=Asserted("user", "rick", {"clearance": 3}),
        action="can_read_todos",
        resource=TODO,
        request_id="r1",
    )


def test_only_a_believed_gateway_gives_readings() -> None:
    evaluation = replace(READ, context={"risk": 7, "supported_obligations": []})
    assert inquiry_of(evaluation, replace(APP, signals=True), None).signals == {"risk": 7}
    assert inquiry_of(evaluation, APP, None).signals == {}


CAPABILITIES: dict[str, tuple[tuple[str, ...], frozenset[str] | None, set[str]]] = {
    "nothing is listed": ((), None, set()),
    "all is listed": (
        EVERYTHING,
        None,
        {"step_up", "answer", "redact", "remove_header", "set_header"},
    ),
    "words that are not ours": (
        ("custom", "notification", "set_header", "step_up", "portcullis.issue_token"),
        None,
        set(),
    ),
    "no more than the configuration says": (EVERYTHING, frozenset({"redact"}), {"redact"}),
}


@pytest.mark.parametrize("sentence", CAPABILITIES)
def test_a_caller_can_do_what_it_lists(sentence: str) -> None:
    listed, declared, able = CAPABILITIES[sentence]
    gateway: Any = replace(APP, capabilities=declared)  # type: ignore[arg-type]
    assert inquiry_of(replace(READ, supported=listed), gateway, None).capabilities == able


# ---------------------------------------------------------------- how a decision is told

ASKING = inquiry_of(replace(READ, supported=EVERYTHING), APP, None)
UNABLE = inquiry_of(READ, APP, None)
DENY = Decision("deny", ("todo.never",), "rule", id=ID, authenticated=True)
MFA = Decision(
    "step_up",
    ("todo.mfa",),
    "rule",
    id=ID,
    authenticated=True,
    challenges=(Challenge("mfa", 300), Challenge("device", None), Challenge("login", 900)),
)


def told(decision: Decision, inquiry: Inquiry = ASKING, *, item: bool = False, **acr_values: str) -> dict[str, Any]:
    return write(decision, inquiry, acr_values, item=item)


def test_with_nothing_to_add_it_is_a_boolean_to_the_character() -> None:
    assert serialised(told(ALLOW)) == b'{"decision":true}'
    assert serialised(told(DENY)) == b'{"decision":false}'
    assert serialised(told(ALLOW, item=True)) == b'{"decision":true}'
    assert (
        serialised(told(Decision("deny", ("default",), "default.no_rule", id=ID), item=True)) == b'{"decision":false}'
    )


def test_duties_are_custom_obligations() -> None:
    duties = Duties((Header("x-user", "u1"), Header("x-portcullis-decision", "forged")), ("x-debug",), ("/email",))
    assert told(replace(ALLOW, duties=duties))["context"]["obligations"] == [
        {
            "id": "1",
            "type": "custom",
            "properties": {"action": "portcullis.set_header", "header": "x-user", "value": "u1"},
        },
        {"id": "2", "type": "custom", "properties": {"action": "portcullis.remove_header", "header": "x-debug"}},
        {"id": "3", "type": "custom", "properties": {"action": "portcullis.redact", "pointer": "/email"}},
    ]


def test_a_duty_is_told_to_a_caller_that_listed_nothing() -> None:
    duties = Duties(headers=(Header("x-user", "u1"),))
    assert len(told(replace(ALLOW, duties=duties), UNABLE)["context"]["obligations"]) == 1


def test_advice_is_told_to_who_can_follow_it_and_never_against_a_duty() -> None:
    decision = replace(
        ALLOW,
        duties=Duties(headers=(Header("x-user", "u1"),), removed=("x-debug",), redactions=("/a",)),
        advice=Duties(
            (Header("x-user", "u2"), Header("x-place", "p"), Header("x-debug", "1")), ("x-user",), ("/a", "/b")
        ),
    )
    advice = told(decision)["context"]["advice"]
    assert [each["properties"] for each in advice] == [
        {"action": "portcullis.set_header", "header": "x-place", "value": "p"},
        {"action": "portcullis.redact", "pointer": "/b"},
    ]
    assert "advice" not in told(decision, UNABLE)["context"]


def test_a_step_up_says_all_that_it_takes() -> None:
    assert told(MFA, mfa="urn:acr:mfa") == {
        "decision": False,
        "context": {
            "acr_values": "urn:acr:mfa device login",
            "max_age": 300,
            "obligations": [
                {"id": "1", "type": "step-up", "properties": {"acr_value": "urn:acr:mfa", "max_age": 300}},
                {"id": "2", "type": "step-up", "properties": {"acr_value": "device"}},
                {"id": "3", "type": "step-up", "properties": {"acr_value": "login", "max_age": 900}},
            ],
        },
    }
    assert "max_age" not in told(replace(MFA, challenges=(Challenge("device", None),)))["context"]


def test_who_is_nobody_is_not_told_what_it_takes() -> None:
    assert told(replace(MFA, authenticated=False)) == {"decision": False}
    assert told(replace(MFA, by=("token",))) == {"decision": False}


def test_a_refusal_that_conceals_says_so_to_who_can_answer_so() -> None:
    concealed = replace(DENY, status=404)
    (obligation,) = told(concealed)["context"]["obligations"]
    assert obligation == {"id": "1", "type": "custom", "properties": {"action": "portcullis.answer", "status": 404}}
    assert told(concealed, UNABLE) == {"decision": False}


UNDECIDED = {
    "a fault": Decision("deny", ("internal",), "internal.error", id=ID),
    "want of time": Decision("deny", ("deadline",), "deadline.record"),
    "want of a record": Decision("deny", ("audit",), "audit.full"),
    "an allow without a record": replace(ALLOW, id=None),
    "an allow with an empty id": replace(ALLOW, id=""),
}


@pytest.mark.parametrize("sentence", UNDECIDED)
def test_an_item_that_was_not_decided_says_so(sentence: str) -> None:
    answer = told(UNDECIDED[sentence], item=True)
    assert answer == {
        "decision": False,
        "context": {"error": {"status": 503, "message": "no decision can be given now"}},
    }
    assert told(UNDECIDED[sentence])["decision"] is False


def test_the_decision_id_is_added_where_there_is_one() -> None:
    assert with_decision_id(told(ALLOW), ALLOW) == {"decision": True, "context": {"decision_id": ID}}
    assert with_decision_id(told(ALLOW), replace(ALLOW, id=None)) == {"decision": True}
    answered = with_decision_id(told(MFA), MFA)
    assert answered["context"] == told(MFA)["context"] | {"decision_id": ID}


def test_an_error_of_an_item() -> None:
    assert write_error(400, "mend it") == {
        "decision": False,
        "context": {"error": {"status": 400, "message": "mend it"}},
    }


@given(DECISIONS, st.sampled_from([ASKING, UNABLE]), st.booleans())
def test_only_an_allow_with_a_record_is_true(decision: Decision, inquiry: Inquiry, item: bool) -> None:
    """decision = true <=> code 0, and the answer is I-JSON in ASCII that shows no rule and no reason."""
    answer = write(decision, inquiry, {}, item=item)
    assert answer["decision"] is (check_code(decision) == 0)
    data = serialised(with_decision_id(answer, decision))
    again = json.loads(data)
    assert again["decision"] == answer["decision"]
    assert set(again) <= {"decision", "context"}
    assert set(again.get("context", {})) <= {"acr_values", "max_age", "obligations", "advice", "error", "decision_id"}
    assert not any("\ud800" <= c <= "\udfff" for c in json.dumps(again, ensure_ascii=False))


# ---------------------------------------------------------------- metadata


def test_the_metadata_names_what_is_served_and_nothing_else() -> None:
    assert metadata("https://pdp.shop.example/authz") == {
        "policy_decision_point": "https://pdp.shop.example/authz",
        "access_evaluation_endpoint": "https://pdp.shop.example/authz/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.shop.example/authz/access/v1/evaluations",
        "supported_obligations": ["custom", *EVERYTHING],
    }
    bare = metadata("https://pdp.shop.example/")
    assert bare["policy_decision_point"] == "https://pdp.shop.example/"
    assert bare["access_evaluation_endpoint"] == "https://pdp.shop.example/access/v1/evaluation"


LONG, LONGEST = "\u00e9" * (LONGEST_TEXT + 1), "\u00e9" * LONGEST_TEXT
LONG_PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "a property of the subject": lambda text: {"subject": RICK | {"properties": {"department": text}}},
    "a string deep in a property": lambda text: {"resource": TODO | {"properties": {"a": [{"b": text}]}}},
    "the id of the subject": lambda text: {"subject": RICK | {"id": text}},
    "the type of the resource": lambda text: {"resource": TODO | {"type": text}},
    "the name of the action": lambda text: {"action": {"name": text}},
}


@pytest.mark.parametrize("place", LONG_PLACES)
def test_a_string_that_is_too_long_is_malformed(place: str) -> None:
    form = LONG_PLACES[place]
    assert isinstance(read_evaluation(said(ASKED | form(LONGEST))), Evaluation)
    wrong = read_evaluation(said(ASKED | form(LONG)))
    (name,) = form(LONG)
    assert wrong == Malformed(f"`{name}` has a string of more than {LONGEST_TEXT} characters")
    assert read_evaluations(said(ASKED | form(LONG))) == wrong


def test_a_default_that_is_too_long_spoils_the_items_that_use_it_alone() -> None:
    spoilt = ASKED | {"subject": RICK | {"properties": {"department": LONG}}}
    batch = read_evaluations(said(spoilt | {"evaluations": [{}, {"subject": RICK}, {"action": {"name": "a"}}]}))
    assert isinstance(batch, Batch)
    assert [type(each) for each in batch.items] == [Malformed, Evaluation, Malformed]


def test_an_item_that_is_too_long_spoils_no_other() -> None:
    batch = read_evaluations(said(ASKED | {"evaluations": [{}, {"subject": RICK | {"id": LONG}}, {}]}))
    assert isinstance(batch, Batch)
    assert [type(each) for each in batch.items] == [Evaluation, Malformed, Evaluation]


def test_a_long_string_that_nobody_reads_is_ignored() -> None:
    form = {"action": {"name": "a", "properties": {"x": LONG}}, "subject": RICK | {"more": LONG}}
    assert isinstance(read_evaluation(said(ASKED | form)), Evaluation)

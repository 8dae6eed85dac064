"""The scenarios of the AuthZEN interoperability events, asked of a real `pdp serve` over real HTTP.

The Todo application and the API gateway before it decide as published; around them, what a careless or hostile caller
sends has the exact status of the standard, and its record.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from msgspec import Struct

from tests.support.ports import free_port
from tests.support.process import ROOT, ServedPdp

KEY = "a-key-for-the-todo-application-of-43-letters"
EDGE_KEY = "a-key-for-a-gateway-that-asserts-no-subjects"
ONE, SEVERAL = "/access/v1/evaluation", "/access/v1/evaluations"


class Person(Struct, frozen=True):
    id: str
    address: str
    may: frozenset[str]


def _person(number: int, address: str, *may: str) -> Person:
    """The ids of the scenario differ in two characters."""
    letters = ("DA2", "DE2", "DI2", "DM2", "DQ2")[number]
    return Person(f"CiRmZ{letters}MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs", address, frozenset(may))


READ = ("can_read_user", "can_read_todos")
OWN = ("can_create_todo", "can_update_todo own", "can_delete_todo own")
PEOPLE = {
    "rick": _person(0, "rick@the-citadel.com", *READ, *OWN, "can_update_todo other", "can_delete_todo other"),
    "morty": _person(1, "morty@the-citadel.com", *READ, *OWN),
    "summer": _person(2, "summer@the-smiths.com", *READ, *OWN),
    "beth": _person(3, "beth@the-smiths.com", *READ),
    "jerry": _person(4, "jerry@the-smiths.com", *READ),
}
ROUTES = {
    ("GET", "/users/{userId}"): set(PEOPLE),
    ("GET", "/todos"): set(PEOPLE),
    ("POST", "/todos"): {"rick", "morty", "summer"},
    ("PUT", "/todos/{todoId}"): {"rick", "morty", "summer"},
    ("DELETE", "/todos/{todoId}"): {"rick", "morty", "summer"},
}
"""Who may use which method of which route."""


def question(subject: str, type_: str, action: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"subject": {"type": type_, "id": subject}, "action": {"name": action}, "resource": resource}


def todo(owner: str) -> dict[str, Any]:
    return {"type": "todo", "id": "7240d0db-8ff0-41ec-98b2-34a096273b9f", "properties": {"ownerID": owner}}


def _todo_questions(name: str, person: Person) -> Iterator[tuple[str, dict[str, Any], bool]]:
    other = PEOPLE["morty" if name == "rick" else "rick"].address
    asked = {
        "can_read_user": {"type": "user", "id": "beth@the-smiths.com"},
        "can_read_user oneself": {"type": "user", "id": person.address},
        "can_read_todos": {"type": "todo", "id": "todo-1"},
        "can_create_todo": {"type": "todo", "id": "todo-1"},
        "can_update_todo own": todo(person.address),
        "can_update_todo other": todo(other),
        "can_delete_todo own": todo(person.address),
        "can_delete_todo other": todo(other),
    }
    for what, resource in asked.items():
        action = what.split()[0]
        allowed = what in person.may or (what == "can_read_user oneself" and "can_read_user" in person.may)
        yield f"{name} {what}", question(person.id, "user", action, resource), allowed


TODO = {
    sentence: (asked, allowed)
    for name, person in PEOPLE.items()
    for sentence, asked, allowed in _todo_questions(name, person)
}
GATEWAY = {
    f"{name} {method} {route}": (
        question(PEOPLE[name].id, "identity", method, {"type": "route", "id": route}),
        name in allowed,
    )
    for name in PEOPLE
    for (method, route), allowed in ROUTES.items()
}
PUBLISHED = TODO | GATEWAY


class Application(Struct, frozen=True):
    """An application that asks over HTTP."""

    served: ServedPdp
    client: httpx.Client

    def ask(self, form: object, path: str = ONE, **headers: str) -> httpx.Response:
        return self.client.post(path, json=form, headers=headers)

    def send(self, content: bytes, **headers: str) -> httpx.Response:
        return self.client.post(ONE, content=content, headers={"content-type": "application/json"} | headers)


CONFIG = """[[gateways]]
name = "todo-app"
subjects = true
services = ["todos", "routes"]
keys_sha256 = ["{key}"]

[[gateways]]
name = "others"
services = ["todos"]
keys_sha256 = ["{edge}"]

[[listeners]]
address = "127.0.0.1:{port}"
protocol = "http"
"""


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Both policies in one bundle, and the application with its key."""
    folder = tmp_path_factory.mktemp("authzen")
    for name in ("todo", "api_gateway"):
        shutil.copytree(ROOT / "policies" / name, folder / "policies", dirs_exist_ok=True)
    port = free_port()
    digests = {"key": hashlib.sha256(KEY.encode()).hexdigest(), "edge": hashlib.sha256(EDGE_KEY.encode()).hexdigest()}
    served = ServedPdp(folder, folder / "policies", [], extra=CONFIG.format(port=port, **digests))
    written = served.config.read_text()
    served.config.write_text(written.replace("[http]\n", '[http]\npublic_url = "https://pdp.example"\n'))
    served.start()
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {KEY}"}, timeout=20
        ) as client:
            yield Application(served, client)
        assert served.stop() == 0
    finally:
        served.kill()


@pytest.mark.parametrize("sentence", PUBLISHED)
def test_every_published_decision(application: Application, sentence: str) -> None:
    asked, allowed = PUBLISHED[sentence]
    answer = application.ask(asked)
    assert (answer.status_code, answer.text) == (200, '{"decision":true}' if allowed else '{"decision":false}')


def test_the_tables_are_those_of_the_scenarios() -> None:
    assert (len(TODO), len(GATEWAY)) == (40, 25)
    assert sum(allowed for _, allowed in TODO.values()) == 8 + 6 + 6 + 3 + 3
    assert sum(allowed for _, allowed in GATEWAY.values()) == 5 + 5 + 5 + 2 + 2


def test_the_example_of_the_readme_is_answered_as_it_says(application: Application) -> None:
    text = (ROOT / "README.md").read_text()
    asked, answered = re.findall(r"\n(\{\"subject\".*?)\n\n(\{.*?\})\n```", text, re.DOTALL)[0]
    assert application.ask(json.loads(asked)).text == answered


BATCHES = {"rick": [True, True], "morty": [False, True], "jerry": [False, False]}


@pytest.mark.parametrize("name", BATCHES)
def test_which_todos_a_user_may_complete(application: Application, name: str) -> None:
    """The application asks with an empty resource as the default, which every item overrides."""
    whose = ["rick", "jerry"] if name == "rick" else ["rick", name]
    form = {
        **question(PEOPLE[name].id, "user", "can_update_todo", {}),
        "context": {},
        "evaluations": [{"resource": todo(PEOPLE[each].address)} for each in whose],
    }
    answer = application.ask(form, SEVERAL)
    wanted = {"evaluations": [{"decision": each} for each in BATCHES[name]]}
    assert (answer.status_code, answer.text) == (200, json.dumps(wanted, separators=(",", ":")))


@pytest.mark.parametrize(
    ("semantic", "wanted"),
    [
        ("execute_all", [False, True, False]),
        ("deny_on_first_deny", [False]),
        ("permit_on_first_permit", [False, True]),
    ],
)
def test_batches_stop_where_their_semantic_says(application: Application, semantic: str, wanted: list[bool]) -> None:
    items = [{"resource": todo(PEOPLE[each].address)} for each in ("rick", "morty", "rick")]
    form = {
        **question(PEOPLE["morty"].id, "user", "can_update_todo", {}),
        "options": {"evaluations_semantic": semantic, "portcullis.decision_ids": True},
        "evaluations": items,
    }
    answers = application.ask(form, SEVERAL).json()["evaluations"]
    assert [each["decision"] for each in answers] == wanted
    assert len({each["context"]["decision_id"] for each in answers}) == len(wanted)


def test_all_published_decisions_in_one_batch(application: Application) -> None:
    form = {"evaluations": [asked for asked, _ in PUBLISHED.values()]}
    answer = application.ask(form, SEVERAL)
    wanted = {"evaluations": [{"decision": allowed} for _, allowed in PUBLISHED.values()]}
    assert answer.json() == wanted


MORTY_READS, _ = TODO["morty can_read_todos"]
REFUSED: dict[str, dict[str, Any]] = {
    "a user nobody knows": question("nobody", "user", "can_read_todos", {"type": "todo", "id": "todo-1"}),
    "a type of subject nobody declares": question(
        PEOPLE["rick"].id, "robot", "can_read_todos", MORTY_READS["resource"]
    ),
    "an identity at the application": question(
        PEOPLE["rick"].id, "identity", "can_read_todos", {"type": "todo", "id": "t"}
    ),
    "an action nobody declares": question(PEOPLE["rick"].id, "user", "can_purge", MORTY_READS["resource"]),
    "a todo without an owner": question(PEOPLE["rick"].id, "user", "can_update_todo", {"type": "todo", "id": "t"}),
    "an owner that is a number": question(
        PEOPLE["rick"].id, "user", "can_update_todo", {"type": "todo", "id": "t", "properties": {"ownerID": 7}}
    ),
    "a route with its parameter filled in": question(
        PEOPLE["rick"].id, "identity", "PUT", {"type": "route", "id": "/todos/7"}
    ),
    "a method in lower case": question(PEOPLE["rick"].id, "identity", "get", {"type": "route", "id": "/todos"}),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_no_policy_allows_is_a_denial_without_a_word(application: Application, sentence: str) -> None:
    answer = application.ask(REFUSED[sentence])
    assert (answer.status_code, answer.text) == (200, '{"decision":false}')


WHOLE = json.dumps(MORTY_READS).encode()
ERRORS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "no body": (400, b"", {}),
    "half a body": (400, WHOLE[:-1], {}),
    "a member twice": (400, WHOLE.replace(b'"action"', b'"action": {}, "action"'), {}),
    "a lone surrogate": (400, WHOLE.replace(b"todo-1", b"\\ud800"), {}),
    "a name that is a number": (400, WHOLE.replace(b'"can_read_todos"', b"123"), {}),
    "no subject": (400, b'{"action":{"name":"a"},"resource":{"type":"b","id":"c"}}', {}),
    "text": (400, WHOLE, {"content-type": "text/plain"}),
    "ten million bytes": (400, WHOLE + b" " * 10_000_000, {}),
    "deep nesting": (400, b'{"a":' * 100_000, {}),
    "a key of nobody": (401, WHOLE, {"authorization": "Bearer " + "x" * 43}),
    "another scheme": (401, WHOLE, {"authorization": f"Basic {KEY}"}),
    "a gateway that may not assert subjects": (403, WHOLE, {"authorization": f"Bearer {EDGE_KEY}"}),
}


@pytest.mark.parametrize("sentence", ERRORS)
def test_errors_have_the_status_of_the_standard_and_leak_nothing(application: Application, sentence: str) -> None:
    status, content, headers = ERRORS[sentence]
    answer = application.send(content, **headers, **{"x-request-id": sentence})
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, sentence)
    assert ("www-authenticate" in answer.headers) == (status == 401)
    for told in (PEOPLE["morty"].id, "todo-1", KEY, "Traceback", "schema", "todo.pol"):
        assert told not in answer.text


def test_an_error_has_its_record(application: Application) -> None:
    answer = application.send(b"{}")
    shown = application.served.run(
        "audit", "show", answer.headers["x-portcullis-decision"], "--state", str(application.served.state)
    )
    assert shown.returncode == 0, shown.stderr
    assert "request.unreadable" in shown.stdout
    assert "todo-app" in shown.stdout


def test_the_metadata_document(application: Application) -> None:
    answer = httpx.get(application.client.base_url.join("/.well-known/authzen-configuration"))
    assert answer.status_code == 200
    assert answer.json()["policy_decision_point"] == "https://pdp.example"
    assert answer.json()["access_evaluation_endpoint"] == "https://pdp.example/access/v1/evaluation"
    assert not [name for name in answer.json() if name.startswith("search")]
    assert application.client.post("/access/v1/search/subject", json={}).status_code == 404

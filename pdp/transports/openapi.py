"""What is served over HTTP, as an OpenAPI 3.1 document: every path, status and form.

Nothing comes in; one JSON value goes out, the same for every configuration. What is said of AuthZEN is what the
standard says of a request and what `pdp.transports.authzen` says of an answer.
Sources: OpenAPI 3.1.1; OpenID AuthZEN Authorization API 1.0; RFC 9457.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdp import __version__
from pdp.answers import DECISION_HEADER
from pdp.model import Json
from pdp.transports.authzen import EVALUATION_PATH, EVALUATIONS_PATH, METADATA_PATH, MOST_ITEMS
from pdp.transports.forward_auth_routes import PATH as FORWARD_AUTH_PATH
from pdp.transports.readiness import KEYS_PATH, KEYS_TYPE

JSON = "application/json"
PROBLEM = "application/problem+json"
TEXT = "text/plain"

_ID: Json = {
    "description": "The id of the record in the log",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}


def document() -> dict[str, Json]:
    """The document."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Portcullis",
            "version": __version__,
            "description": "A policy decision point. Every decision is recorded before it is answered.",
        },
        "paths": {
            EVALUATION_PATH: {"post": _authzen("evaluate", "One decision", "Evaluation", "Decision")},
            EVALUATIONS_PATH: {
                "post": _authzen("evaluateAll", "Several decisions, or one", "Evaluations", "Decisions")
            },
            METADATA_PATH: {"get": _metadata()},
            FORWARD_AUTH_PATH: {
                "parameters": [_service()],
                **{method: _forward_auth(method) for method in ("get", "post")},
            },
            "/healthz": {"get": _get("isAlive", "Whether the process answers", {"200": _status("It does")})},
            "/readyz": {"get": _readyz()},
            "/metrics": {"get": _metrics()},
            KEYS_PATH: {"get": _keys()},
            "/openapi.json": {"get": _get("describe", "This document", {"200": _json("It", {"type": "object"})})},
        },
        "components": {"schemas": _schemas(), "securitySchemes": _security()},
    }


def _authzen(operation: str, summary: str, asked: str, told: str) -> dict[str, Json]:
    errors = {
        "400": "Another content type than JSON, or a body that is empty, too large, or not of the form of the standard",
        "401": "Nobody has said who asks",
        "403": "Who asks may not say who the subject is, or said a key where others can read it",
        "405": "Another method than POST",
        "429": "More decisions a second than who asks may have",
        "503": "No decision can be given now",
    }
    responses: dict[str, Json] = {"200": _json("Decided; a denial too", _ref(told), recorded=True)}
    responses |= {status: _text(said) for status, said in errors.items()}
    return {
        "operationId": operation,
        "summary": summary,
        "security": [{"key": []}, {"certificate": []}, {}],
        "parameters": [{"name": "x-request-id", "in": "header", "schema": {"type": "string", "maxLength": 256}}],
        "requestBody": {"required": True, "content": {JSON: {"schema": _ref(asked)}}},
        "responses": {**responses, "500": _failed()},
    }


def _metadata() -> dict[str, Json]:
    responses: dict[str, Json] = {
        "200": _json("The document", _ref("Metadata")),
        "404": _title("`public_url` is not configured"),
    }
    summary = "What is served of AuthZEN; where `public_url` has a path, that path stands behind this one"
    return _get("describeAuthzen", summary, responses)


def _forward_auth(method: str) -> dict[str, Json]:
    said = {
        "401": "A credential is required, was not accepted, or must be stronger",
        "403": "It may not pass, or who asks is no gateway",
        "404": "It may not pass, and the rule wants it answered so",
        "429": "It may not pass, and the rule wants it answered so",
        "451": "It may not pass, and the rule wants it answered so",
        "503": "No decision can be given now",
    }
    headers = [("method", True), ("uri", True), ("host", True), ("proto", True), ("for", True)]
    return {
        "operationId": f"forwardAuth{method.capitalize()}",
        "summary": "Whether the call that the headers describe may pass; any method asks",
        "security": [{"certificate": []}, {}],
        "parameters": [
            {"name": f"x-forwarded-{name}", "in": "header", "required": required, "schema": {"type": "string"}}
            for name, required in headers
        ],
        "responses": {
            "200": {"description": "It may; with the headers that the upstream is to get", "headers": _recorded()},
            **{status: _problem(meaning) for status, meaning in said.items()},
            "500": _failed(),
        },
    }


def _service() -> Json:
    return {
        "name": "service",
        "in": "path",
        "required": True,
        "description": "The service that is asked about, as the gateway's configuration says it",
        "schema": {"type": "string"},
    }


def _readyz() -> dict[str, Json]:
    responses: dict[str, Json] = {
        "200": _json("They can", _ref("Readiness")),
        "503": _json("They cannot", _ref("Readiness")),
    }
    return _get("isReady", "Whether decisions can be made and recorded", responses)


def _keys() -> dict[str, Json]:
    described: Json = {"description": "The set", "content": {KEYS_TYPE: {"schema": {"type": "object"}}}}
    responses: dict[str, Json] = {"200": described, "404": _title("`minting` is not configured")}
    return _get("publishKeys", "The keys by which services verify the tokens that are made here (RFC 7517)", responses)


def _metrics() -> dict[str, Json]:
    responses: dict[str, Json] = {
        "200": _text("The Prometheus text format"),
        "404": _title("This is not the address of the operators"),
    }
    return _get("measure", "What is counted", responses)


def _get(operation: str, summary: str, responses: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {**responses, "405": _title("Another method than GET"), "500": _failed()},
    }


def _security() -> dict[str, Json]:
    return {
        "key": {"type": "http", "scheme": "bearer", "description": "The key of a gateway, over TLS or on this host"},
        "certificate": {"type": "mutualTLS", "description": "A certificate with the SPIFFE id of a gateway"},
    }


def _schemas() -> dict[str, Json]:
    thing = _object({"type": _STRING, "id": _STRING, "properties": _ANY}, "type", "id")
    asked: dict[str, Json] = {
        "subject": _ref("Subject"),
        "resource": _ref("Resource"),
        "action": _ref("Action"),
        "context": _ANY,
    }
    several: Json = {"type": "array", "maxItems": MOST_ITEMS, "items": _object(asked)}
    semantics: list[Json] = ["execute_all", "deny_on_first_deny", "permit_on_first_permit"]
    options = _object({"evaluations_semantic": {"type": "string", "enum": semantics}})
    answers = _object({"evaluations": {"type": "array", "items": _ref("Decision")}}, "evaluations")
    in_force = _object({"revision": _STRING, "since": _INSTANT, "age_s": _WHOLE}, "revision", "since", "age_s")
    return {
        "Subject": thing,
        "Resource": thing,
        "Action": _object({"name": _STRING, "properties": _ANY}, "name"),
        "Evaluation": _object(asked, "subject", "resource", "action"),
        "Evaluations": _object({**asked, "evaluations": several, "options": options}),
        "Decision": _object({"decision": {"type": "boolean"}, "context": _ANY}, "decision"),
        "Decisions": {"oneOf": [answers, _ref("Decision")]},
        "Metadata": _object(
            {
                "policy_decision_point": _URL,
                "access_evaluation_endpoint": _URL,
                "access_evaluations_endpoint": _URL,
                "supported_obligations": _STRINGS,
            },
            "policy_decision_point",
            "access_evaluation_endpoint",
        ),
        "Readiness": _object(
            {
                "status": {"type": "string", "enum": ["ready", "not ready"]},
                "policy": {"oneOf": [in_force, {"type": "null"}]},
                "log": _STRING,
                "observed": _STRINGS,
                "warnings": _STRINGS,
            },
            "status",
        ),
        "Status": _object({"status": _STRING}, "status"),
        "Title": _object({"title": _STRING}, "title"),
        "Problem": _object({"title": _STRING, "decision": _STRING}, "title"),
    }


_STRING: Json = {"type": "string"}
_STRINGS: Json = {"type": "array", "items": {"type": "string"}}
_WHOLE: Json = {"type": "integer", "minimum": 0}
_INSTANT: Json = {"type": "string", "format": "date-time"}
_URL: Json = {"type": "string", "format": "uri"}
_ANY: Json = {"type": "object"}


def _object(properties: Mapping[str, Json], *required: str) -> dict[str, Json]:
    described: dict[str, Json] = {"type": "object", "properties": dict(properties)}
    return {**described, "required": list(required)} if required else described


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": f"#/components/schemas/{name}"}


def _recorded() -> Json:
    return {DECISION_HEADER: _ID}


def _json(description: str, schema: Json, *, recorded: bool = False) -> Json:
    answer: dict[str, Json] = {"description": description, "content": {JSON: {"schema": schema}}}
    return {**answer, "headers": _recorded()} if recorded else answer


def _text(description: str) -> Json:
    return {"description": description, "content": {TEXT: {"schema": _STRING}}}


def _problem(description: str) -> Json:
    return {
        "description": description,
        "content": {PROBLEM: {"schema": _ref("Problem")}},
        "headers": _recorded(),
    }


def _status(description: str) -> Json:
    return _json(description, _ref("Status"))


def _title(description: str) -> Json:
    return _json(description, _ref("Title"))


def _failed() -> Json:
    return _title("Failed; nothing was decided")

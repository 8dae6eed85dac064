"""What an auditor reads: true to the verdict, never a value in a sentence, never a private value anywhere."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from policy_lang.ir import (
    Alert,
    Answer,
    Attr,
    Compare,
    Const,
    Has,
    InNetwork,
    IssueToken,
    Like,
    LogDuty,
    Lookup,
    Member,
    Operand,
    Redact,
    Relation,
    RemoveHeader,
    SetHeader,
    Shift,
)
from policy_lang.meaning.explain import (
    duty_texts,
    outcome_text,
    private_headers,
    private_reads,
    reads_private,
    sentence,
    trace_json,
)
from policy_lang.meaning.reference import decide, observed
from policy_lang.typesystem import Scalar
from policy_lang.verdict import Challenge, Duties, Header, Json, Observed, Question, Verdict
from tests.lang.programs import (
    ALWAYS,
    NEVER,
    NOW,
    NOW_MS,
    STRINGS,
    Both,
    WrittenNeed,
    WrittenRule,
    action,
    ask,
    build,
    capture,
    claim,
    endpoint,
    service,
    signal,
    subject_kind,
    token,
    token_kind,
)

USER = token_kind(
    "user",
    "https://id.example",
    (
        claim("sub", Scalar.STRING),
        claim("accounts", STRINGS, optional=True),
        claim("email", Scalar.STRING, optional=True, private=True),
    ),
)
SHARED = Relation("m.shared", (("account", Scalar.STRING), ("user", Scalar.STRING)))
OWNS = Both((Has(token("accounts")), Member(capture("account"), token("accounts"))))
SHARES = Lookup("m.shared", (capture("account"), token("sub")))
OFFICE = InNetwork(Attr("request", "ip"), "office", ())
STAFF = Like(token("email"), "*@shop.example")
GOOD: dict[str, Json] = {"sub": "secret-sub", "aud": "s", "accounts": ["secret-a1"], "email": "secret@home.example"}
QUESTION = ask("/accounts/secret-a2", GOOD)


def under(*rules: WrittenRule, question: Question = QUESTION) -> Verdict:
    endpoints = [endpoint("s.account", "/accounts/{account}"), endpoint("s.scoped", "/scoped", scopes=["read"])]
    return decide(build([service("s")], endpoints, rules, [USER], [SHARED]), question)


SENTENCES: dict[str, tuple[Verdict, str]] = {
    "an allow": (
        under(WrittenRule("m.b", "allow"), WrittenRule("m.a", "allow")),
        'Allowed by `m.a` "because of m.a"; `m.b` "because of m.b".',
    ),
    "a deny": (under(WrittenRule("m.d", "deny")), 'Denied by `m.d` "because of m.d".'),
    "a step-up": (
        under(
            WrittenRule("m.a", "allow"),
            WrittenRule("m.r", "require", needs=(WrittenNeed(NEVER, "mfa", 300), WrittenNeed(NEVER, "device"))),
        ),
        'Stronger authentication is needed (mfa within 5m, device), by `m.r` "because of m.r".',
    ),
    "by default, without a rule": (under(), "No rule allowed this (default.no_cell_rule)."),
    "by default, with a nearest": (
        under(WrittenRule("m.a", "allow", (ALWAYS, OWNS)), WrittenRule("m.b", "allow", (NEVER, NEVER))),
        (
            'No rule allowed this (default.no_rule). The closest, `m.a` "because of m.a", failed because '
            "`path.account in token.accounts` is not true."
        ),
    ),
    "by default, for an unknown and a false clause": (
        under(WrittenRule("m.a", "allow", (SHARES, NEVER))),
        (
            'No rule allowed this (default.no_rule). The closest, `m.a` "because of m.a", failed because '
            "`shared(path.account, token.sub)` is unknown and `false` is not true."
        ),
    ),
    "by scope": (
        under(WrittenRule("m.a", "allow"), question=ask("/scoped", GOOD)),
        "The token lacks a scope that the endpoint asks for: `read` (scope.missing).",
    ),
    "by schema": (
        under(WrittenRule("m.a", "allow"), question=ask("/scoped", {**GOOD, "sub": 17})),
        "An input does not conform to the policy's schema: `sub` (schema.claim_type).",
    ),
    "by audience": (
        under(WrittenRule("m.a", "allow"), question=ask("/scoped", {**GOOD, "aud": "secret"})),
        "The token is not meant for this service (audience.mismatch).",
    ),
    "a deny by what nobody knows": (
        under(WrittenRule("m.d", "deny", (Compare("lt", Const(80), signal("risk")),))),
        'Denied by `m.d` "because of m.d", since `signal.risk > 80` is unknown (nothing is known of `signal.risk`).',
    ),
    "a deny by facts that are not at hand": (
        under(WrittenRule("m.d", "deny", (SHARES, ALWAYS))),
        'Denied by `m.d` "because of m.d", since `shared(path.account, token.sub)` is unknown.',
    ),
    "a step-up for what nobody knows": (
        under(
            WrittenRule("m.a", "allow"),
            WrittenRule("m.r", "require", needs=(WrittenNeed(OFFICE, "mfa"),)),
        ),
        (
            'Stronger authentication is needed (mfa), by `m.r` "because of m.r", since `request.ip in office` is '
            "unknown (nothing is known of `request.ip`)."
        ),
    ),
    "by default, for a reading nobody has": (
        under(WrittenRule("m.a", "allow", (Compare("lt", signal("risk"), Const(5)),))),
        (
            'No rule allowed this (default.no_rule). The closest, `m.a` "because of m.a", failed because '
            "`signal.risk < 5` is unknown (nothing is known of `signal.risk`)."
        ),
    ),
    "a pair of roles": (
        Verdict("deny", ("exclusive",), "exclusive.roles", "auditor admin"),
        "The caller holds roles that exclude each other: `auditor admin` (exclusive.roles).",
    ),
    "roles nobody knows": (
        Verdict("deny", ("exclusive",), "exclusive.unknown", "roles"),
        "Whether the caller holds roles that exclude each other is not known: `roles` (exclusive.unknown).",
    ),
    "a subject": (
        Verdict("deny", ("audience",), "audience.subject"),
        "The service takes no subject of this kind by assertion (audience.subject).",
    ),
    "a conflict": (
        Verdict("deny", ("conflict",), "conflict.header", "x-mask"),
        "Rules set a header to different values: `x-mask` (conflict.header).",
    ),
    "a lack": (
        Verdict("deny", ("capability",), "capability.redact"),
        "The gateway cannot carry out an obligation (capability.redact).",
    ),
    "a lack of step-up": (
        Verdict("deny", ("capability",), "capability.step_up"),
        "The gateway cannot ask for stronger authentication (capability.step_up).",
    ),
    "an observed refusal": (
        Verdict("allow", ("observe",), "observe", observed=Observed("deny", ("scope",), "scope.missing", "read")),
        (
            "Allowed while the service is observed. Policy will refuse it: The token lacks a scope that the endpoint "
            "asks for: `read` (scope.missing)."
        ),
    ),
    "an observed refusal by a rule": (
        observed(under(WrittenRule("m.d", "deny")), NOW_MS),
        'Allowed while the service is observed. Policy will refuse it: Denied by `m.d` "because of m.d".',
    ),
    "an observed refusal by default": (
        observed(under(WrittenRule("m.a", "allow", (OWNS,))), NOW_MS),
        (
            "Allowed while the service is observed. Policy will refuse it: No rule allowed this (default.no_rule). The "
            'closest, `m.a` "because of m.a", failed because `path.account in token.accounts` is not true.'
        ),
    ),
    "an observed step-up": (
        Verdict("allow", ("observe",), "observe", observed=Observed("step_up", ("m.a", "m.b"), "rule")),
        "Allowed while the service is observed. Policy will ask for stronger authentication, by `m.a`, `m.b`.",
    ),
    "by route": (
        under(question=ask("/secret", GOOD)),
        "The call is for no declared endpoint (route.endpoint).",
    ),
    "by path": (
        Verdict("deny", ("path",), "path.encoded_slash"),
        "The path or another part of the request is not canonical (path.encoded_slash).",
    ),
    "by a rule whose trace is not at hand": (Verdict("deny", ("m.gone",), "rule"), "Denied by `m.gone`."),
    "by nobody": (Verdict("deny", (), "x"), "Nothing decided (x)."),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_sentence(case: str) -> None:
    verdict, want = SENTENCES[case]
    assert sentence(verdict) == want
    assert "secret" not in sentence(verdict)


WORDS = "token path route schema audience exclusive scope default conflict capability internal deadline audit"


@pytest.mark.parametrize("word", WORDS.split())
def test_every_word_of_the_closed_list_has_its_sentence(word: str) -> None:
    said = sentence(Verdict("deny", (word,), "some.reason"))
    assert said.endswith(" (some.reason).")
    assert not said.startswith("Denied by")


def test_outcomes_as_a_test_writes_them() -> None:
    asked = (Challenge("mfa", 300), Challenge("mfa", 60), Challenge("device", None))
    assert outcome_text("step_up", ("m.r",), asked, LogDuty("full", strict=True)) == (
        "step_up mfa device by m.r and log full strict"
    )
    assert outcome_text("allow", ()) == "allow"
    duties = Duties((Header("x-a", 'v"'), Header("x-b", "")), ("x-c",), ("/a", "/b~1"), ("read", "write"), ("soc",))
    assert outcome_text("allow", ("m.a",), duties=duties) == (
        'allow by m.a and set header "x-a" to "v\\"" and set header "x-b" to "" and remove header "x-c" '
        'and redact "/a", "/b~1" and issue token with scope "read", "write" and alert "soc"'
    )
    assert outcome_text("allow", (), duties=Duties(token_scopes=())) == "allow and issue token"
    assert outcome_text("deny", ("m.d",), duties=Duties(alerts=("soc",)), status=404) == (
        'deny by m.d and answer 404 and alert "soc"'
    )


# ---------------------------------------------------------------- the trace

PRIVATE = frozenset({"token.email"})
RULES = (
    WrittenRule("m.staff", "allow", (STAFF, OWNS, SHARES)),
    WrittenRule("m.d", "deny", (NEVER,)),
)


def test_private_reads_are_those_of_the_kind() -> None:
    program = build(
        [], [], [], [USER, token_kind("other", "https://o.example", (claim("name", Scalar.STRING, private=True),))]
    )
    assert private_reads(program, "user") == PRIVATE
    assert private_reads(program, "other") == {"token.name"}
    assert private_reads(program, None) == frozenset()
    assert private_reads(program, "ghost") == frozenset()


def test_private_properties_and_headers_are_private_reads() -> None:
    secret = claim("mail", Scalar.STRING, private=True)
    program = build(
        [],
        [
            action("d.read", "read", "document", [secret, claim("owner", Scalar.STRING)]),
            endpoint("s.a", "/a", headers=[secret]),
            endpoint("s.b", "/b", query=[secret]),
        ],
        [],
        [subject_kind("employee", "employee", [secret])],
    )
    assert private_reads(program, "employee") == {"subject.mail"}
    assert private_reads(program, "employee", "d.read") == {"subject.mail", "resource.mail"}
    assert private_reads(program, None, "s.a") == {"header.mail"}
    assert private_reads(program, None, "s.b") == {"query.mail"}


MAIL, BORN = token("email"), Attr("resource", "born")
OPERANDS: dict[str, tuple[Operand, bool]] = {
    "a private claim": (MAIL, True),
    "a private property, later": (Shift(BORN, 1, Const(300_000)), True),
    "the time between a private property and now": (Shift(NOW, -1, BORN), True),
    "what is deep within": (Shift(Shift(NOW, -1, Shift(BORN, 1, Const(1))), 1, Const(2)), True),
    "another claim": (token("sub"), False),
    "a capture that is called like the claim": (capture("email"), False),
    "now": (NOW, False),
    "a constant": (Const("token.email"), False),
}


@pytest.mark.parametrize("sentence", OPERANDS)
def test_what_is_made_of_a_private_input(sentence: str) -> None:
    operand, private = OPERANDS[sentence]
    assert reads_private(operand, frozenset({"token.email", "resource.born"})) is private


def test_a_header_is_private_where_one_rule_makes_it_of_what_is() -> None:
    rules = (
        WrittenRule("m.a", "allow", should=(SetHeader("x-advised", MAIL), Alert("ops"))),
        WrittenRule("m.r", "require", must=(SetHeader("x-mail", MAIL), SetHeader("x-sub", token("sub")))),
        WrittenRule("m.s", "require", must=(SetHeader("x-mail", Const("none")), RemoveHeader("x-t"))),
        WrittenRule("m.shadow", "require", must=(SetHeader("x-shadow", MAIL),), shadow=True),
    )
    program = build([service("s")], [endpoint("s.a", "/a")], rules, [USER])
    assert private_headers(program, PRIVATE) == {"x-advised", "x-mail", "x-shadow"}
    assert private_headers(program, frozenset()) == frozenset()


def test_the_caller_says_what_stands_for_a_header() -> None:
    duties = Duties((Header("x-a", "secret"), Header("x-b", "v")), ("x-c",))
    shown = duty_texts(duties, lambda header: f"<{header.name}>")
    assert shown == ['set header "x-a" to <x-a>', 'set header "x-b" to <x-b>', 'remove header "x-c"']
    assert duty_texts(duties)[0] == 'set header "x-a" to "secret"'


def test_the_trace_with_values() -> None:
    verdict = under(*RULES)
    trace = trace_json(verdict, PRIVATE, values=True)
    assert {name: trace[name] for name in ("decision", "by", "reason", "endpoint", "nearest", "distance")} == {
        "decision": "deny",
        "by": ["default"],
        "reason": "default.no_rule",
        "endpoint": "s.account",
        "nearest": "m.staff",
        "distance": 3,
    }
    assert trace["baselines"] == ["route", "schema", "audience", "scope"]
    assert trace["log"] == {"level": "normal", "strict": False}
    rules = trace["rules"]
    assert isinstance(rules, list)
    assert rules[1] == {
        "id": "m.staff",
        "effect": "allow",
        "applies": False,
        "shadow": False,
        "src": "test.pol:1",
        "because": "because of m.staff",
        "guards": [
            {
                "clause": "when 1",
                "text": "clause 1",
                "is": "false",
                "failed_at": 'token.email like "*@shop.example"',
                "read": {"token.email": {"private": True}},
            },
            {
                "clause": "when 2",
                "text": "clause 2",
                "is": "false",
                "failed_at": "path.account in token.accounts",
                "read": {"token.accounts": ["secret-a1"], "path.account": "secret-a2"},
            },
            {
                "clause": "when 3",
                "text": "clause 3",
                "is": "unknown",
                "failed_at": "shared(path.account, token.sub)",
                "not_known": ["shared(path.account, token.sub)"],
                "read": {
                    "path.account": "secret-a2",
                    "token.sub": "secret-sub",
                    "shared(path.account, token.sub)": None,
                },
            },
        ],
    }
    assert "secret@home" not in json.dumps(trace)


def test_the_trace_without_values_holds_none() -> None:
    trace = trace_json(under(*RULES), frozenset(), values=False)
    assert "secret" not in json.dumps(trace)
    assert '"read"' not in json.dumps(trace)


def test_the_trace_of_a_step_up_names_its_challenges() -> None:
    rules = (WrittenRule("m.a", "allow"), WrittenRule("m.r", "require", needs=(WrittenNeed(NEVER, "mfa", 300),)))
    trace = trace_json(under(*rules), PRIVATE, values=True)
    assert trace["challenges"] == [{"name": "mfa", "within_s": 300}]
    assert (trace["nearest"], trace["distance"]) == (None, None)


def test_the_trace_tells_duties_without_values_of_headers() -> None:
    rules = (
        WrittenRule("m.a", "allow", should=(Alert("ops"),)),
        WrittenRule(
            "m.r",
            "require",
            must=(SetHeader("x-mail", token("email")), RemoveHeader("x-t"), Redact(("/a",)), IssueToken(())),
        ),
        WrittenRule("m.s", "deny", shadow=True),
        WrittenRule("m.t", "deny", (Compare("lt", Const(NOW_MS + 5), NOW),)),
    )
    trace = trace_json(under(*rules), frozenset(), values=True)
    assert trace["obligations"] == {
        "set_header": ["x-mail"],
        "remove_header": ["x-t"],
        "redact": ["/a"],
        "issue_token": [],
    }
    assert trace["advice"] == {"alert": ["ops"]}
    assert (trace["shadow"], trace["answer"], trace["valid_until_ms"]) == (["m.s"], None, NOW_MS + 6)
    assert "secret" not in json.dumps(trace)


def test_the_trace_tells_answers_and_what_was_observed() -> None:
    denied = under(WrittenRule("m.d", "deny", must=(Answer(404), Alert("soc"))))
    assert trace_json(denied, PRIVATE, values=False)["answer"] == 404
    trace = trace_json(observed(denied, NOW_MS + 1), PRIVATE, values=False)
    assert trace["observed"] == {"decision": "deny", "by": ["m.d"], "reason": "rule", "subject": ""}
    assert (trace["decision"], trace["by"], trace["answer"], trace["obligations"]) == ("allow", ["observe"], None, {})


def test_a_rule_without_a_because_is_named_alone() -> None:
    verdict = under(WrittenRule("m.a", "allow"))
    quiet = replace(verdict, rules=tuple(replace(rule, because="") for rule in verdict.rules))
    assert sentence(quiet) == "Allowed by `m.a`."


def test_what_moves_a_terminal_stands_in_a_sentence_as_its_number() -> None:
    verdict = under(WrittenRule("m.a", "allow"))
    evil = replace(verdict, rules=tuple(replace(rule, because="ok\x1b[31m\u202e\n\x9b") for rule in verdict.rules))
    assert sentence(evil) == 'Allowed by `m.a` "ok\\u{1b}[31m\\u{202e}\\u{a}\\u{9b}".'

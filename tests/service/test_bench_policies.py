"""What `make bench` asks, of whom no peer is needed: our policy and Casbin's, the bodies, the client, the report."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import yaml
from msgspec.structs import replace

from benchmarks.wire import http2
from benchmarks.wire.bodies import OPA_PATH, SIZE, Asking, read_check, read_opa
from benchmarks.wire.contestants import CONTESTANTS
from benchmarks.wire.http2 import GRPC, Call, Connection, at_rate
from benchmarks.wire.library import LIBRARIES, Loaded, Timed
from benchmarks.wire.measuring import AtRate, Measured, Plan
from benchmarks.wire.policies import all_of, write_cerbos, write_pol
from benchmarks.wire.questions import Question, asked_first, expected, mix
from benchmarks.wire.report import Found, markdown
from pdp.runtime.bundle import read_folder
from pdp.transports.messages import CheckRequest, CheckResponse
from policy_lang.compile import compile_policy
from tests.support.asking import CHECK

Case = tuple[Question, bool]

WRITTEN_OUT: list[Case] = [
    (Question("", "GET", "a1", 0, ("a1",), ()), True),
    (Question("", "GET", "a1", 0, ("a0", "a1"), ("role1",)), True),
    (Question("", "GET", "a1", 0, (), ("role0",)), True),
    (Question("", "GET", "a1", 4, ("a2",), ("role3", "role4")), True),
    (Question("", "GET", "a1", 4, ("a1",), ("role4",)), True),
    (Question("", "GET", "a1", 0, (), ()), False),
    (Question("", "GET", "a1", 0, ("a2",), ("role1",)), False),
    (Question("", "GET", "a1", 4, ("a",), ("role",)), False),
    (Question("", "GET", "a1", 4, ("role4",), ("a1",)), False),
    (Question("", "POST", "a1", 0, ("a1",), ("role0",)), False),
    (Question("", "DELETE", "a1", 0, ("a1",), ("role0",)), False),
    (Question("", "GET", "a1", 5, ("a1",), ("role0", "role5")), False),
]
"""At ten rules: five endpoints, of which endpoint n is for the owner and for role n."""

ALLOW, DENY = (CheckResponse(), CheckResponse())
DENY.status.code = 7
DENY.denied_response.status.code = 403


def _wrong(loaded: Loaded, rules: int) -> list[Question]:
    return [each for each in asked_first(rules) if loaded.decide(loaded.asked(each)) is not expected(each, rules)]


@pytest.mark.parametrize("case", WRITTEN_OUT)
def test_the_expectation_is_what_is_written_out(case: Case) -> None:
    question, allowed = case
    assert expected(question, 10) is allowed


@pytest.mark.parametrize("name", ["Portcullis", "pycasbin"])
def test_a_policy_says_what_is_written_out(name: str) -> None:
    loaded = LIBRARIES[name](10)
    said = [loaded.decide(loaded.asked(question)) for question, _ in WRITTEN_OUT]
    assert said == [allowed for _, allowed in WRITTEN_OUT]


@pytest.mark.parametrize(("name", "rules"), [("Portcullis", 10), ("Portcullis", 3_000), ("pycasbin", 1_000)])
def test_a_policy_answers_what_is_asked_first(name: str, rules: int) -> None:
    """3,000 rules of ours stand in two files."""
    assert _wrong(LIBRARIES[name](rules), rules) == []


def test_what_is_asked_is_allowed_and_refused_for_every_reason() -> None:
    answers = Counter((each.sort, expected(each, 1_000)) for each in mix(1_000))
    assert answers == {("owner", True): 16, ("holder", True): 16, ("neither", False): 16}
    assert {expected(each, 1_000) for each in asked_first(1_000)[48:]} == {True, False}


@pytest.mark.parametrize("rules", [10, 3_000])
def test_every_language_has_as_many_rules(tmp_path: Path, rules: int) -> None:
    write_pol(tmp_path / "ours", rules)
    write_cerbos(tmp_path / "cerbos", rules)
    cerbos = [yaml.safe_load(path.read_text()) for path in (tmp_path / "cerbos").iterdir()]
    counts = {
        "ours": len(compile_policy(read_folder(tmp_path / "ours").files).program.rules),
        "rego": all_of("bench.rego", rules).count("\nallow if {"),
        "cedar": all_of("bench.cedar", rules).count("permit ("),
        "casbin": all_of("casbin.csv", rules).count("\np, ") + 1,
        "cerbos": sum(len(each["resourcePolicy"]["rules"]) for each in cerbos),
    }
    assert counts == dict.fromkeys(counts, rules)
    assert len({each["resourcePolicy"]["resource"] for each in cerbos}) == rules // 2


@pytest.mark.parametrize("name", ["bench.rego", "bench.cedar", "casbin.csv"])
def test_no_word_is_left_to_fill_in(name: str) -> None:
    assert "$" not in all_of(name, 10)


def test_our_policy_has_no_problem_and_no_warning(tmp_path: Path) -> None:
    write_pol(tmp_path / "ours", 1_000)
    assert compile_policy(read_folder(tmp_path / "ours").files).warnings == ()


# ---------------------------------------------------------------- bodies and replies


def test_every_check_is_of_one_size_and_says_what_is_asked() -> None:
    asking = Asking(1_000)
    for question in asked_first(1_000):
        body = asking.check(question).body
        assert body[:5] == b"\0" + SIZE.to_bytes(4, "big")
        http = CheckRequest.FromString(body[5:]).attributes.request.http
        assert (http.method, http.path) == (question.method, question.path)
        assert http.headers["x-accounts"] == ",".join(question.accounts)
        assert http.headers["x-roles"] == ",".join(question.roles)


def test_a_reply_is_an_allow_a_refusal_or_no_answer() -> None:
    unable = CheckResponse()
    unable.status.code, unable.denied_response.status.code = 7, 503
    assert read_check(http2.grpc_body(ALLOW.SerializeToString())) is True
    assert read_check(http2.grpc_body(DENY.SerializeToString())) is False
    assert read_check(http2.grpc_body(unable.SerializeToString())) is None
    assert read_check(b"") is None
    assert read_check(http2.grpc_body(b"\xff\xff")) is None


def test_a_reply_of_opa_without_a_result_is_no_answer() -> None:
    assert [read_opa(each) for each in (b'{"result":true}', b'{"result":false}')] == [True, False]
    assert [read_opa(each) for each in (b"{}", b'{"result":"true"}', b'{"result":1}', b"", b"[]")] == [None] * 5


def test_a_reply_of_cerbos_is_read_for_the_action_alone() -> None:
    call = Asking(10).cerbos(Question("", "GET", "a1", 0, ("a1",), ()))
    assert call.read(b"..\n\x03GET\x10\x01..") is True
    assert call.read(b"..\n\x03GET\x10\x02..") is False
    assert call.read(b"..\n\x04POST\x10\x01..") is None
    assert call.read(b"") is None


# ---------------------------------------------------------------- the client, against a real server of gRPC


@contextmanager
def _server() -> Iterator[int]:
    """Allows a message that begins with `a`, refuses one with `d`, keeps one with `w` waiting, fails for any other."""
    is_over = threading.Event()

    def check(data: bytes, context: grpc.ServicerContext) -> bytes:
        if data[:1] == b"w":
            is_over.wait()
        if data[:1] not in {b"a", b"d"}:
            context.abort(grpc.StatusCode.INTERNAL, "neither")
        return bytes((ALLOW if data[:1] == b"a" else DENY).SerializeToString())

    server = grpc.server(ThreadPoolExecutor(2))
    service, _, method = CHECK[1:].partition("/")
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        is_over.set()
        server.stop(None).wait()


def _call(message: bytes, *, allowed: bool) -> Call:
    return Call(CHECK, GRPC, http2.grpc_body(message), allowed, read_check)


def test_the_client_hears_what_the_server_says() -> None:
    with _server() as port, Connection(port) as connection:
        assert _call(b"a", allowed=True).is_right(connection.ask(_call(b"a", allowed=True)))
        assert _call(b"d", allowed=False).is_right(connection.ask(_call(b"d", allowed=False)))
        assert not _call(b"d", allowed=True).is_right(connection.ask(_call(b"d", allowed=True)))
        assert connection.ask(_call(b"x", allowed=True)) == b""


def test_more_than_a_window_of_the_server_goes_out_as_it_opens() -> None:
    """64 KiB is what may stand out at first; a megabyte goes out in messages of 10,000 bytes."""
    call = _call(b"a" * 10_000, allowed=True)
    with _server() as port, Connection(port) as connection:
        streams = {connection.send(call.frames()) for _ in range(100)}
        while streams:
            for stream, reply in connection.replies(5.0):
                streams.remove(stream)
                assert call.is_right(reply)


def test_a_long_header_goes_out_whole() -> None:
    """Its length takes two bytes or three."""
    for length in (126, 127, 128, 300, 5_000):
        call = replace(_call(b"a", allowed=True), headers=(*GRPC, ("x-long", "y" * length)))
        with _server() as port, Connection(port) as connection:
            assert call.is_right(connection.ask(call))


def test_wrong_answers_and_errors_are_counted_at_a_rate() -> None:
    calls = [
        _call(b"a", allowed=True),
        _call(b"d", allowed=False),
        _call(b"d", allowed=True),
        _call(b"x", allowed=True),
    ]
    with _server() as port:
        found = at_rate(port, calls, 400, 0.1, behind_s=60)
    assert (len(found.latencies), found.wrong, found.refused, found.is_kept) == (30, 10, 10, False)
    assert list(found.latencies) == sorted(found.latencies)


def test_a_rate_is_kept_by_who_answers_everything() -> None:
    with _server() as port:
        found = at_rate(port, [_call(b"a", allowed=True), _call(b"d", allowed=False)], 400, 0.1, behind_s=60)
    assert (len(found.latencies), found.wrong, found.refused, found.is_kept) == (40, 0, 0, True)


def test_a_server_that_falls_behind_does_not_keep_a_rate_and_is_not_waited_for() -> None:
    with _server() as port:
        found = at_rate(port, [_call(b"a", allowed=True), _call(b"w", allowed=True)], 400, 3_600, behind_s=0.05)
    assert not found.is_kept


# ---------------------------------------------------------------- the report


def _measured(title: str, rules: int, per_second: float) -> Measured:
    paced = (AtRate(500, 1.25, 2.5, is_kept=True), AtRate(2_000, 3.0, 4.0, is_kept=False))
    return Measured(title, rules, (per_second, 1.0, 10**6), (30.0,), paced, 40.0, (0.5,), 1.0)


def test_who_is_left_out_stands_in_every_table_with_the_reason() -> None:
    measured, peer, *missing = (each.title for each in CONTESTANTS)
    speeds = {measured: 900, peer: 1_800}
    found = Found(
        "2026-11-22",
        "abc",
        Plan((10, 1_000), 3, 1.0, 1.0, (500, 2_000), 1),
        tuple(_measured(title, rules, rate) for rules in (10, 1_000) for title, rate in speeds.items()),
        {"Portcullis": {10: Timed("1", 1.0, 2.0, 0.1, 30.0), 1_000: Timed("1", 1.5, 2.0, 0.1, 31.0)}},
        dict.fromkeys(missing, "it is not\nto be had"),
    )
    text = markdown(found)
    assert text.count(f"| {measured} | 900 | 1.25 | 2.50 | - | - | 30.0 | 40 | 0.50 | 100.0% |") == 2
    for title in missing:
        assert text.count(f"| {title} | left out |") == 2
        assert f"- {title}: it is not to be had" in text
    assert "the figures are none" in text


def test_opa_is_asked_for_the_rule_of_its_policy() -> None:
    assert OPA_PATH.removeprefix("/v1/data/").split("/") == ["bench", "allow"]
    assert "package bench\n" in all_of("bench.rego", 10)

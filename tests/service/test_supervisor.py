"""Several workers: what they say to their supervisor, what their counts come to, and whose their addresses are."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace as but
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pdp.channel import LONGEST_LINE, Channel, Said
from pdp.config import Config, parse_config
from pdp.errors import AuditError, PdpError
from pdp.metrics import Family, Metrics, Sample
from pdp.metrics_sum import Totals, added
from pdp.supervisor import MOST_WORKERS, default_workers
from pdp.transports.http_server import listening_of
from pdp.transports.shared import claimed, close_listening
from pdp.worker import Others
from pdp.worker_main import Order, Told, order_of, said_of
from tests.support.http_serving import LOCAL, Recording, connected, rest_of, serving

ROOT = Path(__file__).resolve().parent.parent.parent

# ---------------------------------------------------------------- counts


def _counts(decisions: float, extended: float) -> list[Family]:
    return [
        Family("portcullis_shadow", "x", "counter", [Sample("portcullis_shadow_total", {}, decisions)]),
        Family("portcullis_log_extended", "x", "gauge", [Sample("portcullis_log_extended", {}, extended)]),
        Family("portcullis_log_pending", "x", "gauge", [Sample("portcullis_log_pending", {}, 2)]),
        Family("portcullis_policy_distrusted", "x", "gauge", [Sample("portcullis_policy_distrusted", {}, extended)]),
    ]


def _values(families: list[Family]) -> dict[str, float]:
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_counts_are_added_and_states_are_the_worst() -> None:
    totals = Totals()
    totals.note(0, _counts(3, 1))
    totals.note(1, _counts(4, 0))
    assert _values(totals.families(2, 1)) == {
        "portcullis_shadow_total": 7,
        "portcullis_log_extended": 0,
        "portcullis_log_pending": 4,
        "portcullis_policy_distrusted": 1,
        "portcullis_workers": 2,
        "portcullis_workers_ready": 1,
    }


def test_what_an_ended_worker_counted_stays_and_its_states_go() -> None:
    totals = Totals()
    totals.note(0, _counts(3, 1))
    totals.note(1, _counts(4, 0))
    totals.ended(1)
    totals.ended(1)
    totals.note(1, _counts(1, 1))
    found = _values(totals.families(2, 2))
    assert (found["portcullis_shadow_total"], found["portcullis_log_extended"]) == (8, 1)
    assert found["portcullis_log_pending"] == 4


def test_nothing_counted_is_nothing_shown() -> None:
    assert added([]) == []
    assert [each.name for each in Totals().families(2, 0)] == ["portcullis_workers", "portcullis_workers_ready"]


def test_the_sum_of_one_worker_reads_as_that_worker_does() -> None:
    metrics = Metrics()
    metrics.policy_in_force("abc")
    metrics.watch_pending(lambda: 3)
    metrics.watch_shared(lambda: (2, True))
    metrics.listener_refused("deadline")
    alone = metrics.exposition()
    metrics.show(added([metrics.families()]))
    assert metrics.exposition() == alone
    assert metrics.exposition() == alone  # that of this worker again


# ---------------------------------------------------------------- the channel


async def _pair(answers: Mapping[str, Callable[[Said], Awaitable[Said]]]) -> tuple[Channel, asyncio.Task[None], Any]:
    """An end that asks, with its listening; and the other end, which answers so."""
    ours, theirs = socket.socketpair()
    asking, answering = await Channel.over(ours, {}), await Channel.over(theirs, answers)
    loop = asyncio.get_running_loop()
    return asking, loop.create_task(asking.run()), loop.create_task(answering.run())


def test_questions_are_answered_whatever_the_order_and_failures_keep_their_code() -> None:
    async def run() -> None:
        first = asyncio.Event()

        async def slow(said: Said) -> Said:
            await first.wait()
            return {"slow": said["a"]}

        async def quick(_: Said) -> Said:
            first.set()
            return {}

        async def failing(_: Said) -> Said:
            raise AuditError("audit.full", "the disk is too slow")

        asking, listening, answering = await _pair({"slow": slow, "quick": quick, "failing": failing})
        slowly = asyncio.ensure_future(asking.ask("slow", {"a": "é" * 70_000}, 10.0))
        assert await asking.ask("quick", {}, 10.0) == {}
        assert await slowly == {"slow": "é" * 70_000}
        with pytest.raises(PdpError, match=re.escape("audit.full: the disk is too slow")):
            await asking.ask("failing", {}, 10.0)
        with pytest.raises(PdpError, match="internal"):
            await asking.ask("what is no question", {}, 10.0)
        answering.cancel()
        await listening

    asyncio.run(run())
    assert LONGEST_LINE > 70_000


def test_who_waits_learns_that_the_other_process_is_gone() -> None:
    async def run() -> None:
        asked = asyncio.Event()

        async def never(_: Said) -> Said:
            asked.set()
            await asyncio.Event().wait()
            return {}

        asking, listening, answering = await _pair({"never": never})
        waiting = asyncio.ensure_future(asking.ask("never", {}, 60.0))
        await asked.wait()
        with pytest.raises(TimeoutError):
            await asking.ask("never", {}, 0.01)
        answering.cancel()
        await listening
        with pytest.raises(ConnectionError):
            await waiting
        with pytest.raises(ConnectionError):
            await asking.ask("never", {}, 60.0)

    asyncio.run(run())


def test_an_order_arrives_as_it_was_given(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "configuration.md").read_text(), re.DOTALL)
    config = parse_config(text, tmp_path)
    order = Order(config, 3, {"127.0.0.1:0": 7}, True, False, Told(None, True, Others(False, ["x"])))
    assert order_of(json.loads(json.dumps(said_of(order)))) == order
    order = Order(Config.default(), 0, {}, False, False, Told("why", False, Others()))
    assert order_of(json.loads(json.dumps(said_of(order)))).config == Config.default()


# ---------------------------------------------------------------- addresses


def _listening(port: int, *, shared: bool) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def test_an_address_is_claimed_once_and_is_for_workers_alone() -> None:
    with claimed("127.0.0.1:0") as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), claimed(address):
            pass
        with pytest.raises(OSError, match="in use"):
            _listening(port, shared=False)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        with _listening(port, shared=True), _listening(port, shared=True):
            socket.create_connection(("127.0.0.1", port), 5).close()
            with pytest.raises(OSError, match="in use"), claimed(address):
                pass
        with pytest.raises(OSError, match="in use"), claimed(address):
            pass
    with claimed(address):
        pass


@pytest.mark.parametrize("shared", [False, True])
def test_an_address_that_somebody_listens_at_is_not_claimed(*, shared: bool) -> None:
    with _listening(0, shared=shared) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), claimed(f"127.0.0.1:{port}"):
            pass


def test_a_listening_socket_that_is_shut_leaves_connections_and_others_as_they_are() -> None:
    with _listening(0, shared=True) as one, _listening(0, shared=True) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
        with socket.create_connection(("127.0.0.1", ports[0]), 5) as client, one.accept()[0] as served:
            close_listening({ports[0]})
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", ports[0]), 5)
            socket.create_connection(("127.0.0.1", ports[1]), 5).close()
            client.sendall(b"x")
            assert served.recv(1) == b"x"


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def test_who_leaves_ends_connections_with_an_answer_and_whoever_stays_takes_the_new_ones() -> None:
    async def run() -> None:
        with listening_of(LOCAL) as bound:
            one, other = Recording(), Recording()
            listeners = [replace(LOCAL, listening=each) for each in (bound, bound.dup())]
            leaving = asyncio.Event()
            async with (
                serving(one, listeners[:1], leaving=leaving) as (address,),
                connected(address) as (reader, writer),
            ):
                writer.write(GET)
                assert b"connection: close" not in await reader.readuntil(b"ok")
                async with serving(other, listeners[1:]):
                    leaving.set()
                    writer.write(GET)
                    assert b"connection: close" in await rest_of(reader)
                    for _ in range(20):
                        async with connected(address) as (anew, to):
                            to.write(GET)
                            await anew.readuntil(b"ok")
            assert (len(one.scopes), len(other.scopes)) == (2, 20)

    asyncio.run(run())


def test_there_is_a_worker_for_each_core_and_one_where_an_address_cannot_be_shared() -> None:
    config = Config.default()
    assert default_workers(config) == min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    unix = but(config, listeners=(but(config.listeners[0], address="unix:/run/pdp.sock"),))
    assert default_workers(unix) == 1
    http = but(config, listeners=(but(unix.listeners[0], protocol="http"),))
    assert default_workers(http) == default_workers(config)

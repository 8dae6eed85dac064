"""The parts of the demo: issuer, files, upstream, ports, children, signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pdp.config import load_config
from pdp.demo.children import (
    Child,
    DemoError,
    StoppedError,
    StopSignals,
    accepts,
    answers_ok,
    await_ready,
    running,
)
from pdp.demo.files import Stage, write_private
from pdp.demo.issuer import Issuer, key_set, mint, new_issuer, open_issuer
from pdp.demo.ports import Ports, claim
from pdp.demo.prepare import Plan, write_files
from pdp.demo.rotating import first_ring
from pdp.demo.upstream import describe, running_upstream
from pdp.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
NONE = Ports(0, 0, 0, 0, 0)
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def no_entropy(size: int) -> bytes:
    return bytes(size)


def written(stage: Stage, ports: Ports) -> Issuer:
    return write_files(Plan(stage, ROOT / "policies" / "shop", None, ports), first_ring(0, 60), int(time.time()))


class TestIssuer:
    def test_the_key_is_kept_private_and_found_again(self, tmp_path: Path) -> None:
        first, second = open_issuer(tmp_path), open_issuer(tmp_path)
        assert mode(tmp_path / "key.pem") == 0o600
        assert key_set(first) == key_set(second)

    def test_two_folders_have_two_keys(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        assert key_set(open_issuer(tmp_path / "a")) != key_set(open_issuer(tmp_path / "b"))

    def test_a_key_is_not_shown_with_its_issuer(self, tmp_path: Path) -> None:
        assert repr(open_issuer(tmp_path)) == "Issuer(url='https://id.shop.example')"

    def test_a_set_of_several_keys_has_each_once_and_two_new_keys_are_two(self) -> None:
        one, two = new_issuer("https://a.example"), new_issuer("https://a.example")
        keys = json.loads(key_set(one, two))["keys"]
        assert len({key["kid"] for key in keys}) == 2

    def test_the_key_set_holds_nothing_private(self, tmp_path: Path) -> None:
        (key,) = json.loads(key_set(open_issuer(tmp_path)))["keys"]
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}

    def test_a_token_verifies_under_the_key_set_and_says_what_it_is(self, tmp_path: Path) -> None:
        issuer, now = open_issuer(tmp_path), int(time.time())
        token = mint(issuer, {"sub": "u", "aud": "orders"}, now, now + 60, no_entropy)
        (key,) = json.loads(key_set(issuer))["keys"]
        claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience="orders", issuer=issuer.url)
        assert (claims["sub"], claims["iat"], claims["exp"]) == ("u", now, now + 60)
        header = jwt.get_unverified_header(token)
        assert (header["typ"], header["alg"], header["kid"]) == ("at+jwt", "ES256", key["kid"])

    def test_claims_cannot_take_the_place_of_the_issuers_own(self, tmp_path: Path) -> None:
        token = mint(open_issuer(tmp_path), {"iss": "https://evil.example", "exp": 2**40}, 10, 20, no_entropy)
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["iss"], claims["exp"]) == ("https://id.shop.example", 20)

    def test_a_key_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        open_issuer(tmp_path)
        (tmp_path / "key.pem").chmod(0o640)
        with pytest.raises(ConfigError, match="chmod 600"):
            open_issuer(tmp_path)

    def test_a_damaged_key_and_one_of_another_curve_are_refused(self, tmp_path: Path) -> None:
        write_private(tmp_path / "key.pem", b"no key")
        with pytest.raises(ConfigError, match="damaged"):
            open_issuer(tmp_path)
        other = ec.generate_private_key(ec.SECP384R1())
        pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(tmp_path / "key.pem", pem)
        with pytest.raises(ConfigError, match="no P-256 key"):
            open_issuer(tmp_path)


class TestFiles:
    def test_a_file_is_replaced_whole_and_stays_private(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("old")
        path.chmod(0o644)
        (tmp_path / "f.new").write_text("left by a run that died")
        write_private(path, b"new")
        assert path.read_bytes() == b"new"
        assert mode(path) == 0o600
        assert [p.name for p in tmp_path.iterdir()] == ["f"]

    def test_everything_written_is_the_owners_alone_and_the_service_takes_the_configuration(
        self, tmp_path: Path
    ) -> None:
        stage = Stage(tmp_path / 'a "demo"' / "state")
        written(stage, Ports(grpc=19191, issuer=18383))
        assert {mode(path) for path in stage.state.rglob("*") if path.is_file()} == {0o600}
        assert {mode(path) for path in (stage.state, *stage.state.rglob("*")) if path.is_dir()} == {0o700}
        config = load_config(stage.config)
        assert config.state.resolve() == stage.state.resolve()
        assert config.policies == ROOT / "policies" / "shop"
        (listener,), (gateway,) = config.listeners, config.gateways
        assert (listener.address, listener.gateway, gateway.services) == (
            "127.0.0.1:19191",
            "edge",
            ("orders", "payments"),
        )
        customers, staff = config.issuers
        assert (customers.keys, customers.jwks_url) == (stage.key_set.resolve(), None)
        assert (staff.keys, staff.jwks_url) == (None, "http://127.0.0.1:18383/keys")
        assert config.minting.url == "https://pdp.shop.example"

    def test_a_second_start_keeps_the_key(self, tmp_path: Path) -> None:
        stage = Stage(tmp_path / "s")
        assert key_set(written(stage, Ports())) == key_set(written(stage, Ports()))

    def test_a_state_folder_that_cannot_be_made_is_an_error_with_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_text("a file")
        with pytest.raises(ConfigError, match="cannot write the demo's files"):
            written(Stage(tmp_path / "s"), Ports())


class TestUpstream:
    def test_it_shows_the_call_and_each_header(self) -> None:
        text = describe("GET", "/a?b=c", [("Host", "h"), ("X-A", "1"), ("x-a", "2")])
        assert text == "the upstream received:\nGET /a?b=c\nhost: h\nx-a: 1\nx-a: 2\n"

    def test_it_does_not_show_a_token(self) -> None:
        shown = describe("GET", "/", [("Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.secret.signature")])
        assert "secret" not in shown
        assert "authorization: Bearer eyJ" in shown

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_it_answers_every_method_and_reads_the_body(self, method: str) -> None:
        with running_upstream(0) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            for _ in range(2):  # on one connection: a body left unread would be taken for the next call
                connection.request(method, "/x", body=b"GET /smuggled HTTP/1.1\r\n\r\n")
                answer = connection.getresponse()
                assert answer.status == 200
                assert answer.read().startswith(f"the upstream received:\n{method} /x\n".encode())
            connection.close()

    def test_head_has_no_body(self) -> None:
        with running_upstream(0) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("HEAD", "/x")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            connection.close()

    def test_it_is_gone_afterwards_and_a_port_in_use_is_an_error(self) -> None:
        with running_upstream(0) as port:
            assert accepts(port)
            with pytest.raises(ConfigError, match=f"port {port}"), running_upstream(port):
                pass
        assert not accepts(port)


class TestPorts:
    def test_zero_takes_five_different_free_ports(self) -> None:
        ports = claim(NONE)
        assert len({ports.gateway, ports.grpc, ports.http, ports.upstream, ports.issuer} - {0}) == 5

    def test_a_port_named_twice_is_an_error(self) -> None:
        one = claim(NONE).grpc
        with pytest.raises(ConfigError, match="HTTP_PORT"):
            claim(Ports(0, one, one, 0, 0))

    def test_a_port_is_let_go_again(self) -> None:
        ports = claim(NONE)
        assert claim(ports) == ports


class TestChildren:
    def test_a_child_is_ended_with_the_block(self, tmp_path: Path) -> None:
        said: list[str] = []
        with running("it", SLEEPER, tmp_path / "log", 10, said.append) as child:
            assert not child.has_ended()
        assert child.has_ended()
        assert said == ["ending it"]

    def test_a_child_that_will_not_end_is_killed(self, tmp_path: Path) -> None:
        said: list[str] = []
        log = tmp_path / "log"
        with StopSignals() as stop, running("it", STUBBORN, log, 0.2, said.append) as child:
            await_ready(child, lambda: "up" in log.read_text(), 30, stop)
        assert child.has_ended()
        assert "was killed" in said[-1]

    def test_a_child_is_ended_even_when_nobody_reads_what_we_say(self, tmp_path: Path) -> None:
        def say(_: str) -> None:
            raise BrokenPipeError

        started: list[Child] = []
        with pytest.raises(BrokenPipeError), running("it", SLEEPER, tmp_path / "log", 10, say) as child:
            started.append(child)
        assert started[0].has_ended()

    def test_a_child_that_ends_first_is_shown_with_the_end_of_its_log(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "print('because'); raise SystemExit(7)"]
        with (
            StopSignals() as stop,
            running("it", command, tmp_path / "log", 5, print) as child,
            pytest.raises(DemoError) as raised,
        ):
            await_ready(child, lambda: False, 30, stop)
        assert raised.value.exit_code == 1
        assert "it did not start (exit code 7)" in raised.value.detail
        assert raised.value.said == ("because",)

    def test_what_a_child_said_does_not_command_a_terminal(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", r"print('\x1b[2J'); raise SystemExit(7)"]
        with (
            StopSignals() as stop,
            running("it", command, tmp_path / "log", 5, print) as child,
            pytest.raises(DemoError) as raised,
        ):
            await_ready(child, lambda: False, 30, stop)
        assert [line for line in raised.value.said if "\x1b" in line] == []
        assert "[2J" in raised.value.said[0]

    def test_a_child_that_is_never_ready_is_given_up(self, tmp_path: Path) -> None:
        with (
            StopSignals() as stop,
            running("it", SLEEPER, tmp_path / "log", 5, lambda _: None) as child,
            pytest.raises(DemoError, match="was not ready"),
        ):
            await_ready(child, lambda: False, 0, stop)

    def test_a_command_that_is_not_there_is_an_error_with_its_name(self, tmp_path: Path) -> None:
        with (
            pytest.raises(DemoError, match="/nowhere/envoy"),
            running("it", ["/nowhere/envoy"], tmp_path / "log", 1, print),
        ):
            pass

    def test_ctrl_c_on_the_terminal_does_not_reach_a_child(self, tmp_path: Path) -> None:
        with running("it", SLEEPER, tmp_path / "log", 5, lambda _: None) as child:
            assert os.getpgid(process_of(child)) != os.getpgid(0)

    def test_a_probe_of_a_closed_port_says_no(self) -> None:
        port = claim(NONE).http
        assert not answers_ok(port, "/readyz")
        assert not accepts(port)

    def test_a_probe_of_something_that_is_no_http_says_no(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            assert accepts(server.getsockname()[1])
            assert not answers_ok(server.getsockname()[1], "/readyz")


def process_of(child: Child) -> int:
    return child._process.pid


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_each_signal_is_a_request_to_end_and_is_remembered(self, number: signal.Signals) -> None:
        earlier = signal.getsignal(number)
        with StopSignals() as stop:
            assert not stop.wait(0)
            os.kill(os.getpid(), number)
            assert stop.wait(30)
            assert stop.wait(30)
        assert signal.getsignal(number) is earlier

    def test_a_request_while_waiting_for_a_child_ends_the_waiting(self, tmp_path: Path) -> None:
        with StopSignals() as stop, running("it", SLEEPER, tmp_path / "log", 5, lambda _: None) as child:
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(StoppedError):
                await_ready(child, lambda: False, 30, stop)


class TestCommand:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        ports = [part for name in ("gateway", "grpc", "http", "upstream", "issuer") for part in (f"--{name}-port", "0")]
        return subprocess.run(
            [sys.executable, "-m", "pdp.demo", *ports, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def test_a_missing_envoy_is_one_line(self, tmp_path: Path) -> None:
        done = self.run("--state", str(tmp_path / "s"), "--envoy", "/nowhere/envoy")
        assert done.returncode == 2
        assert done.stderr.splitlines() == ["demo: no Envoy at /nowhere/envoy: run `make serve`, or use --envoy none"]

    def test_missing_policies_are_one_line(self, tmp_path: Path) -> None:
        done = self.run("--state", str(tmp_path / "s"), "--envoy", "none", "--policies", str(tmp_path / "none"))
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "no policy folder" in done.stderr

    def test_a_part_that_does_not_start_is_shown_line_by_line(self, tmp_path: Path) -> None:
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / "a.pol").write_text("nonsense\n")
        done = self.run("--state", str(tmp_path / "s"), "--envoy", "none", "--policies", str(tmp_path / "p"))
        assert done.returncode == 1
        first, *said = done.stderr.splitlines()
        assert first.startswith("demo: the service did not start (exit code 2); the end of ")
        assert any(line.startswith("demo:   | error") for line in said), done.stderr

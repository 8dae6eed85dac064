"""The configurations of gateways: what they are made from, and the settings that matter in each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from pdp.answers import DECISION_HEADER
from pdp.authoring.model import AuthoringError
from pdp.canonical import OWN_PREFIX
from pdp.config import load_config
from pdp.gateway_files.envoy import PDP
from pdp.gateway_files.files import IN_A_CLUSTER, KINDS, OVER_GRPC, Kind, gateway_files
from pdp.gateway_files.haproxy import haproxy_files
from pdp.gateway_files.kong import kong_yml
from pdp.gateway_files.setting import (
    CREDENTIAL,
    DECISION,
    NOBODY,
    OURS,
    SAYING_MORE,
    Behind,
    Mutual,
    Setting,
    Tcp,
    Unix,
    Way,
    setting_of,
    tcp_of,
    way_of,
)
from pdp.gateways import gateway_of
from pdp.model import AUTHORIZATION
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.ir import Program
from tests.support.command import run_pdp

HERE, CLUSTER = Tcp("127.0.0.1", 9191), Mutual(Tcp("pdp.policy.svc.cluster.local", 9191))
EVERYWHERE = Tcp("127.0.0.1", 8282)
HEAD = """\
language 1
module m
token user { issuer "https://id.example" claim sub: string }
allow a for any user on any endpoint because "-"
"""
LEDGER = 'service ledger { audience "ledger" host "ledger.example" endpoint one GET|POST /one }\n'
OTHER = 'service other { audience "other" host "other.example", "b.example" endpoint one GET /one }\n'
STOCK = 'service stock { audience "stock" host "stock.example" endpoint one grpc shop.Stock/Check }\n'
TASKS = 'service tasks { audience "tasks" host "tasks.example" endpoint one action "read" on "task" }\n'


def program(*services: str, rules: str = "") -> Program:
    return compile_policy({"m.pol": (HEAD + "".join(services) + rules).encode()}).program


def setting(
    *services: str,
    rules: str = "",
    way: Way = HERE,
    upstreams: dict[str | None, Tcp] | None = None,
    origins: tuple[str, ...] = (),
) -> Setting:
    to: dict[str | None, Tcp] = {None: EVERYWHERE} if upstreams is None else upstreams
    return setting_of(program(*services, rules=rules), "edge", Tcp("127.0.0.1", 8080), way, to, origins)


SET = """\
require w for any user on any endpoint
  must set header "X-Who" to token.sub must remove header "x-mask" because "-"
"""


def test_a_setting_has_every_service_with_a_host_and_every_header_that_a_rule_sets_or_removes() -> None:
    made = setting(OTHER, LEDGER, TASKS, STOCK, rules=SET)
    assert [(each.service, each.hosts) for each in made.behind] == [
        ("ledger", ("ledger.example",)),
        ("other", ("other.example", "b.example")),
        ("stock", ("stock.example",)),
    ]
    assert [(each.methods, each.http, each.grpc) for each in made.behind] == [
        (("GET", "POST"), True, False),
        (("GET",), True, False),
        (("POST",), False, True),
    ]
    assert made.guarded == ("x-mask", "x-who")
    assert made.from_answer == (DECISION, "x-mask", "x-who")


ISSUE = 'require t for any user on ledger.one must issue token because "-"\n'
SCOPED = 'require t for any user on ledger.one must issue token with scope "one" because "-"\n'
CREDENTIALS: dict[str, tuple[str, bool]] = {
    "no rule": ("", False),
    "rules that set and remove headers": (SET, False),
    "a rule that has tokens issued": (ISSUE, True),
    "one that has them for a scope": (SCOPED, True),
    "one among others": (SET + ISSUE, True),
    "one that is tried out": (f"shadow {ISSUE}", True),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_the_credential_comes_from_the_answer_where_a_rule_has_tokens_issued(case: str) -> None:
    rules, credential = CREDENTIALS[case]
    made = setting(LEDGER, OTHER, rules=rules)
    assert made.credential is credential
    assert (CREDENTIAL in made.from_answer) is credential
    assert CREDENTIAL not in made.guarded
    assert CREDENTIAL not in made.taken_before


def test_no_rule_should_issue_a_token() -> None:
    """So that `must` alone is looked at."""
    with pytest.raises(CompileError, match="issue token"):
        program(LEDGER, rules=ISSUE.replace("must", "should"))


def test_an_upstream_is_that_of_the_service_else_that_of_all() -> None:
    own = Tcp("10.0.0.7", 80)
    made = setting(LEDGER, OTHER, upstreams={None: EVERYWHERE, "other": own})
    assert [each.upstream for each in made.behind] == [EVERYWHERE, own]


NO_SETTING: dict[str, tuple[tuple[str, ...], dict[str | None, Tcp], tuple[str, ...], str]] = {
    "no service": ((), {None: EVERYWHERE}, (), "I311"),
    "only actions": ((TASKS,), {None: EVERYWHERE}, (), "I311"),
    "no host": (('service s { audience "s" endpoint one GET /one }\n',), {None: EVERYWHERE}, (), "I311"),
    "a host of two": ((LEDGER, OTHER.replace("b.example", "ledger.example")), {None: EVERYWHERE}, (), "I312"),
    "no upstream": ((LEDGER,), {}, (), "I314"),
    "no upstream for one": ((LEDGER, OTHER), {"ledger": EVERYWHERE}, (), "I314"),
    "an upstream of no service": ((LEDGER,), {None: EVERYWHERE, "ledgers": EVERYWHERE}, (), "I314"),
    "an origin with a path": ((LEDGER,), {None: EVERYWHERE}, ("https://shop.example/",), "I313"),
    "every origin": ((LEDGER,), {None: EVERYWHERE}, ("*",), "I313"),
    "the null origin": ((LEDGER,), {None: EVERYWHERE}, ("null",), "I313"),
}


@pytest.mark.parametrize("case", NO_SETTING)
def test_what_makes_no_setting_is_refused(case: str) -> None:
    services, upstreams, origins, code = NO_SETTING[case]
    with pytest.raises(AuthoringError) as refused:
        setting(*services, upstreams=upstreams, origins=origins)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["x!who", "x$who", "x'who", "x|who", "x.who", "x*"])
def test_a_header_that_a_configuration_language_reads_otherwise_is_refused(name: str) -> None:
    with pytest.raises(AuthoringError) as refused:
        setting(LEDGER, rules=SET.replace("X-Who", name))
    assert refused.value.code == "I313"


ADDRESSES: dict[str, Way] = {
    "127.0.0.1:9191": HERE,
    "localhost:1": Tcp("127.0.0.1", 1),
    "[::1]:65535": Tcp("::1", 65535),
    "unix:/run/pdp.sock": Unix("/run/pdp.sock"),
    "pdp.internal:9191": Mutual(Tcp("pdp.internal", 9191)),
    "192.0.2.7:9191": Mutual(Tcp("192.0.2.7", 9191)),
    "[2001:db8::7]:9191": Mutual(Tcp("2001:db8::7", 9191)),
}
NO_ADDRESSES = (
    *("", ":", "9191", ":9191", "host", "host:", "host:0", "host:65536", "host:-1", "host:+1", "host:1x"),
    *("host:\u0661", "host:01", "::1:9191", "[::1:9191", "[host]:9191", "[1.2.3.4]:1", "a b:1", "a;b:1", "a{b:1"),
    *("a\nb:1", "-a:1", "a-:1", "http://a:1", "a/b:1"),
    *("unix:", "unix:run/pdp.sock", "unix:/run/a b", "unix:/run/a;b", "unix:/run/a\nb", "unix:/"),
)


@pytest.mark.parametrize("text", ADDRESSES)
def test_what_is_beyond_this_host_is_asked_over_tls(text: str) -> None:
    assert way_of(text, "--pdp") == ADDRESSES[text]


@pytest.mark.parametrize("text", NO_ADDRESSES, ids=repr)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AuthoringError) as refused:
        way_of(text, "--pdp")
    assert refused.value.code == "I314"


def test_an_address_is_written_as_it_is_read() -> None:
    assert [tcp_of(text, "-").text for text in ("[::1]:1", "a.example:2")] == ["[::1]:1", "a.example:2"]


def test_the_names_that_are_ours_are_those_of_the_service() -> None:
    assert (DECISION, OURS, CREDENTIAL) == (DECISION_HEADER, OWN_PREFIX, AUTHORIZATION)
    assert not re.fullmatch(r"[a-z][a-z0-9_]*", NOBODY)


def way_for(kind: Kind) -> Way:
    return CLUSTER if kind in IN_A_CLUSTER else HERE


def made(kind: Kind, *services: str, way: Way | None = None) -> dict[str, str]:
    whole = setting(
        *(services or (LEDGER, OTHER)), rules=SET, way=way or way_for(kind), origins=("https://shop.example",)
    )
    return dict(gateway_files(kind, whole, "/etc/gateway").files)


@pytest.mark.parametrize("kind", KINDS)
def test_every_configuration_names_services_hosts_and_the_headers_a_client_may_not_send(kind: Kind) -> None:
    text = "\n".join(made(kind).values()).lower()
    for word in ("ledger", "other", "ledger.example", "other.example", "b.example", *SAYING_MORE):
        assert word in text, word
    if kind not in OVER_GRPC:
        for word in ("x-who", "x-mask", OURS, "/forward-auth/"):
            assert word in text, word


@pytest.mark.parametrize("kind", KINDS)
def test_every_configuration_says_where_it_comes_from(kind: Kind) -> None:
    for name, text in made(kind).items():
        assert name in {"gateway.toml", "envoy.json"} or f"pdp new --gateway {kind}" in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["here", "over a socket", "beyond"])
def test_the_tables_fit_the_configuration_of_the_service(kind: Kind, where: str, tmp_path: Path) -> None:
    ways: dict[str, Way] = {"here": HERE, "over a socket": Unix("/run/pdp.sock"), "beyond": CLUSTER}
    try:
        text = made(kind, way=ways[where])["gateway.toml"]
    except AuthoringError as error:
        assert error.code == "I315"  # it asks no such way
        assert (kind, where) not in {("envoy", where), ("nginx", where), ("caddy", where)}
        return
    (tmp_path / "pdp.toml").write_text(text)
    config = load_config(tmp_path / "pdp.toml")
    (gateway,), (listener,) = config.gateways, config.listeners
    assert (gateway.name, gateway.services) == ("edge", ("ledger", "other"))
    assert listener.protocol == ("grpc" if kind in OVER_GRPC else "http")
    certified = where == "beyond" and kind != "istio"
    assert (gateway.identity is not None) == certified == (listener.client_ca is not None)
    assert (listener.gateway is None) == certified
    assert (gateway.capabilities is not None) == (kind == "nginx")


def issuing(kind: Kind, *, rules: str = ISSUE) -> dict[str, str]:
    whole = setting(LEDGER, OTHER, rules=SET + rules, way=way_for(kind))
    return dict(gateway_files(kind, whole, "/etc/gateway").files)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_say_that_the_credential_comes_from_the_answer(kind: Kind, tmp_path: Path) -> None:
    for rules, credential in ((ISSUE, True), ("", False)):
        minting = '[minting]\nurl = "https://pdp.example"\n' if credential else ""
        (tmp_path / "pdp.toml").write_text(issuing(kind, rules=rules)["gateway.toml"] + minting)
        (gateway,) = load_config(tmp_path / "pdp.toml").gateways
        known = {"x-mask", "x-who", *([CREDENTIAL] if credential else [])}
        assert gateway.headers == (None if kind in OVER_GRPC else tuple(sorted(known)))
        declared = gateway_of(gateway)
        able = declared.passing_on if kind in OVER_GRPC else declared.forwarding
        assert ("issue_token" in able) is (credential or kind in OVER_GRPC)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_to_do_names_the_tokens(kind: Kind) -> None:
    for rules, told in ((ISSUE, True), ("", False)):
        files = gateway_files(kind, setting(LEDGER, rules=rules, way=way_for(kind)), "/etc/gateway")
        assert any("[minting]" in each for each in files.left) is told


@pytest.mark.parametrize("kind", sorted(OVER_GRPC))
def test_over_ext_authz_the_answer_sets_the_credential_and_no_file_speaks_of_it(kind: Kind) -> None:
    assert issuing(kind) == issuing(kind, rules="")


def test_services_that_speak_grpc_alone_are_left_to_envoy() -> None:
    whole = setting(LEDGER, STOCK)
    for kind in KINDS:
        if kind in IN_A_CLUSTER:
            continue
        files = gateway_files(kind, whole, "/etc/gateway")
        assert files.left_out == (() if kind == "envoy" else ("stock",))
        assert ("stock" in "".join(files.files.values())) == (kind == "envoy")
    with pytest.raises(AuthoringError, match="leaves to Envoy"):
        gateway_files("nginx", setting(STOCK), "/etc/gateway")


NO_WAY: dict[str, tuple[Kind, Way]] = {
    "Traefik, a socket": ("traefik", Unix("/run/pdp.sock")),
    "HAProxy, TLS": ("haproxy", CLUSTER),
    "APISIX, TLS": ("apisix", CLUSTER),
    "APISIX, a socket": ("apisix", Unix("/run/pdp.sock")),
    "Kong, TLS": ("kong", CLUSTER),
    "Kong, a socket": ("kong", Unix("/run/pdp.sock")),
    "Istio, a socket": ("istio", Unix("/run/pdp.sock")),
    "Envoy Gateway, a socket": ("envoy-gateway", Unix("/run/pdp.sock")),
    "Envoy Gateway, without TLS": ("envoy-gateway", HERE),
    "nginx, TLS to an address": ("nginx", Mutual(Tcp("192.0.2.7", 443))),
}


@pytest.mark.parametrize("case", NO_WAY)
def test_a_way_that_a_gateway_cannot_ask_by_is_refused(case: str) -> None:
    kind, way = NO_WAY[case]
    with pytest.raises(AuthoringError) as refused:
        made(kind, way=way)
    assert refused.value.code == "I315"


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


class TestIstio:
    def test_the_provider_fails_closed_and_soon(self) -> None:
        (mesh,) = documents(made("istio")["mesh.yaml"])
        (provider,) = mesh["meshConfig"]["extensionProviders"]
        assert provider == {
            "name": "portcullis",
            "envoyExtAuthzGrpc": {
                "service": "pdp.policy.svc.cluster.local",
                "port": 9191,
                "timeout": "0.200s",
                "failOpen": False,
                "statusOnError": "503",
            },
        }

    def test_paths_are_normalised_and_no_more(self) -> None:
        (mesh,) = documents(made("istio")["mesh.yaml"])
        assert mesh["meshConfig"]["pathNormalization"] == {"normalization": "BASE"}

    def test_every_call_is_asked_about(self) -> None:
        policy = documents(made("istio")["portcullis.yaml"])[0]
        assert policy["kind"] == "AuthorizationPolicy"
        assert (policy["spec"]["action"], policy["spec"]["provider"]["name"]) == ("CUSTOM", "portcullis")
        assert policy["spec"]["rules"] == [{}]

    def test_only_the_gateway_reaches_the_service(self) -> None:
        _, asked, mutual, _ = documents(made("istio")["portcullis.yaml"])
        assert asked["spec"]["action"] == "ALLOW"
        (principal,) = asked["spec"]["rules"][0]["from"][0]["source"]["principals"]
        assert principal.startswith("cluster.local/ns/istio-system/sa/")
        assert mutual["spec"]["mtls"]["mode"] == "STRICT"

    def test_each_virtual_host_says_its_service(self) -> None:
        patches = documents(made("istio")["portcullis.yaml"])[-1]["spec"]["configPatches"]
        said = {
            each["match"]["routeConfiguration"]["vhost"]["name"]: each["patch"]["value"]["typed_per_filter_config"][
                "envoy.filters.http.ext_authz"
            ]["check_settings"]["context_extensions"]
            for each in patches
            if each["applyTo"] == "VIRTUAL_HOST"
        }
        assert said == {
            "ledger.example:8080": {"portcullis.service": "ledger"},
            "other.example:8080": {"portcullis.service": "other"},
            "b.example:8080": {"portcullis.service": "other"},
        }

    def test_the_filters_are_set_as_in_our_own_configuration(self) -> None:
        patches = documents(made("istio")["portcullis.yaml"])[-1]["spec"]["configPatches"]
        values = {each["applyTo"]: each["patch"]["value"] for each in patches}
        check = values["HTTP_FILTER"]["typed_config"]
        assert (check["encode_raw_headers"], check["validate_mutations"]) == (True, True)
        manager = values["NETWORK_FILTER"]["typed_config"]
        assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
        assert manager["common_http_protocol_options"] == {"headers_with_underscores_action": "REJECT_REQUEST"}
        assert set(SAYING_MORE) < set(values["ROUTE_CONFIGURATION"]["request_headers_to_remove"])


class TestEnvoyGateway:
    def test_every_route_is_checked_and_fails_closed(self) -> None:
        found = documents(made("envoy-gateway")["portcullis.yaml"])
        routes = {each["metadata"]["name"]: each for each in found if each["kind"] == "HTTPRoute"}
        policies = {each["metadata"]["name"]: each["spec"] for each in found if each["kind"] == "SecurityPolicy"}
        assert routes.keys() == policies.keys() == {"ledger", "other"}
        for name, spec in policies.items():
            assert spec["targetRefs"][0]["name"] == name
            check = spec["extAuth"]
            assert (check["failOpen"], check["statusOnError"], check["timeout"]) == (False, 503, "200ms")
            assert check["contextExtensions"] == [{"name": "portcullis.service", "type": "Value", "value": name}]
            assert "headersToExtAuth" not in check
            assert check["grpc"]["backendRefs"] == [{"name": "pdp", "namespace": "policy", "port": 9191}]
            assert spec["cors"]["allowOrigins"] == ["https://shop.example"]

    def test_a_grpc_service_has_a_route_of_its_kind(self) -> None:
        kinds = [each["kind"] for each in documents(made("envoy-gateway", STOCK)["portcullis.yaml"])]
        assert "GRPCRoute" in kinds
        assert "HTTPRoute" not in kinds

    def test_paths_and_headers_are_not_repaired(self) -> None:
        clients = documents(made("envoy-gateway")["portcullis.yaml"])[0]
        assert clients["kind"] == "ClientTrafficPolicy"
        assert clients["spec"]["path"] == {"escapedSlashesAction": "RejectRequest", "disableMergeSlashes": True}
        assert clients["spec"]["headers"]["withUnderscoresAction"] == "RejectRequest"
        assert set(SAYING_MORE) < set(clients["spec"]["headers"]["earlyRequestHeaders"]["remove"])

    def test_the_service_is_held_to_its_name_and_shown_a_certificate(self) -> None:
        found = {each["kind"]: each["spec"] for each in documents(made("envoy-gateway")["portcullis.yaml"])}
        assert found["BackendTLSPolicy"]["validation"]["hostname"] == "pdp.policy.svc.cluster.local"
        assert found["EnvoyProxy"]["backendTLS"]["clientCertificateRef"]["kind"] == "Secret"


class TestApisix:
    def test_every_route_is_checked_and_fails_closed(self) -> None:
        (found,) = documents(made("apisix")["apisix.yaml"])
        assert [each["id"] for each in found["routes"]] == ["ledger", "other"]
        for route in found["routes"]:
            check = route["plugins"]["forward-auth"]
            assert check["uri"] == f"http://127.0.0.1:9191/forward-auth/{route['id']}"
            assert (check["allow_degradation"], check["status_on_error"]) == (False, 503)
            assert {name.lower() for name in check["upstream_headers"]} == {DECISION, "x-who", "x-mask"}
            assert "WWW-Authenticate" in check["client_headers"]
            assert route["uri"] == "/*"
            assert route["enable_websocket"] is False
            assert made("apisix")["apisix.yaml"].endswith("#END\n")

    def test_what_the_policy_reads_is_forwarded(self) -> None:
        (found,) = documents(made("apisix")["apisix.yaml"])
        listed = {name.lower() for name in found["routes"][0]["plugins"]["forward-auth"]["request_headers"]}
        assert {"authorization", "content-type"} <= listed
        assert not any(name.startswith("x-forwarded-") for name in listed)

    def test_a_clients_headers_are_taken_away_before(self) -> None:
        (found,) = documents(made("apisix")["apisix.yaml"])
        removed = {name.lower() for name in found["routes"][0]["plugins"]["proxy-rewrite"]["headers"]["remove"]}
        assert removed == {DECISION, "x-who", "x-mask", *SAYING_MORE}
        assert found["routes"][0]["plugins"]["proxy-rewrite"]["headers"].keys() == {"remove"}

    def test_a_clients_headers_are_taken_away_first_in_whichever_phase_the_check_is(self) -> None:
        (found,) = documents(made("apisix")["apisix.yaml"])
        assert found["routes"][0]["plugins"]["proxy-rewrite"]["_meta"] == {"priority": 3000}
        assert "_meta" not in found["routes"][0]["plugins"]["forward-auth"]  # its own is 2002

    def test_the_target_as_received_is_asked_about_and_sent_on(self) -> None:
        (found,) = documents(made("apisix")["apisix.yaml"])
        for route in found["routes"]:
            rewrite, check = route["plugins"]["proxy-rewrite"], route["plugins"]["forward-auth"]
            assert rewrite.keys() == {"_meta", "headers", "use_real_request_uri_unsafe"}
            assert rewrite["use_real_request_uri_unsafe"] is True
            assert check["extra_headers"] == {"X-Forwarded-Uri": "$real_request_uri"}

    def test_underscores_are_dropped(self) -> None:
        (found,) = documents(made("apisix")["config.yaml"])
        assert found["nginx_config"]["http"]["underscores_in_headers"] == "off"

    def test_the_credential_goes_to_the_check_and_comes_from_the_answer(self) -> None:
        for rules, credential in ((ISSUE, True), ("", False)):
            (found,) = documents(issuing("apisix", rules=rules)["apisix.yaml"])
            rewrite, check = (found["routes"][0]["plugins"][name] for name in ("proxy-rewrite", "forward-auth"))
            assert "Authorization" not in rewrite["headers"]["remove"]
            assert "Authorization" in check["request_headers"]
            assert ("Authorization" in check["upstream_headers"]) is credential


class TestKong:
    def test_the_path_is_kept_and_the_host_too(self) -> None:
        (found,) = documents(kong_yml(setting(LEDGER)))
        (route,) = found["services"][0]["routes"]
        assert (route["strip_path"], route["preserve_host"], route["paths"]) == (False, True, ["/"])

    def test_the_function_asks_about_its_service_and_passes_on_200_alone(self) -> None:
        (found,) = documents(kong_yml(setting(LEDGER, rules=SET)))
        (plugin,) = found["services"][0]["plugins"]
        (function,) = plugin["config"]["access"]
        assert plugin["name"] == "pre-function"
        assert '"http://127.0.0.1:9191/forward-auth/ledger"' in function
        assert "answer.status ~= 200" in function
        assert "if not answer then" in function
        assert not re.search(r"@[A-Z]+@", function)

    def test_the_credential_goes_to_the_check_and_comes_from_the_answer(self) -> None:
        for rules, credential in ((ISSUE, True), ("", False)):
            text = issuing("kong", rules=rules)["kong.yml"]
            (listed,) = set(re.findall(r"local from_answer = \{ (.*) \}", text))
            assert ('"authorization"' in listed) is credential
            asking, answered = text.index("client:request_uri("), text.index("for _, name in ipairs(from_answer)")
            assert asking < answered < text.index("kong.service.request.set_header(name")
            assert text.count('"authorization"') == 2 * credential  # for each service once

    @pytest.mark.skipif(shutil.which("luac") is None, reason="no luac on the path")
    def test_the_function_is_lua(self, tmp_path: Path) -> None:
        (found,) = documents(kong_yml(setting(LEDGER, rules=SET)))
        (tmp_path / "f.lua").write_text(found["services"][0]["plugins"][0]["config"]["access"][0])
        done = subprocess.run(["luac", "-p", "f.lua"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


UNLUCKY = ("alone", "edge", "elsewhere", "no", "nobody", "null", "pdp", "portcullis", "upstream", "yes")
"""Names that the configurations use for what is theirs, and words that YAML reads as no text."""


def unlucky(kind: Kind) -> dict[str, str]:
    services = [LEDGER.replace("ledger", name) for name in UNLUCKY]
    return made(kind, *services)


class Once(yaml.SafeLoader):
    """YAML whose mappings have each key once, and text for keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        assert all(isinstance(key, str) for key in keys), keys
        return dict(super().construct_mapping(node, deep))


class TestNamesThatCollide:
    def test_envoys_clusters_and_virtual_hosts_have_names_of_their_own(self) -> None:
        resources = json.loads(unlucky("envoy")["envoy.json"])["static_resources"]
        clusters = [each["name"] for each in resources["clusters"]]
        assert sorted(clusters) == sorted({PDP, *UNLUCKY})
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        hosts = {each["name"]: each for each in manager["route_config"]["virtual_hosts"]}
        assert len(hosts) == len(manager["route_config"]["virtual_hosts"]) == len(UNLUCKY) + 1
        for name in UNLUCKY:
            assert [each["route"]["cluster"] for each in hosts[name]["routes"]] == [name]
        check = next(each for each in manager["http_filters"] if "grpc_service" in each["typed_config"])
        assert check["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == PDP

    def test_traefiks_routers_middlewares_and_services_are_there_each_once(self) -> None:
        found = yaml.load(unlucky("traefik")["routes.yml"], Once)["http"]  # noqa: S506
        assert found["services"].keys() == set(UNLUCKY)
        others = found["routers"].keys() - set(UNLUCKY)
        assert len(found["routers"]) == len(UNLUCKY) + 1
        (other,) = others
        asked = {name: router["middlewares"][-1] for name, router in found["routers"].items()}
        for name, middleware in asked.items():
            service = NOBODY if name == other else name
            address = found["middlewares"][middleware]["forwardAuth"]["address"]
            assert address.endswith(f"/forward-auth/{service}")
        assert {router["service"] for router in found["routers"].values()} == {*UNLUCKY, "noop@internal"}

    def test_a_service_is_text_wherever_yaml_names_it(self) -> None:
        routes = yaml.load(unlucky("apisix")["apisix.yaml"], Once)["routes"]  # noqa: S506
        assert [each["id"] for each in routes] == list(UNLUCKY)
        services = yaml.load(unlucky("kong")["kong.yml"], Once)["services"]  # noqa: S506
        assert [(each["name"], each["routes"][0]["name"]) for each in services] == [(name, name) for name in UNLUCKY]
        for kind in IN_A_CLUSTER:
            said = re.findall(r'(?:portcullis.service|value): "(\w+)"', unlucky(kind)["portcullis.yaml"])
            assert said == list(UNLUCKY)

    @pytest.mark.parametrize("kind", ["nginx", "haproxy"])
    def test_the_blocks_of_a_text_have_each_a_name_of_its_own(self, kind: Kind) -> None:
        text = "\n".join(unlucky(kind).values())
        blocks = re.findall(r"^ *(?:upstream|backend|frontend) (\w+)", text, re.MULTILINE)
        assert len(blocks) == len(set(blocks)) == len(UNLUCKY) + 1

    def test_caddys_sites_are_told_apart_by_their_hosts(self) -> None:
        sites = re.findall(r"^(http://\S+) \{", unlucky("caddy")["Caddyfile"], re.MULTILINE)
        assert len(sites) == len(set(sites)) == len(UNLUCKY) + 1


def test_nginx_hands_on_the_challenge_of_a_403_and_no_second_one_of_a_401() -> None:
    text = made("nginx")["nginx.conf"]
    challenge = "add_header WWW-Authenticate $portcullis_challenge always;"
    for status, wanted in {401: 0, 403: 1, 503: 0}.items():
        places = re.findall(rf"location @portcullis_{status} \{{(.*?)\n    \}}", text, re.DOTALL)
        assert [place.count(challenge) for place in places] == [wanted] * 3
    assert text.count("auth_request_set $portcullis_challenge $upstream_http_www_authenticate;") == 3


def test_nginx_takes_the_credential_from_the_answer_and_leaves_it_to_the_check() -> None:
    for rules, credential in ((ISSUE, True), ("", False)):
        text = issuing("nginx", rules=rules)["nginx.conf"]
        assert text.count("auth_request_set $portcullis_credential $upstream_http_authorization;") == 2 * credential
        assert text.count("proxy_set_header Authorization $portcullis_credential;") == 2 * credential
        assert text.lower().count("authorization") == 4 * credential


def test_caddy_takes_the_credential_away_behind_the_check_and_sets_that_of_the_answer() -> None:
    lines = [line.strip() for line in issuing("caddy")["Caddyfile"].splitlines()]
    site = lines[: lines.index("reverse_proxy http://127.0.0.1:8282 {")]
    copied = "copy_headers X-Portcullis-Decision X-Mask X-Who Authorization>X-Portcullis-Authorization"
    assert [line for line in site if "uthorization" in line and not line.startswith("#")] == [
        copied,
        "request_header -Authorization",
        "@credential header X-Portcullis-Authorization *",
        "request_header @credential Authorization {header.X-Portcullis-Authorization}",
        "request_header -X-Portcullis-Authorization",
    ]
    assert site.index("request_header -X-Portcullis-*") < site.index(copied)
    assert "uthorization" not in issuing("caddy", rules="")["Caddyfile"]


@pytest.mark.parametrize("kind", ["haproxy", "traefik"])
def test_the_credential_is_named_behind_the_check_alone(kind: Kind) -> None:
    for rules, credential in ((ISSUE, True), ("", False)):
        found = [
            line
            for text in issuing(kind, rules=rules).values()
            for line in text.splitlines()
            if re.search(r"\bauthorization\b", line) and not line.startswith("headers = ")
        ]
        behind = {"haproxy": "local from_answer = {", "traefik": "authResponseHeadersRegex:"}[kind]
        assert bool(found) is credential
        assert [line for line in found if not line.strip().startswith(behind)] == []


def test_haproxy_refuses_what_the_action_did_not_pass() -> None:
    lines = haproxy_files(setting(LEDGER), "/etc/gateway")["haproxy.cfg"].splitlines()
    asking = lines.index("  http-request lua.portcullis")
    rest = [line for line in lines[asking + 1 :] if not line.lstrip().startswith("#")]
    assert rest[0] == "  http-request deny deny_status 503 unless { var(txn.portcullis) -m str pass }"


@pytest.mark.parametrize("kind", ["nginx", "caddy", "traefik", "haproxy"])
def test_each_service_is_asked_about_at_its_own_url(kind: Kind) -> None:
    text = "\n".join(made(kind).values())
    if kind == "haproxy":
        assert {"str(ledger)", "str(other)", f"str({NOBODY})"} <= set(re.findall(r"str\([a-z-]+\)", text))
    else:
        assert set(re.findall(r"/forward-auth/([\w-]+)", text)) == {"ledger", "other", NOBODY}


# ---------------------------------------------------------------- the command line


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "m.pol").write_text(HEAD + LEDGER + OTHER + STOCK + SET)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_new_writes_the_files_and_says_what_comes_next(
    kind: Kind, policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run_pdp(capfd, "new", "edge", "--gateway", kind, "--policies", policy)
    assert (done.code, done.err) == (0, "")
    written = {each.name for each in (tmp_path / "edge").iterdir()}
    whole = setting(LEDGER, OTHER, STOCK, rules=SET, way=way_for(kind))
    assert written == gateway_files(kind, whole, "/x").files.keys()
    assert f"{kind} in front of ledger, other" in done.out
    assert "start it: cd edge && " in done.out
    assert "docs/gateways.md" in done.out
    assert ("left to Envoy" in done.out) == (kind not in OVER_GRPC)


def test_new_asks_where_the_configuration_listens_for_that_gateway(
    policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pdp.toml").write_text(
        f'policies = "{policy}"\n[[gateways]]\nname = "edge"\n'
        '[[listeners]]\naddress = "127.0.0.1:7001"\ngateway = "edge"\n'
        '[[listeners]]\naddress = "127.0.0.1:7002"\ngateway = "edge"\nprotocol = "http"\n'
    )
    assert run_pdp(capfd, "new", "a", "--gateway", "nginx").code == 0
    assert run_pdp(capfd, "new", "b", "--gateway", "envoy").code == 0
    assert "server 127.0.0.1:7002;" in (tmp_path / "a" / "nginx.conf").read_text()
    assert '"port_value": 7001' in (tmp_path / "b" / "envoy.json").read_text()


def test_new_overwrites_nothing(policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "mine").write_text("kept")
    done = run_pdp(capfd, "new", "edge", "--gateway", "nginx", "--policies", policy)
    assert done.code == 2
    assert "I301" in done.err
    assert [each.name for each in (tmp_path / "edge").iterdir()] == ["mine"]


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no such gateway": (("--gateway", "iis"), "iis"),
    "addresses without a gateway": (("--listen", "127.0.0.1:1"), "go with --gateway"),
    "an origin without a gateway": (("--origin", "https://a.example"), "go with --gateway"),
    "a service": (("--gateway", "nginx", "--service", "s"), "--service"),
    "a Casbin model": (("--gateway", "nginx", "--from-casbin", "a", "b"), "--from-casbin"),
    "an address that is none": (("--gateway", "nginx", "--listen", "here"), "I314"),
    "an upstream that is none": (("--gateway", "nginx", "--upstream", "ledger=there"), "I314"),
    "an upstream of no service": (("--gateway", "nginx", "--upstream", "x=a:1"), "I314"),
    "a name that is none": (("--gateway", "nginx", "--name", "a b"), "I314"),
    "a way it cannot ask by": (("--gateway", "traefik", "--pdp", "unix:/run/x"), "I315"),
    "no such policy": (("--gateway", "nginx", "--policies", "nowhere"), "P101"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_new_refuses_and_writes_nothing(
    case: str, policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, words = REFUSED[case]
    told = "--policies" in arguments or "--gateway" not in arguments
    done = run_pdp(capfd, "new", "edge", *arguments, *(() if told else ("--policies", policy)))
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "edge").exists()


def test_new_refuses_a_policy_with_mistakes(policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (policy / "m.pol").write_text(HEAD + LEDGER + "allow a for nobody")
    done = run_pdp(capfd, "new", "edge", "--gateway", "nginx", "--policies", policy)
    assert done.code == 2
    assert "pdp check" in done.err
    assert not (tmp_path / "edge").exists()


def test_new_refuses_a_folder_that_a_configuration_cannot_name(
    policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a b", 'a"b', "a;b", "a{b}", "\u00e9"):
        done = run_pdp(capfd, "new", name, "--gateway", "haproxy", "--policies", policy)
        assert done.code == 2
        assert "I314" in done.err
        assert not (tmp_path / name).exists()


def test_a_setting_without_origins_has_no_filter_for_preflights() -> None:
    whole = setting(LEDGER)
    assert "cors" not in gateway_files("envoy", whole, "/x").files["envoy.json"]
    assert "cors" in gateway_files("envoy", replace(whole, origins=("https://a.example",)), "/x").files["envoy.json"]


def test_a_service_of_both_kinds_has_a_route_for_each() -> None:
    both = Behind("s", ("s.example",), EVERYWHERE, ("GET", "POST"), http=True, grpc=True)
    text = gateway_files("envoy", replace(setting(LEDGER), behind=(both,)), "/x").files["envoy.json"]
    assert text.index('"cluster": "s (gRPC)"') < text.index('"cluster": "s"')

"""The configuration: what a file says, what its absence says, and every mistake, all of them at once."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.config import LARGEST_FILE, Config, load_config, parse_config
from pdp.config_identity import AdminConfig, IssuerConfig, MintingConfig, SharedConfig
from pdp.config_tables import GatewayConfig, HttpConfig, ListenerConfig
from pdp.errors import ConfigError
from pdp.gateways import gateway_of
from pdp.toml_keys import keys_of

BASE = Path("/etc/pdp")

WHOLE = """
state = "/var/lib/pdp"
policies = "policies/shop"
service_from_host = true
settings = "prod"
bundle_digest = "0000000000000000000000000000000000000000000000000000000000000000"
never_observe = ["money", "shop.pii"]
compare_every = 0

[log]
origin = "pdp.example/log"
strict_by_default = ["POST", "M-SEARCH"]
checkpoint_interval_ms = 500
explained_refusals_per_second = 0

[http]
address = "[::1]:0"
public_url = "https://pdp.example/decisions"

[[gateways]]
name = "edge"

[[gateways]]
name = "mesh"
services = ["orders"]
identity = "spiffe://shop.example/mesh"
keys_sha256 = ["0000000000000000000000000000000000000000000000000000000000000000"]
capabilities = ["answer"]
signals = true
trusted_hops = 1
verified_claims = "jwt_payload"
subjects = true
peers = true
explain = true
requests_per_second = 500

[[listeners]]
address = "LOCALHOST:9191"
gateway = "edge"

[[listeners]]
address = "unix:run/pdp.sock"
gateway = "mesh"

[[listeners]]
address = "0.0.0.0:9443"
protocol = "http"
certificate = "server.pem"
private_key = "server.key"
client_ca = "ca.pem"

[[issuers]]
url = "https://id.example"
keys = "keys/jwks.json"
algorithms = ["ES256", "EdDSA"]
types = ["application/AT+JWT", "JWT"]
leeway_s = 0
max_lifetime_s = 600
allow_multi_audience = true

[[issuers]]
url = "accounts.example"
keys = "/keys.json"
algorithms = ["RS256"]

[challenges]
mfa = "urn:example:mfa"

[limits]
message_bytes = 2048
http_body_bytes = 4096

[minting]
url = "https://pdp.example"
client_id = "edge"
algorithm = "EdDSA"
life_s = 30
rotate_every_s = 3600
publish_ahead_s = 600

[shared]
store = "postgresql://pdp@db.example/pdp?sslmode=verify-full"
password_file = "store.password"
revoked = "revoked.jsonl"

[admin]
address = "0.0.0.0:9444"
certificate = "admin.pem"
private_key = "admin.key"
client_ca = "admins.pem"
identities = ["spiffe://pdp.example/admin"]
"""


def test_a_whole_file_is_read() -> None:
    config = parse_config(WHOLE, BASE)
    assert (config.state, config.policies) == (Path("/var/lib/pdp"), BASE / "policies/shop")
    assert config.service_from_host
    assert (config.settings, config.bundle_digest, config.compare_every) == ("prod", "0" * 64, 0)
    assert config.never_observe == ("money", "shop.pii")
    assert config.log.origin == "pdp.example/log"
    assert config.log.strict_by_default == ("POST", "M-SEARCH")
    assert (config.log.checkpoint_interval_ms, config.log.explained_refusals_per_second) == (500, 0)
    assert config.http == HttpConfig("[::1]:0", "https://pdp.example/decisions")
    assert config.gateways == (
        GatewayConfig("edge"),
        GatewayConfig(
            "mesh",
            ("orders",),
            "spiffe://shop.example/mesh",
            (64 * "0",),
            ("answer",),
            signals=True,
            trusted_hops=1,
            verified_claims="jwt_payload",
            subjects=True,
            peers=True,
            explain=True,
            requests_per_second=500,
        ),
    )
    assert config.listeners == (
        ListenerConfig("localhost:9191", "edge"),
        ListenerConfig("unix:/etc/pdp/run/pdp.sock", "mesh"),
        ListenerConfig("0.0.0.0:9443", None, "http", BASE / "server.pem", BASE / "server.key", BASE / "ca.pem"),
    )
    assert config.issuers == (
        IssuerConfig(
            "https://id.example",
            ("ES256", "EdDSA"),
            keys=BASE / "keys/jwks.json",
            types=("at+jwt", "jwt"),
            leeway_s=0,
            max_lifetime_s=600,
            allow_multi_audience=True,
        ),
        IssuerConfig("accounts.example", ("RS256",), keys=Path("/keys.json")),
    )
    assert config.challenges == {"mfa": "urn:example:mfa"}
    assert (config.limits.message_bytes, config.limits.http_body_bytes) == (2048, 4096)
    assert config.minting == MintingConfig("https://pdp.example", "edge", "EdDSA", 30, 3600, 600)
    assert config.shared == SharedConfig(
        "postgresql://pdp@db.example/pdp?sslmode=verify-full", BASE / "store.password", BASE / "revoked.jsonl"
    )
    assert config.admin == AdminConfig(
        "0.0.0.0:9444",
        BASE / "admin.pem",
        BASE / "admin.key",
        BASE / "admins.pem",
        ("spiffe://pdp.example/admin",),
    )


PUBLIC: dict[str, bool] = {
    "https://pdp.example": True,
    "https://pdp.example:8443": True,
    "https://pdp.example/tenant/a.b~c": True,
    "https://127.0.0.1:8443": True,
    "http://pdp.example": False,
    "HTTPS://pdp.example": False,
    "https://PDP.example": False,
    "https://pdp.example/": False,
    "https://pdp.example//a": False,
    "https://pdp.example/a/": False,
    "https://pdp.example/../a": False,
    "https://pdp.example/%41": False,
    "https://pdp.example/{tenant}": False,
    "https://pdp.example?a=b": False,
    "https://pdp.example#a": False,
    "https://user@pdp.example": False,
    "https://pdp.example:0": False,
    "https://pdp.example:": False,
    "https://": False,
    "pdp.example": False,
    "": False,
}


@pytest.mark.parametrize("url", PUBLIC)
def test_what_a_service_is_known_as_is_an_https_url_and_nothing_more(url: str) -> None:
    text = f'[http]\npublic_url = "{url}"'
    if PUBLIC[url]:
        assert parse_config(text, BASE).http.public_url == url
        return
    with pytest.raises(ConfigError, match=r"`http\.public_url` must be an https URL"):
        parse_config(text, BASE)


def test_an_empty_file_says_the_defaults() -> None:
    config = parse_config("", Path())
    assert config == Config.default()
    assert config.state == Path(".pdp")
    assert config.policies is None
    assert not config.service_from_host
    assert config.gateways == (GatewayConfig("edge"),)
    assert config.listeners == (ListenerConfig("127.0.0.1:9191", "edge"),)
    assert config.http.address == "127.0.0.1:8181"
    assert config.issuers == ()
    assert (config.settings, config.bundle_digest, config.never_observe) == (None, None, ())
    assert config.compare_every == 1000


def test_a_gateway_can_do_by_default_what_ext_authz_can_and_nothing_it_says_is_believed() -> None:
    gateway = gateway_of(Config.default().gateways[0])
    assert gateway.passing_on == {"set_header", "remove_header", "answer", "step_up", "issue_token"}
    assert gateway.forwarding == {"set_header", "remove_header", "answer", "step_up"}
    assert (gateway.signals, gateway.subjects, gateway.explain, gateway.trusted_hops) == (False, False, False, 0)
    assert (gateway.identity, gateway.verified_claims) == (None, None)


def test_the_default_state_counts_from_the_folder_of_the_file() -> None:
    assert parse_config("", BASE).state == BASE / ".pdp"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config.default().service_from_host = True  # type: ignore[misc]


ISSUER = '[[issuers]]\nurl = "https://id.example"\nkeys = "k"\nalgorithms = ["ES256"]\n'
GATEWAY = '[[gateways]]\nname = "edge"\n'
MESH = '[[gateways]]\nname = "mesh"\n'
LISTENER = '[[listeners]]\naddress = "127.0.0.1:1"\ngateway = "edge"\n'
KEYS = f"keys_sha256 = ['{64 * '0'}']\n"
TLS = "certificate = 'c'\nprivate_key = 'k'\n"

ROOT_VKEY = "pdp.shop.example/log+b9c7b8a3+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
MINTING = "[minting]\nurl = 'https://pdp.example'\n"
ADMIN = """
[admin]
address = "127.0.0.1:0"
certificate = "c"
private_key = "k"
client_ca = "a"
identities = ["spiffe://a/b"]
"""

MISTAKES: dict[str, tuple[str, str]] = {
    "an unknown key": ('stat = "x"', "`stat` is not a key: did you mean `state`?"),
    "an unknown key unlike all": ("zzzzzz = 1", "`zzzzzz` is not a key: the keys here are state, policies"),
    "an unknown table": ("[lgo]", "`lgo` is not a key: did you mean `log`?"),
    "an unknown key in a table": ("[log]\norgin = 'x'", "`log.orgin` is not a key: did you mean `origin`?"),
    "an unknown key in an array": (ISSUER + "leeway = 1", "`issuers[0].leeway` is not a key: did you mean `leeway_s`?"),
    "a table that is a value": ("log = 1", "`log` must be a table: write [log]"),
    "an array that is a table": ("[issuers]\nurl = 'x'", "`issuers` must be an array of tables: write [[issuers]]"),
    "an array of values": ("listeners = ['x']", "`listeners` must be an array of tables: write [[listeners]]"),
    "an empty array": ("listeners = []", "`listeners` is empty: leave it out"),
    "a path that is a number": ("state = 1", "`state` must be a path"),
    "an empty path": ("policies = ''", "`policies` must be a path"),
    "a path with a nul": ('policies = "a\\u0000b"', "`policies` must be a path"),
    "a flag that is a string": ("service_from_host = 'true'", "`service_from_host` must be true or false"),
    "a flag that is a number": ("service_from_host = 0", "`service_from_host` must be true or false"),
    "a number that is a flag": ("[limits]\nmessage_bytes = true", "`limits.message_bytes` must be an integer from"),
    "a number that is a fraction": ("[limits]\nmessage_bytes = 2048.0", "`limits.message_bytes` must be an integer"),
    "a number too small": ("[log]\ncheckpoint_interval_ms = 9", "must be an integer from 10 to 60000"),
    "a number too large": ("[log]\ncheckpoint_interval_ms = 60001", "must be an integer from 10 to 60000"),
    "a token that nobody can sign": (
        GATEWAY + "capabilities = ['issue_token']",
        "`gateways[0].capabilities` has `issue_token`, and there is no `url` in [minting]",
    ),
    "an identity that is a name": (GATEWAY + "identity = 'edge'", "`gateways[0].identity` must be a SPIFFE id"),
    "a key in clear": (GATEWAY + "keys_sha256 = ['secret']", "`gateways[0].keys_sha256[0]` must be 64 hex digits"),
    "a hop too many": (GATEWAY + "trusted_hops = 17", "`gateways[0].trusted_hops` must be an integer from 0 to 16"),
    "a gateway without name": ("[[gateways]]\nsignals = true", "`gateways[0].name` is missing"),
    "two gateways, one name": (GATEWAY + GATEWAY, "two gateways have the name `edge`: give each its own"),
    "two gateways, one identity": (
        GATEWAY + "identity = 'spiffe://a/b'\n" + MESH + "identity = 'spiffe://a/b'",
        "two gateways have the identity `spiffe://a/b`: give each its own",
    ),
    "two gateways, one key": (GATEWAY + KEYS + MESH + KEYS, "two gateways have the key `00000000…`: draw one for each"),
    "a listener for nobody": (
        GATEWAY + LISTENER.replace("edge", "edgy"),
        "`listeners[0].gateway` is `edgy`, which no [[gateways]] has for a name: did you mean `edge`?",
    ),
    "half of TLS": (
        GATEWAY + LISTENER + "certificate = 'c'",
        "`listeners[0]` has one of `certificate` and `private_key`",
    ),
    "authorities without TLS": (LISTENER.replace('gateway = "edge"', "client_ca = 'c'"), "takes a `certificate` and a"),
    "a gateway by certificate and by address": (
        GATEWAY + LISTENER.replace("127.0.0.1:1", "unix:s") + TLS + "client_ca = 'c'",
        "`listeners[0]` has a `gateway` and a `client_ca`: the certificate says who asks",
    ),
    "a gateway by the address of a network": (GATEWAY + LISTENER + TLS, "anybody could be that; give a `client_ca`"),
    "a protocol that is none": (GATEWAY + LISTENER + "protocol = 'h2'", '`listeners[0].protocol` must be "grpc" or'),
    "a digest that is short": ("bundle_digest = 'abc'", "`bundle_digest` must be 64 hex digits"),
    "a digest in upper case": (f"bundle_digest = '{'A' * 64}'", "`bundle_digest` must be 64 hex digits"),
    "an environment that leads elsewhere": ("settings = '../prod'", "`settings` must be a name"),
    "a label that is none": ("never_observe = ['Money']", "`never_observe[0]` must be a label"),
    "a count below none": ("compare_every = -1", "`compare_every` must be an integer from 0"),
    "an origin with a plus": ("[log]\norigin = 'a+b'", "`log.origin` must be"),
    "an origin with a space": ("[log]\norigin = 'a b'", "`log.origin` must be"),
    "an empty origin": ("[log]\norigin = ''", "`log.origin` must be"),
    "a method in lower case": ("[log]\nstrict_by_default = ['post']", "`log.strict_by_default[0]` must be"),
    "a method twice": ("[log]\nstrict_by_default = ['PUT', 'PUT']", "`log.strict_by_default[1]` names `PUT` again"),
    "methods that are a string": ("[log]\nstrict_by_default = 'POST'", "`log.strict_by_default` must be an array"),
    "bodies without a bound": ("[limits]\nhttp_body_bytes = 0", "`limits.http_body_bytes` must be an integer from"),
    "http on a socket": ("[http]\naddress = 'unix:x'", "`http.address` must be `IP:PORT`"),
    "an address without port": ("[http]\naddress = '127.0.0.1'", "`http.address` must be `IP:PORT`"),
    "an address without host": ("[http]\naddress = ':80'", "`http.address` must be `IP:PORT`"),
    "an address with a name": ("[http]\naddress = 'example.com:80'", "`http.address` must be `IP:PORT`"),
    "an address with a port too high": ("[http]\naddress = '127.0.0.1:65536'", "`http.address` must be `IP:PORT`"),
    "an address with a port of letters": ("[http]\naddress = '127.0.0.1:http'", "`http.address` must be `IP:PORT`"),
    "an IPv6 address without brackets": ("[http]\naddress = '::1:80'", "`http.address` must be `IP:PORT`"),
    "an IPv4 address in brackets": ("[http]\naddress = '[127.0.0.1]:80'", "`http.address` must be `IP:PORT`"),
    "a socket without a path": (LISTENER.replace("127.0.0.1:1", "unix:"), "or `unix:PATH`"),
    "a socket with a path too long": (LISTENER.replace("127.0.0.1:1", "unix:" + "x" * 101), "or `unix:PATH`"),
    "a listener without gateway": (
        "[[listeners]]\naddress = '127.0.0.1:1'",
        "`listeners[0].gateway` is missing: name who asks there",
    ),
    "a gateway with a space": (LISTENER.replace("edge", "my edge"), "`listeners[0].gateway` must be a name"),
    "no services": (GATEWAY + "services = []", "`gateways[0].services` must be an array of names of services, at"),
    "services not strings": (GATEWAY + "services = [1]", "`gateways[0].services[0]` must be a name"),
    "two listeners, one address": (GATEWAY + LISTENER + LISTENER, "have the address `127.0.0.1:1`"),
    "a listener where http is": (
        GATEWAY + LISTENER.replace(":1", ":8181"),
        "two listeners have the address `127.0.0.1:8181`",
    ),
    "an issuer without url": ("[[issuers]]\nkeys = 'k'\nalgorithms = ['ES256']", "`issuers[0].url` is missing"),
    "an issuer with a space": (ISSUER.replace("https://id", "https:// id"), "`issuers[0].url` must be"),
    "an issuer twice": (ISSUER + ISSUER, "two issuers have the url `https://id.example`"),
    "algorithm none": (ISSUER.replace("ES256", "none"), "`issuers[0].algorithms[0]` is `none`: it may be ES256, RS256"),
    "algorithm HS256": (ISSUER.replace("ES256", "HS256"), "`issuers[0].algorithms[0]` is `HS256`: it may be ES256"),
    "no algorithm": (ISSUER.replace('"ES256"', ""), "`issuers[0].algorithms` must be"),
    "no types": (ISSUER + "types = []", "`issuers[0].types` must be an array of media types, at least one"),
    "a type twice": (ISSUER + "types = ['JWT', 'application/jwt']", "names `application/jwt` again"),
    "ID tokens": (ISSUER + "types = ['ID-Token+JWT']", "`id-token+jwt`, which is no access token"),
    "DPoP proofs": (ISSUER + "types = ['dpop+jwt']", "`dpop+jwt`, which is no access token"),
    "a leeway over a minute": (ISSUER + "leeway_s = 61", "`issuers[0].leeway_s` must be an integer from 0 to 60"),
    "no lifetime": (ISSUER + "max_lifetime_s = 0", "`issuers[0].max_lifetime_s` must be an integer from 1"),
    "a root that is no key": ("[log]\nroot = 'pdp.example/log'", "`log.root`: not a verifier key"),
    "a root of another log": (
        f"[log]\norigin = 'a.example/log'\nroot = '{ROOT_VKEY}'",
        "`log.root` is a key of 'pdp.shop.example/log', the log is 'a.example/log'",
    ),
    "witnesses at no host": (
        "[log]\nwitness_policy = 'w.policy'",
        "`log` has one of `witness_policy` and `witness_hosts`: write both, or neither",
    ),
    "witnesses of no policy": (
        "[log]\nwitness_hosts = ['w.example']",
        "`log` has one of `witness_policy` and `witness_hosts`: write both, or neither",
    ),
    "a token of ten minutes": ("[minting]\nlife_s = 600", "`minting.life_s` must be an integer from 2 to 300"),
    "keys of nobody": ("[minting]\nlife_s = 30", "`minting` has no `url`: say what this service is called"),
    "a key that is not published in time": (
        MINTING + "publish_ahead_s = 60",
        "`minting`: a key is published ahead for at least the life of a token and the leeway",
    ),
    "keys that follow each other too fast": (
        MINTING + "rotate_every_s = 7199",
        "`minting`: keys rotate in turn: `rotate_every_s` is 7200 (twice `publish_ahead_s`) to",
    ),
    "an algorithm that we do not sign with": (
        "[minting]\nalgorithm = 'RS256'",
        '`minting.algorithm` must be "ES256" or "EdDSA"',
    ),
    "a store that is none": ("[shared]\nstore = 'mysql://h/d'", "`shared.store` must be an address that begins with"),
    "a store without a host": ("[shared]\nstore = 'redis:///0'", "`shared.store` names no host"),
    "a store with a port that is none": ("[shared]\nstore = 'redis://127.0.0.1:x'", "`shared.store` is no address"),
    "a store with its password": ("[shared]\nstore = 'redis://u:p@127.0.0.1'", "`shared.store` holds a password"),
    "a store in clear over a network": ("[shared]\nstore = 'redis://10.0.0.1'", "asks 10.0.0.1 without TLS"),
    "a store whose certificate is not held to its name": (
        "[shared]\nstore = 'postgresql://db.example/p?sslmode=require'",
        "asks db.example without TLS: write `rediss://`, or `sslmode=verify-full`",
    ),
    "a store that leads to another host": (
        "[shared]\nstore = 'postgresql://127.0.0.1/p?host=db.example'",
        "`shared.store` may not say `host`: of its parameters these are taken: application_name, sslcert",
    ),
    "a store whose certificate nobody looks at": (
        "[shared]\nstore = 'rediss://redis.example/0?ssl_cert_reqs=none'",
        "`shared.store` may not say `ssl_cert_reqs`",
    ),
    "a password among the parameters": (
        "[shared]\nstore = 'postgresql://127.0.0.1/p?password=secret'",
        "`shared.store` may not say `password`",
    ),
    "a password for nothing": ("[shared]\npassword_file = 'p'", "`shared.password_file` goes with `store`"),
    "administrators without an address": (
        "[admin]\nidentities = ['spiffe://a/b']",
        "`admin` has identities and no `address`",
    ),
    "administrators that nobody knows": (
        "[admin]\naddress = '0.0.0.0:9444'\ncertificate = 'c'\nprivate_key = 'k'",
        "`admin.address` needs client_ca, identities",
    ),
    "administration where http is": (
        ADMIN.replace(":0", ":8181"),
        "two listeners have the address `127.0.0.1:8181`",
    ),
    "a challenge that is a number": ("[challenges]\nmfa = 1", "`challenges.mfa` must be"),
    "a challenge with a space": ("[challenges]\nmfa = 'a b'", "`challenges.mfa` must be"),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, BASE)
    assert refused.value.code == "C103"
    assert refused.value.detail.startswith("1 problem in pdp.toml:\n")
    assert said in refused.value.detail


def test_all_mistakes_are_reported_at_once() -> None:
    text = (
        "stat = 1\n"
        + GATEWAY
        + LISTENER
        + ISSUER.replace("ES256", "none")
        + ISSUER
        + "types = ['dpop+jwt']\n[http]\naddress = 1"
    )
    with pytest.raises(ConfigError) as refused:
        parse_config(text, BASE, "x.toml")
    first, *lines = refused.value.detail.split("\n")
    assert first == "4 problems in x.toml:"
    assert len(lines) == 4


def test_two_free_ports_are_two_addresses() -> None:
    free = LISTENER.replace(":1", ":0")
    assert len(parse_config(GATEWAY + free + free, BASE).listeners) == 2


NOT_TOML = {"a line": "state", "a key twice": "state='a'\nstate='b'", "deep": "a = " + "[" * sys.getrecursionlimit()}


@pytest.mark.parametrize("text", NOT_TOML.values(), ids=NOT_TOML)
def test_what_is_not_toml_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match=r"pdp\.toml is not TOML") as refused:
        parse_config(text, BASE)
    assert refused.value.code == "C102"


def test_a_file_is_loaded_and_its_folder_counts(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("policies = 'p'")
    assert load_config(file).policies == tmp_path / "p"


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="--config") as refused:
            load_config(path)
        assert refused.value.code == "C101"
        assert str(path) in refused.value.detail


def test_a_file_that_is_no_text_or_no_configuration_is_said(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"state = '\xff'")
    with pytest.raises(ConfigError, match="byte 9 is not UTF-8"):
        load_config(file)
    file.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigError, match="no configuration"):
        load_config(file)


@given(
    st.dictionaries(
        st.sampled_from(["state", "policies", "log", "http", "listeners", "issuers", "challenges", "limits", "x"]),
        st.sampled_from(["1", "true", "'x'", "[]", "[1]", "{}", "[{}]", "{x = 1}", "[{x = 1}]", "1979-05-27", "nan"]),
    )
)
def test_any_document_is_a_configuration_or_a_named_problem(document: dict[str, str]) -> None:
    text = "\n".join(f"{name} = {value}" for name, value in document.items())
    try:
        parse_config(text, BASE)
    except ConfigError as error:
        assert error.code == "C103"


def test_a_class_without_keys_is_no_section() -> None:
    with pytest.raises(ValueError, match="no section"):
        keys_of(int)

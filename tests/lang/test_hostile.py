"""Bad input, by name: every one is a diagnostic of its own code, and a command that meets it says so and ends.

Nothing here may compile, raise anything but CompileError, or let a call through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pdp.cli import main
from policy_lang.compile import compile_policy, sources_of
from policy_lang.diagnostics import MOST_SHOWN, CompileError, render
from policy_lang.meaning.facts import FactsError, load_facts
from policy_lang.syntax.parser import MOST_BYTES

KIND = """token user { issuer "https://id.example"
  claim sub: string claim groups: set of string claim level: int claim since: time claim home: ip }
"""
SERVICE = 'service s { audience "s" host "s.example" endpoint e GET /e/{a} }\n'
ALLOW = 'allow all for any user on s when token.sub == path.a because "-"\n'
POLICY = f"module m\n{KIND}{SERVICE}{ALLOW}"

MANY = 10_000
MOST_RENDERED = 100_000
"""Characters that a person is shown at most, whatever the policy holds; a name may be as long as a file."""


def deny(condition: str) -> str:
    """The policy with one more rule."""
    return f'{POLICY}deny d for any user on s when {condition} because "-"\n'


def chained(count: int, condition: str) -> str:
    """Conditions c0 to c(count - 1), each of which reads `condition` of the one before as `@`."""
    return "".join(f"condition c{n} = {condition.replace('@', f'c{n - 1}')}\n" for n in range(1, count))


# ---------------------------------------------------------------- one file

CHARACTERS: dict[str, tuple[str, str]] = {
    "a bidi override in a comment": (f"{POLICY}# \u202e yna\n", "E103"),
    "a bidi isolate in a string": (deny('token.sub == "\u2066x"'), "E103"),
    "a right-to-left mark between words": (POLICY.replace("any user", "any \u200fuser"), "E103"),
    "NUL": (f"{POLICY}\x00", "E103"),
    "a terminal's escape sequence": (f"{POLICY}# \x1b[2J\n", "E103"),
    "a C1 control": (f"{POLICY}# \x9b2J\n", "E103"),
    "a line end that only some editors show": (f"{POLICY}label a\u2028label b\n", "E103"),
    "a carriage return alone": (f"{POLICY}# a comment\rdeny\n", "E103"),
    "a zero width space in a name": (f"{POLICY}label a\u200bb\n", "E103"),
    "a soft hyphen in a name": (f"{POLICY}label a\u00adb\n", "E103"),
    "invisible tag characters": (f"{POLICY}# \U000e0041\U000e0042\n", "E103"),
    "a byte order mark within": (f"{POLICY}\ufeff", "E103"),
    "a Cyrillic letter in a keyword": (f"{POLICY}l\u0430bel x\n", "E101"),
    "a Cyrillic letter in a label": (f"{POLICY}label p\u0430y\n", "E101"),
    "a Cyrillic letter in the name of a rule": (POLICY.replace("allow all", "allow \u0430ll"), "E101"),
    "a Cyrillic letter in a claim": (deny('token.s\u0443b == "x"'), "E101"),
    "a full-width letter": (f"{POLICY}label \uff41\n", "E101"),
    "a dotless i": (f"{POLICY}label \u0131d\n", "E101"),
    "a letter with a combining accent": (f"{POLICY}label e\u0301\n", "E101"),
    "a digit of another script": (deny("token.level == \u0661"), "E101"),
    "an escape that is no character": (deny(r'token.sub == "\u{110000}"'), "E112"),
    "an escape that is half a character": (deny(r'token.sub == "\u{d800}"'), "E112"),
    "a string that does not end": (deny('token.sub == "abc'), "E101"),
}

SIZES: dict[str, tuple[str, str]] = {
    "a literal of almost 1 MiB": (deny('token.sub == "' + "x" * (MOST_BYTES - len(POLICY) - 99) + '"'), "E106"),
    "a literal of 1 MiB": (deny('token.sub == "' + "x" * MOST_BYTES + '"'), "E105"),
    "a comment of 1 MiB": (f"{POLICY}#{'x' * MOST_BYTES}", "E105"),
    "a million digits": (deny(f"token.level == {'9' * 1_000_000}"), "E107"),
    "10,000 parentheses": (deny("(" * MANY + "token.level == 1" + ")" * MANY), "E104"),
    "10,000 parentheses that do not close": (deny("(" * MANY), "E104"),
    "10,000 parentheses that did not open": (deny(")" * MANY), "E101"),
    "10,000 braces": (POLICY + "{" * MANY, "E104"),
    "10,000 sets within each other": (deny("token.sub in " + "[" * MANY + "]" * MANY), "E104"),
    "10,000 negations": (deny("not " * MANY + "token.level == 1"), "E104"),
    "10,000 alternatives": (deny(" or ".join(["token.level == 1"] * MANY)), "E104"),
    "10,000 additions": (deny("token.since" + " + 1h" * MANY + " < now"), "E104"),
    "a set of a million members": (deny("token.sub in [" + '"a",' * 1_000_000 + '"a"]'), "E105"),
    "a large set with one member of another type": (deny(f"token.level in [{','.join('1' * 99_999)}, true]"), "E301"),
    "a large set of names": (deny(f"token.level in [{', '.join(f'z{n}' for n in range(MANY))}]"), "E200"),
    "a pattern that backtracks": (deny('token.sub like "' + "*a" * 2000 + '"'), "E308"),
    "a path of 10,000 segments": (SERVICE.replace("/e/{a}", "/a" * MANY).join(["module m\n", ""]), "E212"),
    "doubling conditions": (
        deny("c30")
        + "condition c0 = token.level > 0\n"
        + chained(31, "(@ and token.level != 9) or (not @ and token.level != 8)"),
        "E801",
    ),
    "conditions on top of each other": (
        deny("c200") + "condition c0 = token.level > 0\n" + chained(201, "@ and token.level > 0"),
        "E801",
    ),
    "10,000 unknown names beside 10,000 known ones": (
        POLICY + "".join(f"label l{n} network w{n} = no_such_{n}\n" for n in range(MANY)),
        "E200",
    ),
    "10,000 mistakes in one line": (POLICY + " ".join(f"network w{n} = z{n}" for n in range(MANY)), "E200"),
    "roles in a line of 2,000": (
        f"{POLICY}roles for user from token.groups {{ role r0 "
        + " ".join(f"role r{n} includes r{n - 1}" for n in range(1, 2000))
        + "}\n",
        "E232",
    ),
    "2,000 networks in one another": (
        f"{POLICY}network n0 = 10.0.0.0/24\n"
        + "".join(f"network n{n} = n{n - 1}, 10.{n // 125}.{n % 125 * 2}.0/24\n" for n in range(1, 2000)),
        "E232",
    ),
    "1,000 tags of a service": (
        POLICY.replace('host "s.example"', 'host "s.example" ' + " ".join(f'tag t{n} = "x"' for n in range(1000))),
        "E232",
    ),
    "paths that are all near each other": (
        'module m service s { audience "s" host "s.example"\n'
        + "".join(
            "endpoint e{} GET /{}\n".format(
                n, "/".join(f"{{c{bit}}}" if n >> bit & 1 else f"x{n}" for bit in range(11))
            )
            for n in range(2048)
        )
        + "}\n",
        "E232",
    ),
    "a role column that stands for hundreds of rows": (
        f"{deny('holds(r0, token.sub)')}relation holds (r: role, who: string)\n"
        "roles for user from token.groups { role r0 "
        + " ".join(f"role r{n} includes r{n - 1}" for n in range(1, 300))
        + "}\n",
        "E801",
    ),
    "rules that are other ones on each of 1,000 endpoints": (
        f'module m\n{KIND}service s {{ audience "s" host "s.example"\n'
        + "".join(f'endpoint e{n} GET /e{n} tag own = "{n}"\n' for n in range(1000))
        + "}\n"
        + "".join(f'deny d{n} for any user on s when endpoint.own == "{n}" because "-"\n' for n in range(100)),
        "E232",
    ),
    "a long set that is another one at each use": (
        deny('c("x")') + "condition c (x: string) = token.sub in [x" + ', "y"' * 1000 + "]\n",
        "E801",
    ),
}

VALUES: dict[str, tuple[str, str]] = {
    "an integer of 2^63": (deny("token.level == 9223372036854775808"), "E107"),
    "an integer below -2^63": (deny("token.level == -9223372036854775809"), "E107"),
    "a range that ends at 2^63": (POLICY.replace("level: int", "level: int 0..9223372036854775808"), "E107"),
    "a duration beyond 64 bits": (deny("now - token.since > 106751991168d"), "E107"),
    "a leap second": (deny("now < 2016-12-31T23:59:60Z"), "E108"),
    "a leap second in a test": (
        f'{POLICY}test "t" {{ given now 2016-12-31T23:59:60Z call s GET /e/x expect deny }}\n',
        "E108",
    ),
    "the 30th of February": (deny("now < 2026-02-30"), "E108"),
    "the year 0": (deny("now < 0000-01-01"), "E108"),
    "the hour 24": (deny("now < 2026-01-01T24:00:00Z"), "E108"),
    "an address with a leading zero": (deny("request.ip == 010.0.0.1"), "E122"),
    "an address with a zone": (deny("request.ip == fe80::1%eth0"), "E101"),
    "a mapped range with bits behind its prefix": (f"{POLICY}network n = ::ffff:a00:1/104\n", "E121"),
    "a prefix of 33 bits": (deny("request.ip in 10.0.0.0/33"), "E122"),
    "a claim that is compared with another type": (deny("token.sub > 5"), "E301"),
    "a set that is compared with a text": (deny('token.groups == "a"'), "E301"),
    "an address that is compared with a text": (deny('request.ip == "10.0.0.1"'), "E301"),
    "a claim of the wrong type in a test": (
        f'{POLICY}test "t" {{ given token user {{ sub: 1 }} call s GET /e/x expect deny }}\n',
        "E301",
    ),
    "an integer of 2^63 in a test": (
        f'{POLICY}test "t" {{ given token user {{ level: 9223372036854775808 }} call s GET /e/x expect deny }}\n',
        "E107",
    ),
    "a setting without a value": (f"{POLICY}setting limit: int\n", "E229"),
    "a setting whose default is of another type": (f'{POLICY}setting limit: int = "1"\n', "E301"),
    "a language of the future": (f"language 99\n{POLICY}", "E111"),
    "a path with dots in disguise": (POLICY.replace("/e/{a}", "/e/%2e%2e/{a}"), "E212"),
    "no words at all": ("", "E102"),
    "a comment alone": ("# nothing", "E102"),
    "a byte order mark alone": ("\ufeff", "E102"),
}

CIRCLES: dict[str, tuple[str, str]] = {
    "a condition that is itself": (f"{POLICY}condition c = c\n", "E230"),
    "a condition that is its own contrary": (f"{deny('a')}condition a = not b\ncondition b = not a\n", "E230"),
    "a condition with an argument, round about": (f"{deny('c(token.sub)')}condition c (x: string) = c(x)\n", "E230"),
    "5,000 conditions in a circle": (
        f"{deny('c7')}" + "".join(f"condition c{n} = c{(n + 1) % 5000}\n" for n in range(5000)),
        "E230",
    ),
    "networks in a circle": (f"{POLICY}network a = b\nnetwork b = 10.0.0.0/8 except a\n", "E230"),
    "roles in a circle": (
        f"{POLICY}roles for user from token.groups {{ role a includes b role b includes a }}\n",
        "E230",
    ),
}

ONE_FILE = {
    **{f"character: {name}": case for name, case in CHARACTERS.items()},
    **{f"size: {name}": case for name, case in SIZES.items()},
    **{f"value: {name}": case for name, case in VALUES.items()},
    **{f"circle: {name}": case for name, case in CIRCLES.items()},
}

# ---------------------------------------------------------------- several files

RELATION = "relation shared (who: string, level: int)\n"
USES_SETTING = "setting limit: int\n"

SEVERAL: dict[str, tuple[dict[str, str | bytes], str]] = {
    "bytes that are no UTF-8": ({"m.pol": POLICY.encode() + b"# \xff"}, "E100"),
    "half a character, encoded": ({"m.pol": POLICY.encode() + b"# \xed\xa0\x80"}, "E100"),
    "a character in more bytes than it needs": ({"m.pol": POLICY.encode() + b"# \xc0\xaf"}, "E100"),
    "UTF-16": ({"m.pol": POLICY.encode("utf-16")}, "E100"),
    "two modules that import each other": (
        {"m.pol": POLICY, "a.pol": "module a import b (y)\nlabel x", "b.pol": "module b import a (x)\nlabel y"},
        "E220",
    ),
    "a module that imports itself": ({"m.pol": POLICY, "a.pol": "module a import a (x)\nlabel y"}, "E220"),
    "a thousand modules in a circle": (
        {
            "m.pol": POLICY,
            **{
                f"{n}.pol": f"module a{n} import a{(n + 1) % 1000} (x{(n + 1) % 1000})\nlabel x{n}" for n in range(1000)
            },
        },
        "E220",
    ),
    "two files of one module": ({"a.pol": POLICY, "b.pol": "module m\nlabel x"}, "E206"),
    "one file twice": ({"a.pol": POLICY, "b.pol": POLICY}, "E206"),
    "a large enum imported everywhere": (
        {
            "m.pol": POLICY,
            "e.pol": f"module e enum big = {' | '.join(f'v{n}' for n in range(1000))}",
            **{f"{n}.pol": f"module a{n} import e (big)" for n in range(200)},
        },
        "E232",
    ),
    "a setting that the environment does not bind": (
        {"m.pol": POLICY + USES_SETTING, "settings/prod.toml": ""},
        "E229",
    ),
    "a setting of another type": ({"m.pol": POLICY + USES_SETTING, "settings/prod.toml": 'limit = "1"'}, "E233"),
    "a setting beyond 64 bits": (
        {"m.pol": POLICY + USES_SETTING, "settings/prod.toml": "limit = 9223372036854775808"},
        "E233",
    ),
    "a setting of a million digits": (
        {"m.pol": POLICY + USES_SETTING, "settings/prod.toml": f"limit = {'9' * 1_000_000}"},
        "E227",
    ),
    "settings that are no TOML": ({"m.pol": POLICY, "settings/prod.toml": "limit = = 1"}, "E227"),
    "settings that are no UTF-8": ({"m.pol": POLICY, "settings/prod.toml": b"a = '\xff'"}, "E227"),
    "settings of 2 MiB": ({"m.pol": POLICY, "settings/prod.toml": "#" * 2**21}, "E227"),
    "settings nested 100,000 deep": ({"m.pol": POLICY, "settings/prod.toml": f"a = {'[' * 100_000}"}, "E227"),
    "a key of 100,000 steps": ({"m.pol": POLICY, "settings/prod.toml": f"{'a.' * 100_000}a = 1"}, "E227"),
    "90,000 settings that nobody declares": (
        {"m.pol": POLICY, "settings/prod.toml": "".join(f"a{n}=1\n" for n in range(90_000))},
        "E228",
    ),
    "no policy among the files": ({"README": "x"}, "E113"),
}

FACTS: dict[str, tuple[dict[str, str | bytes], str]] = {
    "a row of the wrong type": ({"facts/m.shared.csv": "who,level\na,high\n"}, "`high`"),
    "an integer beyond 64 bits": ({"facts/m.shared.csv": "who,level\na,9223372036854775808\n"}, "9223372036854775808"),
    "an integer of a million digits": (
        {"facts/m.shared.csv": f"who,level\na,{'9' * 1_000_000}\n"},
        "facts/m.shared.csv",
    ),
    "digits of another script": ({"facts/m.shared.csv": "who,level\na,\u0661\n"}, "facts/m.shared.csv:2"),
    "a bidi override": ({"facts/m.shared.csv": "who,level\n\u202ea,1\n"}, "facts/m.shared.csv:2"),
    "NUL": ({"facts/m.shared.csv": "who,level\na\x00,1\n"}, "facts/m.shared.csv:2"),
    "a column too many": ({"facts/m.shared.csv": "who,level\na,1,2\n"}, "facts/m.shared.csv:2"),
    "a header of other columns": ({"facts/m.shared.csv": "who,rank\n"}, "rank"),
    "a quote that does not end": ({"facts/m.shared.csv": 'who,level\n"a,1\n'}, "facts/m.shared.csv"),
    "bytes that are no UTF-8": ({"facts/m.shared.csv": b"who,level\n\xff,1\n"}, "UTF-8"),
    "no file": ({}, "facts/m.shared.csv"),
    "two files": ({"facts/m.shared.csv": "who,level\n", "facts/m.shared.json": "[]"}, "facts/m.shared.json"),
    "a file for nobody": ({"facts/m.shared.csv": "who,level\n", "facts/m.other.csv": "a\n"}, "facts/m.other.csv"),
    "JSON nested 100,000 deep": ({"facts/m.shared.json": "[" * 100_000}, "facts/m.shared.json"),
    "JSON with a key twice": ({"facts/m.shared.json": '[{"who": "a", "who": "b", "level": 1}]'}, "facts/m.shared.json"),
    "JSON with a number that is none": ({"facts/m.shared.json": '[{"who": "a", "level": NaN}]'}, "facts/m.shared.json"),
    "JSON with a fraction": ({"facts/m.shared.json": '[{"who": "a", "level": 1.5}]'}, "facts/m.shared.json"),
    "JSON that is no list": ({"facts/m.shared.json": '{"who": "a"}'}, "facts/m.shared.json"),
}


def encoded(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}


def refused(files: Mapping[str, bytes], settings: str | None = None) -> CompileError:
    with pytest.raises(CompileError) as error:
        compile_policy(files, settings)
    return error.value


@pytest.mark.parametrize("name", ONE_FILE)
def test_is_refused_by_name(name: str) -> None:
    text, code = ONE_FILE[name]
    files = encoded({"m.pol": text})
    error = refused(files)
    assert code in {each.code for each in error.diagnostics}, error.diagnostics[:3]
    assert len(render(error.diagnostics, sources_of(files))) < MOST_RENDERED


@pytest.mark.parametrize("name", SEVERAL)
def test_a_bundle_is_refused_by_name(name: str) -> None:
    files, code = SEVERAL[name]
    environment = "prod" if "settings/prod.toml" in files else None
    error = refused(encoded(files), environment)
    assert code in {each.code for each in error.diagnostics}, error.diagnostics[:3]


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_refused_by_name(name: str) -> None:
    files, told = FACTS[name]
    program = compile_policy(encoded({"m.pol": POLICY + RELATION + SHARED})).program
    with pytest.raises(FactsError) as error:
        load_facts(program, encoded(files))
    assert any(told in problem for problem in error.value.problems), error.value.problems
    assert all(len(problem) < 1000 for problem in error.value.problems)


SHARED = 'deny shares for any user on s when shared(token.sub, 1) because "-"\n'

LARGEST: dict[str, str] = {
    "an integer of 2^63 - 1": deny("token.level == 9223372036854775807"),
    "an integer of -2^63": deny("token.level == -9223372036854775808"),
    "a set of 100,000 integers": deny(f"token.level in [{','.join(map(str, range(100_000)))}]"),
    "an enum of 50,000 values": f"{POLICY}enum e = {' < '.join(f'v{n}' for n in range(50_000))}\n",
    "a mapped address": deny("request.ip == ::ffff:10.0.0.1"),
    "the last day there is": deny("now > 9999-12-31"),
    "lines that end as on Windows": POLICY.replace("\n", "\r\n"),
    "an escape for what cannot be seen": deny(r'token.sub == "\u{202e}"'),
}


@pytest.mark.parametrize("name", LARGEST)
def test_what_is_large_and_legal_compiles(name: str) -> None:
    compile_policy(encoded({"m.pol": LARGEST[name]}))


def test_a_mapped_address_is_the_one_it_maps_to() -> None:
    written, plain = (
        compile_policy(encoded({"m.pol": deny(f"request.ip == {ip}")})) for ip in ("::ffff:10.0.0.1", "10.0.0.1")
    )
    assert written.program.atoms == plain.program.atoms


def test_errors_are_shown_a_hundred_at_a_time() -> None:
    files = encoded({"m.pol": ONE_FILE["size: 10,000 mistakes in one line"][0]})
    error = refused(files)
    assert len(error.diagnostics) == MANY
    assert render(error.diagnostics, sources_of(files)).endswith(f"{MANY - MOST_SHOWN} more not shown")


# ---------------------------------------------------------------- commands


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Pdp:
    """`pdp` in this process, in an empty folder with these files under `p`."""

    home: Path
    capfd: pytest.CaptureFixture[str]

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, data in encoded(files).items():
            path = self.home / "p" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def run(self, *arguments: str) -> Done:
        self.capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return Done(int(end.value.code or 0), *self.capfd.readouterr())


@pytest.fixture
def pdp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Pdp:
    monkeypatch.chdir(tmp_path)
    return Pdp(tmp_path, capfd)


COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "p"),
    "test": ("test", "p"),
    "decide": (
        *("decide", "GET", "https://s.example/e/u", "--as", "user", "--set", "sub=u", "--set", "aud=s"),
        *("--policies", "p"),
    ),
}
ENDS = {"check": 1, "test": 2, "decide": 2}
"""How each ends where the policy does not compile: what is asked about is bad, or what it is asked with."""

ASKED: dict[str, dict[str, str | bytes]] = {
    "a bidi override": {"m.pol": CHARACTERS["a bidi override in a comment"][0]},
    "a terminal's escape sequence": {"m.pol": CHARACTERS["a terminal's escape sequence"][0]},
    "a Cyrillic letter": {"m.pol": CHARACTERS["a Cyrillic letter in a claim"][0]},
    "10,000 parentheses": {"m.pol": SIZES["10,000 parentheses"][0]},
    "a literal of 1 MiB": {"m.pol": SIZES["a literal of 1 MiB"][0]},
    "bytes that are no UTF-8": SEVERAL["bytes that are no UTF-8"][0],
    "modules in a circle": SEVERAL["two modules that import each other"][0],
    "two files of one module": SEVERAL["two files of one module"][0],
    "a leap second": {"m.pol": VALUES["a leap second"][0]},
    "a setting without a value": {"m.pol": VALUES["a setting without a value"][0]},
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ASKED)
def test_a_command_names_it_and_never_allows(pdp: Pdp, name: str, command: str) -> None:
    pdp.write(ASKED[name])
    done = pdp.run(*COMMANDS[command])
    assert done.code == ENDS[command], done
    assert "error[E" in done.err
    assert "Traceback" not in done.err
    assert "\x1b" not in done.out + done.err
    assert "\u202e" not in done.out + done.err
    assert "allow" not in done.out


def test_the_same_policy_without_it_allows(pdp: Pdp) -> None:
    """So what is refused above is refused for what is named there."""
    pdp.write({"m.pol": POLICY})
    assert pdp.run(*COMMANDS["check"]).code == 0
    done = pdp.run(*COMMANDS["decide"], *(f"--set={claim}" for claim in CLAIMS))
    assert (done.code, done.out.split()[0]) == (0, "allow"), done


CLAIMS = ("groups=[]", "level=1", "since=0", "home=10.0.0.1")

WRONG_CLAIMS: dict[str, str] = {
    "an integer of 2^63": "level=9223372036854775808",
    "an integer of a thousand digits": f"level={'9' * 1000}",
    "an integer in quotes": 'level="1"',
    "a fraction": "level=1.5",
    "a time beyond 64 bits": "since=99999999999999999999",
    "a text for a set": "groups=a",
    "an address with a zone": "home=fe80::1%eth0",
    "an address with a leading zero": "home=010.0.0.1",
    "no value": "level=null",
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
def test_a_claim_of_the_wrong_type_is_refused(pdp: Pdp, name: str) -> None:
    pdp.write({"m.pol": POLICY})
    done = pdp.run(
        *COMMANDS["decide"], *(f"--set={claim}" for claim in CLAIMS), f"--set={WRONG_CLAIMS[name]}", "--json"
    )
    assert done.code == 1, done
    assert json.loads(done.out)["decision"] == "deny"
    assert "schema" in done.out


WRONG_CALLS: dict[str, str] = {
    "dots": "https://s.example/e/../e/u",
    "dots in disguise": "https://s.example/e/%2e%2e/u",
    "NUL": "https://s.example/e/%00",
    "a slash in disguise": "https://s.example/e/u%2f",
    "half a character": "https://s.example/e/%ed%a0%80",
    "a bidi override": "https://s.example/e/\u202eu",
    "a million characters": f"https://s.example/e/{'u' * 100_000}",
    "an address for a host": "https://[::ffff:10.0.0.1]/e/u",
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_call_that_nobody_declared_is_refused(pdp: Pdp, name: str) -> None:
    pdp.write({"m.pol": POLICY})
    asked = [WRONG_CALLS[name] if each.startswith("https:") else each for each in COMMANDS["decide"]]
    done = pdp.run(*asked, *(f"--set={claim}" for claim in CLAIMS))
    assert done.code in {1, 2}, done
    assert not done.out.startswith("allow")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_the_wrong_form_decide_nothing(pdp: Pdp, name: str) -> None:
    files, _ = FACTS[name]
    pdp.write({"m.pol": POLICY + RELATION + SHARED, **files})
    done = pdp.run(*COMMANDS["decide"], *(f"--set={claim}" for claim in CLAIMS))
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert "allow" not in done.out


# ---------------------------------------------------------------- documents of others


def openapi(paths: object, **parts: object) -> bytes:
    return json.dumps({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths, **parts}).encode()


LOOP = {"$ref": "#/components/schemas/A"}
ROUND = {"A": {"$ref": "#/components/schemas/B"}, "B": LOOP}


def test_of_5000_paths_those_in_a_circle_are_left_out_by_name(pdp: Pdp) -> None:
    paths = {}
    for n in range(5000):
        schema = LOOP if n % 2 else {"type": "string"}
        parameters = [{"name": "id", "in": "path"}, {"name": "q", "in": "query", "schema": schema}]
        paths[f"/things{n}/{{id}}"] = {"get": {"parameters": parameters}}
    (pdp.home / "api.json").write_bytes(openapi(paths, components={"schemas": ROUND}))
    done = pdp.run("import", "openapi", "api.json", "--output", "p/api.pol")
    assert done.code == 1, done
    assert "leads back to itself" in done.err
    written = (pdp.home / "p" / "api.pol").read_text()
    assert written.count("\n  endpoint ") == 2500
    assert "things1/" not in written


CIRCULAR: dict[str, bytes] = {
    "paths in a circle": openapi({"/a": {"$ref": "#/paths/~1b"}, "/b": {"$ref": "#/paths/~1a"}}),
    "a parameter in a circle": openapi(
        {"/a": {"get": {"parameters": [{"$ref": "#/components/parameters/P"}]}}},
        components={"parameters": {"P": {"$ref": "#/components/parameters/P"}}},
    ),
}


@pytest.mark.parametrize("name", CIRCULAR)
def test_what_leads_back_to_itself_is_left_out(pdp: Pdp, name: str) -> None:
    (pdp.home / "api.json").write_bytes(CIRCULAR[name])
    done = pdp.run("import", "openapi", "api.json")
    assert done.code == 1, done
    assert "leads back to itself" in done.err
    assert "\n  endpoint " not in done.out


BAD_DOCUMENTS: dict[str, bytes] = {
    "no document": b"\xff\xfe",
    "a list": b"[]",
    "YAML that names itself": b"openapi: 3.0.3\npaths: &a\n  /x: *a\n",
    "nested 100,000 deep": b"[" * 100_000,
    "anchors that double": b"a: &a [x]\n"
    + b"".join(b"b%d: &b%d [*%s, *%s]\n" % (n, n, *([b"b%d" % (n - 1) if n else b"a"] * 2)) for n in range(40)),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_document_that_is_none_is_refused(pdp: Pdp, name: str) -> None:
    (pdp.home / "api.yaml").write_bytes(BAD_DOCUMENTS[name])
    done = pdp.run("import", "openapi", "api.yaml", "--output", "p/api.pol")
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert not (pdp.home / "p").exists()

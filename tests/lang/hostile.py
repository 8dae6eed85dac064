"""Bad input as data: policies, bundles and facts, each by what is wrong with it, and the code or words that name it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.syntax.parser import MOST_BYTES

KIND = """token user { issuer "https://id.example"
  claim sub: string claim groups: set of string claim level: int claim since: time claim home: ip }
"""
SERVICE = 'service s { audience "s" host "s.example" endpoint e GET /e/{a} }\n'
ALLOW = 'allow all for any user on s when token.sub == path.a because "-"\n'
POLICY = f"module m\n{KIND}{SERVICE}{ALLOW}"

MANY = 10_000


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
    "a line of hashes above what no policy begins with": (f"{'#' * 100}\n{'# ' * 100}\n@\n{POLICY}", "E101"),
    "brackets and bars in a pattern": (deny(f'token.sub like "{"(" * 2000}{"|" * 2000}"'), "E308"),
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

# ---------------------------------------------------------------- facts

SHARED = 'deny shares for any user on s when shared(token.sub, 1) because "-"\n'

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


# ---------------------------------------------------------------- asking


def encoded(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}


def refused(files: Mapping[str, bytes], settings: str | None = None) -> CompileError:
    with pytest.raises(CompileError) as error:
        compile_policy(files, settings)
    return error.value

"""Pairs of a name and a pattern that often fit, what pycasbin says of them, and where we may say something else."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from random import Random

from casbin.util import builtin_operators as theirs

from policy_lang.ir.tables import FunctionName
from policy_lang.meaning.key_patterns import Pattern, pattern
from policy_lang.meaning.pattern_forms import admits

THEIRS: dict[FunctionName, Callable[[str, str], bool]] = {
    "keyMatch": theirs.key_match,
    "keyMatch2": theirs.key_match2,
    "keyMatch3": theirs.key_match3,
    "keyMatch4": theirs.key_match4,
    "keyMatch5": theirs.key_match5,
    "globMatch": theirs.glob_match,
    "regexMatch": theirs.regex_match,
}

SIGNS: dict[FunctionName, tuple[str, ...]] = {
    "globMatch": ("ab//.*?[]-{},!\\**^", "ab//.**?", "ab/{,}*", "ab/[-]!^?."),
    "regexMatch": ("ab/.*?[]-{}()|^$\\+2,:dwi", "ab/.*|()$", "a/\\\\\\dDwWsSbB[^]+*"),
}
KEY_SIGNS = ("ab//:{}*?.[]-\\", "ab//:{}*", "ab/:{}*()|+^$\\")

_CLASS = re.compile(r"\\[dDwWsSb]")
_SIGNS_OF = re.compile("[é\u0663\x0b\xa0]")

SHORTENED_ENDS = ("", "", "", "", "/", "\n", "?a", ".", "b", "/b", "/.a", "//")


def they_say(function: FunctionName, name: str, text: str) -> bool | None:
    """What pycasbin answers; None where it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return THEIRS[function](name, text)
        except Exception:  # noqa: BLE001 - whatever it raises, it has no answer
            return None


def texts(function: FunctionName, random: Random) -> str:
    """A pattern out of the signs of its function."""
    signs = random.choice(SIGNS.get(function, KEY_SIGNS))
    return random.choice(("", "/", "/")) + "".join(random.choices(signs, k=random.randint(0, 9)))


def names(text: str, random: Random) -> str:
    """A name that looks like the pattern, its signs replaced by what they may stand for."""
    if random.random() < 0.25:
        return "".join(random.choices("ab//.-\n?{}é\u0663\x0b\xa0", k=random.randint(0, 6)))
    looks = (
        random.choice("ab/ab/é\u0663\x0b\xa0") if sign in "*?{}[]:.\\" and random.random() < 0.7 else sign
        for sign in text
        if random.random() < 0.92
    )
    return "".join(looks) + random.choice(SHORTENED_ENDS)


def pairs(function: FunctionName, seed: int, count: int) -> Iterator[tuple[str, str]]:
    """So many patterns, each with five names."""
    random = Random(seed)
    for _ in range(count):
        text = texts(function, random)
        for _ in range(5):
            yield names(text, random), text


def reason(function: FunctionName, name: str, text: str, we_say: bool | None, said: str) -> str:
    """Why we may differ from pycasbin here; "" where we may not. Never where we say yes."""
    if we_say:
        return ""
    asked = name.partition("?")[0] if function == "keyMatch5" else name
    if we_say is False and asked.endswith("\n") and they_say(function, name, text) and function != "globMatch":
        return "`$` is the end of the text and not the place before a last line break"
    if we_say is None and not said:
        return "engines differ on the name" if _SIGNS_OF.search(asked) and _CLASS.search(text) else ""
    if we_say is None and function != "globMatch":
        if "RE2 cannot read it" in said:
            return "Python reads expressions that RE2 does not: possessive repetition, escapes"
        if "engines read" in said:
            return "engines read the expression differently"
        if "groups besides" in said:
            return "keyMatch4 with groups of its own raises for some names only"
    if we_say is None and function == "globMatch":
        if "brace" in said:
            return "braces that are not well formed are not read"
        if "stands before a `/` or the end" in said:
            return "a backslash that escapes nothing is not read"
    return ""


def compared(function: FunctionName, seed: int, count: int) -> tuple[Counter[bool | None], list[str]]:
    """How often we said what, and every difference without a reason, every form that keeps out what fits, and
    every pattern that strict reads otherwise.
    """
    said: Counter[bool | None] = Counter()
    faults: list[str] = []
    reading = cache(partial(pattern, function))
    for name, text in pairs(function, seed, count):
        read = reading(text, mode="compat")
        we_say = read.fits(name) if isinstance(read, Pattern) else None
        said[we_say] += 1
        they = they_say(function, name, text)
        why_none = "" if isinstance(read, Pattern) else read.said
        if we_say != they and not reason(function, name, text, we_say, why_none):
            faults.append(f"{function}({name!r}, {text!r}): we {we_say} {why_none}, they {they}")
        strict = reading(text, mode="strict")
        if isinstance(strict, Pattern) and strict != read:
            faults.append(f"{function}: {text!r} means something else in strict")
        if isinstance(read, Pattern) and we_say and not admits(read.form, name):
            faults.append(f"{function}: the form {read.form} of {text!r} keeps out {name!r}")
    return said, faults


def plain_regex(text: str) -> re.Pattern[str]:
    """Python's own expression, its end where ours is."""
    return re.compile(text.removesuffix("$") + (r"\Z" if text.endswith("$") else ""))

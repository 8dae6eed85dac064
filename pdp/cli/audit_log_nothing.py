"""What is said where nothing of a log is what was asked for: how much was looked at, and what was perhaps meant.

What a listing looked at comes in (`pdp.audit.listing.Looked`), one line for standard error goes out. An empty answer to
a name that was mistyped would else read as "it never happened".
"""

from __future__ import annotations

from collections.abc import Iterator

from pdp.audit.archive import Archived
from pdp.audit.disk import Folder
from pdp.audit.following import Following
from pdp.audit.listing import Asked, Looked, listed
from pdp.audit.selection import Selection, is_under
from pdp.state import State
from policy_lang.diagnostics import nearest, printable

MOST_SHOWN = 5
"""Words that are listed where none is near to the one that was given."""


def nothing_matched(looked: Looked) -> str:
    """The line for a listing that is empty."""
    said = [f"{looked.records:,} records were looked at, none is what was asked for", *_unknown(looked)]
    return f"note: {printable('; '.join(said))}"


def nothing_there(place: State, selection: Selection) -> str:
    """The same for the log of a state, which is read for it. Errors: as `pdp.audit.listing.listed`."""
    looked = Looked(selection)
    log = Following(Archived(Folder(place.log)), Folder(place.wal), lambda _: None)
    for _ in listed([log], Asked(selection), lambda _: None, lambda *_: None, looked):
        pass
    return nothing_matched(looked)


def _unknown(looked: Looked) -> Iterator[str]:
    """Of each word that no record has, what may have been meant."""
    for name, wanted in looked.wanted.items():
        seen = looked.seen[name]
        for word in sorted(wanted):
            if any(is_under(each, word) for each in seen):
                continue
            known = ", ".join(f"`{each}`" for each in sorted(seen)[:MOST_SHOWN])
            more = " …" if len(seen) > MOST_SHOWN else ""
            hint = nearest(word, seen) or (f"there are {known}{more}" if seen else "no record has any")
            yield f"--{name} `{word}` is in no record: {hint}"

"""Ten thousand random single edits below the newest checkpoint: each is found, from the folder and the key alone.

For any log L and any edit e with e(L) != L: verify(e(L)) is 20, 30 or 40. A hundred thousand more, of other seeds,
are a part of the nightly runs (tests/nightly/test_edits.py). Source: contracts.md "The log, from the first commit".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.random_edits import KINDS, Edited, exit_code, small_log, try_edits

EDITS = {60: 8_600, 260: 1_400}
"""How many edits of a log of so many records: of one bundle, and of two bundles under two levels of hashes."""


@pytest.mark.parametrize("size", EDITS)
def test_every_random_edit_is_found(tmp_path: Path, size: int) -> None:
    log = small_log(tmp_path, size)
    assert exit_code(log) == 0
    edited = Edited()
    try_edits(log, size, f"edits of {size}", EDITS[size], edited)
    assert edited.missed == []
    assert edited.kinds.total() == EDITS[size]
    assert set(edited.kinds) == KINDS
    assert min(edited.kinds.values()) > EDITS[size] // len(KINDS) // 2

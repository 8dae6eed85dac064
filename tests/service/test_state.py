"""The state folder: ours alone, and one service at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.errors import StateError
from pdp.state import prepare_state, sole_use


def test_a_missing_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    state = prepare_state(tmp_path / "deep" / "state")
    for folder in (state.root, state.wal, state.log, state.bundles, state.keys):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_refused_with_the_remedy(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir()
    root.chmod(0o755)
    with pytest.raises(StateError, match="chmod 700"):
        prepare_state(root)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(StateError, match="not usable"):
        prepare_state(tmp_path / "state")


def test_a_second_service_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    state = prepare_state(tmp_path / "state")
    with sole_use(state), pytest.raises(StateError, match="another `pdp serve`"), sole_use(state):
        pass
    with sole_use(state):
        pass

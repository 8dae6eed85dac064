"""Every attack of the corpus changes the exit code of `pdp audit verify`; each says what its discovery needs.

Where it needs a known head, `verify` without one must end 0: the log is sound in itself, and is not the log it was.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from pdp.audit.leaf import parse
from pdp.state import State
from tests.support.command import Pdp
from tests.support.log_attacks import ALONE, ATTACKS, HEAD, Scene, decided, make_scene


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene(found: Scene, tmp_path: Path) -> Scene:
    """A copy to work on."""
    return Scene(shutil.copytree(found.state, tmp_path / "state"), found.earlier, found.head)


def test_what_is_attacked_is_sound(pdp: Pdp, scene: Scene) -> None:
    assert pdp("audit", "verify", "--state", scene.state).code == 0
    assert pdp("audit", "verify", "--state", scene.state, "--known-head", scene.head).code == 0
    assert pdp("audit", "verify", "--state", scene.earlier).code == 0


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs == ALONE])
def test_from_the_folder_and_the_key_alone(pdp: Pdp, scene: Scene, name: str) -> None:
    ATTACKS[name].act(scene)
    checked = pdp("audit", "verify", "--state", scene.state)
    assert checked.code == ATTACKS[name].code, checked.out


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.needs == HEAD])
def test_with_a_known_head_or_a_witness_only(pdp: Pdp, scene: Scene, name: str) -> None:
    ATTACKS[name].act(scene)
    alone = pdp("audit", "verify", "--state", scene.state)
    assert alone.code == 0, alone.out
    checked = pdp("audit", "verify", "--state", scene.state, "--known-head", scene.head)
    assert checked.code == ATTACKS[name].code, checked.out


# ---------------------------------------------------------------- beside the tree


def widen(state: State) -> None:
    """The stored policy allows everything, under the name that its records state."""
    (bundle,) = state.bundles.glob("*.zip")
    with zipfile.ZipFile(bundle) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(bundle, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data.replace(b"deny", b"allow"))


def test_policy_bytes_changed_under_the_same_digest_decide_nothing_again(pdp: Pdp, tmp_path: Path) -> None:
    """Needs the folder alone: the records state the digest."""
    state, record_id = decided(tmp_path / "state", "/health", {})
    assert pdp("audit", "show", record_id, "--why", "--state", state.root).code == 0
    widen(state)
    shown = pdp("audit", "show", record_id, "--why", "--state", state.root)
    assert shown.code == 2
    assert "P105" in shown.err


def test_policy_bytes_changed_under_the_same_digest_are_found(pdp: Pdp, tmp_path: Path) -> None:
    """Needs the folder and the key alone: `policy.activated` and the records state the digest."""
    state, _ = decided(tmp_path / "state", "/health", {})
    assert pdp("audit", "verify", "--state", state.root).code == 0
    widen(state)
    assert pdp("audit", "verify", "--state", state.root).code == 40


def test_a_box_moved_by_who_has_the_signing_key_is_not_opened(pdp: Pdp, scene: Scene) -> None:
    """Needs the box key: `verify` has none, `show --why` opens the box and finds it sealed for another record."""
    ATTACKS["a box is moved to another record, and the log signed again"].act(scene)
    moved = parse(scene.leaves()[7]).id
    shown = pdp("audit", "show", moved, "--why", "--state", scene.state)
    assert shown.code == 1
    assert "do not belong to this record" in shown.out

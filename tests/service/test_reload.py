"""The reloader over a real folder and a log in memory: what is put in force, what waits, and what a restart does."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from pdp.errors import AuditError, PolicyError
from pdp.model import Json
from pdp.runtime.acceptance import Conditions
from pdp.runtime.reload import Outcome, Reloader
from pdp.runtime.sources import FolderSource
from pdp.runtime.store import BundleStore, EngineHolder
from tests.support.cases import POLICY

SECOND = b"""module second
service second {
  audience none
  host "second.example"
  endpoint ping GET /ping
}
allow anyone_pings for anyone on second.ping because "ping"
"""


class _Run:
    """One run of the service as far as its policy goes: a holder of its own, on stored bundles that outlive it."""

    def __init__(
        self,
        folder: Path,
        stored: Path,
        *,
        development: bool = False,
        settings: str | None = None,
        never_observe: tuple[str, ...] = (),
    ) -> None:
        stored.mkdir(exist_ok=True)
        self.holder = EngineHolder()
        self.leaves: list[str] = []
        self.refuses = False
        self.refusals = 0
        self.reloader = Reloader(
            FolderSource(folder, settings, Conditions(never_observe=never_observe)),
            self.holder,
            BundleStore(stored),
            self._record,
            development=development,
            in_force=lambda _: None,
            refused=self._refused,
        )

    async def _record(self, kind: str, _: Mapping[str, Json]) -> None:
        if self.refuses:
            raise AuditError("audit.unavailable", "the disk is full")
        self.leaves.append(kind)

    def _refused(self) -> None:
        self.refusals += 1

    def start(self) -> Outcome:
        return asyncio.run(self.reloader.start())

    def look(self, *, confirmed: bool = False) -> Outcome:
        return asyncio.run(self.reloader.look(confirmed=confirmed))

    @property
    def services(self) -> set[str]:
        engine = self.holder.current()
        return set() if engine is None else set(engine.services)


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(POLICY, tmp_path / "v1"))
    (folder / "second.pol").write_bytes(SECOND)
    return folder


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


def test_a_restart_does_not_confirm_that_a_file_vanished(policies: Path, stored: Path) -> None:
    assert _Run(policies, stored).start().state == "activated"
    (policies / "second.pol").unlink()
    again = _Run(policies, stored)
    assert again.start().state == "waiting"
    assert "second" in again.services
    assert again.look(confirmed=True).state == "activated"
    assert "second" not in again.services
    assert _Run(policies, stored).start().state == "activated"


def test_a_restart_with_the_folder_gone_keeps_the_last_policy(policies: Path, stored: Path) -> None:
    _Run(policies, stored).start()
    shutil.rmtree(policies)
    again = _Run(policies, stored)
    assert again.start().state == "refused"
    assert "second" in again.services


def test_a_restart_with_a_changed_file_puts_the_folder_in_force(policies: Path, stored: Path) -> None:
    _Run(policies, stored).start()
    (policies / "second.pol").write_bytes(SECOND.replace(b"GET /ping", b"GET /pong"))
    again = _Run(policies, stored)
    assert again.start().state == "activated"
    assert again.leaves == ["policy.activated"]


def test_for_development_a_vanished_file_counts_at_once(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored, development=True)
    run.start()
    (policies / "second.pol").unlink()
    assert run.look().state == "activated"


def test_a_stored_policy_that_is_damaged_is_not_passed_over(policies: Path, stored: Path) -> None:
    _Run(policies, stored).start()
    (policies / "second.pol").unlink()
    (bundle,) = stored.glob("*.zip")
    bundle.write_bytes(b"not an archive")
    with pytest.raises(PolicyError, match="damaged"):
        _Run(policies, stored).start()


def _swap(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def test_a_swapped_link_is_a_deliberate_act_once(policies: Path, stored: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    _swap(link, policies)
    run = _Run(link, stored)
    run.start()
    without = Path(shutil.copytree(policies, tmp_path / "v2"))
    (without / "second.pol").unlink()
    _swap(link, without)
    assert run.look().state == "activated"
    assert "second" not in run.services


def test_a_refused_swap_does_not_excuse_what_vanishes_later(policies: Path, stored: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    _swap(link, policies)
    run = _Run(link, stored)
    run.start()
    broken = Path(shutil.copytree(policies, tmp_path / "v2"))
    (broken / "cases.pol").write_text("module cases\nallow")
    _swap(link, broken)
    assert run.look().state == "refused"
    shutil.copy(policies / "cases.pol", broken / "cases.pol")
    (broken / "second.pol").unlink()
    assert run.look().state == "waiting"
    assert "second" in run.services


def test_a_log_that_cannot_take_the_activation_keeps_the_old_engine(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored)
    run.start()
    run.refuses = True
    (policies / "second.pol").write_bytes(SECOND + b"\n# changed\n")
    before = run.holder.current()
    assert run.look().state == "refused"
    assert run.holder.current() is before
    run.refuses = False
    assert run.look().state == "activated"


def test_a_folder_put_back_as_it_was_is_no_longer_called_refused(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored)
    run.start()
    good = (policies / "second.pol").read_bytes()
    (policies / "second.pol").write_bytes(b"module second\nallow")
    assert run.look().state == "refused"
    (policies / "second.pol").write_bytes(good)
    assert run.look().state == "unchanged"
    assert run.reloader.last.state == "unchanged"


def test_what_nobody_foresaw_is_a_refusal_and_the_next_look_comes(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored)
    run.start()

    class _Breaking(BundleStore):
        def keep(self, bundle: object) -> None:
            raise RecursionError

    object.__setattr__(run.reloader, "_store", _Breaking(stored))
    (policies / "second.pol").write_bytes(SECOND + b"\n# changed\n")
    assert run.look().state == "refused"
    object.__setattr__(run.reloader, "_store", BundleStore(stored))
    assert run.look().state == "activated"


def test_a_broken_folder_at_a_restart_leaves_the_last_good_policy_in_force(policies: Path, stored: Path) -> None:
    _Run(policies, stored).start()
    (policies / "second.pol").write_bytes(b"module second\nallow")
    again = _Run(policies, stored)
    assert again.start().state == "refused"
    assert "second" in again.services
    assert "is refused: policy" in again.reloader.misgiving()
    assert again.leaves == ["policy.refused", "policy.activated"]
    assert again.look().state == "refused"
    assert again.leaves == ["policy.refused", "policy.activated"], "told once"
    (policies / "second.pol").write_bytes(SECOND)
    assert again.look().state == "unchanged"
    assert again.reloader.misgiving() == ""


def test_a_broken_folder_at_the_first_start_puts_nothing_in_force(policies: Path, stored: Path) -> None:
    (policies / "second.pol").write_bytes(b"module second\nallow")
    run = _Run(policies, stored)
    assert run.start().state == "refused"
    assert run.holder.current() is None
    assert run.refusals == 1


def test_what_the_configuration_forbids_is_forbidden_to_the_last_policy_too(policies: Path, stored: Path) -> None:
    observed = SECOND.replace(
        b"  endpoint ping GET /ping\n", b"  observe until 2099-01-01\n  endpoint ping GET /ping\n"
    )
    observed = observed.replace(b"module second\n", b"module second\nlabel money\n")
    (policies / "second.pol").write_bytes(observed.replace(b"GET /ping", b"GET /ping tagged money"))
    _Run(policies, stored).start()
    again = _Run(policies, stored, never_observe=("money",))
    assert again.start().state == "refused"
    assert again.holder.current() is None


def test_the_policy_of_another_environment_is_never_put_in_force(policies: Path, stored: Path) -> None:
    (policies / "settings").mkdir()
    for name in ("test", "prod"):
        (policies / "settings" / f"{name}.toml").write_text("")
    _Run(policies, stored, settings="test").start()
    (policies / "second.pol").write_bytes(b"module second\nallow")
    again = _Run(policies, stored, settings="prod")
    assert again.start().state == "refused"
    assert again.holder.current() is None


def test_another_environment_is_another_policy(policies: Path, stored: Path) -> None:
    (policies / "settings").mkdir()
    (policies / "settings" / "prod.toml").write_text("")
    _Run(policies, stored).start()
    again = _Run(policies, stored, settings="prod")
    assert again.start().state == "activated"
    assert again.leaves == ["policy.activated"]


def test_every_policy_that_is_not_put_in_force_is_counted_once(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored)
    run.start()
    (policies / "second.pol").write_bytes(b"module second\nallow")
    for _ in range(3):
        run.look()
    assert run.refusals == 1
    shutil.rmtree(policies)
    for _ in range(3):
        run.look()
    assert run.refusals == 2

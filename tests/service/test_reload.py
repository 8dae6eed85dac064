"""The reloader over a real folder and a log in memory: what is put in force, what waits, and what a restart does."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pdp.errors import AuditError, PolicyError
from pdp.model import Json
from pdp.runtime.acceptance import Conditions
from pdp.runtime.built import write_built
from pdp.runtime.bundle import Bundle, bundle_of, read_folder
from pdp.runtime.engine import Engine, load_compiled
from pdp.runtime.reload import Outcome, Reloader
from pdp.runtime.sources import FolderSource, Source, source_of
from pdp.runtime.store import BundleStore, EngineHolder, InForce
from policy_lang.compile import compile_policy
from policy_lang.diagnostics import CompileError
from policy_lang.ir import codec as ir_codec
from tests.support.cases import POLICY

SECOND = b"""module second
service second {
  audience none
  host "second.example"
  endpoint ping GET /ping
}
allow anyone_pings for anyone on second.ping because "ping"
"""


class _CompiledHere(FolderSource):
    """A policy folder whose bundles are compiled in this process: a child takes half a second each."""

    async def engine(self, bundle: Bundle) -> tuple[Engine, str]:
        try:
            compiled = compile_policy(bundle.files, bundle.settings)
        except CompileError as error:
            raise PolicyError("P120", "the policy does not compile") from error
        return load_compiled(bundle, ir_codec.dump(compiled.program), self._conditions), ""

    async def kept(self, bundle: Bundle) -> tuple[Engine, str]:
        return await self.engine(bundle)


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
        digest: str | None = None,
    ) -> None:
        stored.mkdir(exist_ok=True)
        self.holder = EngineHolder()
        self.leaves: list[str] = []
        self.refused: list[tuple[Json, Json]] = []
        self.refuses = False
        self.refusals = 0
        self.reloader = Reloader(
            self._source(folder, digest, settings, Conditions(never_observe=never_observe)),
            self.holder,
            BundleStore(stored),
            self._record,
            development=development,
            in_force=lambda _: None,
            refused=self._refused,
        )

    @staticmethod
    def _source(folder: Path, digest: str | None, settings: str | None, conditions: Conditions) -> Source:
        if digest is None:
            return _CompiledHere(folder, settings, conditions)
        return source_of(folder, digest, settings, conditions)

    async def _record(self, kind: str, clear: Mapping[str, Json]) -> None:
        if self.refuses:
            raise AuditError("audit.unavailable", "the disk is full")
        self.leaves.append(kind)
        if kind == "policy.refused":
            self.refused.append((clear["pb"], clear["code"]))

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
    assert again.refused[0][1] == "P120"
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


# ---------------------------------------------------------------- what is refused before it is a policy


def _linked_out(place: Path) -> None:
    (place / "out.pol").symlink_to(Path("/etc/hostname"))


def _too_large(place: Path) -> None:
    (place / "facts").mkdir(exist_ok=True)
    with (place / "facts" / "big.csv").open("wb") as file:
        file.truncate(8 * 1024**4)


def _dangling(place: Path) -> None:
    (place / "deny.pol").symlink_to(place / "nowhere.pol")


def _a_file(place: Path) -> None:
    shutil.rmtree(place)
    place.write_bytes(b"built")


UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "the folder is gone": (shutil.rmtree, "P101"),
    "a link leads out": (_linked_out, "P102"),
    "it is larger than a bundle": (_too_large, "P103"),
    "a file cannot be read": (_dangling, "P104"),
    "a file stands in its place": (_a_file, "P135"),
}


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_a_folder_that_cannot_be_read_is_in_the_log_once(sentence: str, policies: Path, stored: Path) -> None:
    spoil, code = UNREADABLE[sentence]
    run = _Run(policies, stored)
    run.start()
    spoil(policies)
    for _ in range(3):
        assert run.look().state == "refused"
    assert run.refused == [("", code)]
    assert run.refusals == 1
    assert "second" in run.services


def test_each_new_outcome_is_in_the_log(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored)
    run.start()
    _dangling(policies)
    run.look()
    (policies / "deny.pol").unlink()
    assert run.look().state == "unchanged"
    _dangling(policies)
    run.look()
    shutil.rmtree(policies)
    run.look()
    assert run.refused == [("", "P104"), ("", "P104"), ("", "P101")]


def test_a_start_on_nothing_is_in_the_log(tmp_path: Path, stored: Path) -> None:
    run = _Run(tmp_path / "nowhere", stored)
    assert run.start().state == "refused"
    assert run.refused == [("", "P101")]


def test_a_log_that_cannot_take_a_refusal_does_not_end_the_looking(policies: Path, stored: Path) -> None:
    run = _Run(policies, stored)
    run.start()
    run.refuses = True
    _dangling(policies)
    assert run.look().state == "refused"
    run.refuses = False
    (policies / "deny.pol").unlink()
    assert run.look().state == "unchanged"


def test_a_name_of_a_file_writes_no_line_of_its_own(
    policies: Path, stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evil = policies / "a\x1b[31m\n2026-01-01 INFO policy is fine.pol"
    evil.write_bytes(SECOND.replace(b"second", b"third"))
    run = _Run(policies, stored)
    run.start()
    caplog.clear()  # the warnings of the compiler have lines of their own
    evil.unlink()
    assert run.look().state == "waiting"
    evil.symlink_to(policies / "nowhere.pol")
    assert run.look().state == "refused"
    told = [record.getMessage() for record in caplog.records]
    assert sum("a\\u{1b}[31m\\u{a}2026-01-01 INFO policy is fine.pol" in text for text in told) == 2
    assert not any("\n" in text or "\x1b" in text for text in told)


# ---------------------------------------------------------------- a policy named by its digest


BOUND = {
    "a.pol": b"""module a
setting place: string = "s.example"
service built {
  audience none
  host place
  endpoint ping GET /ping
}
allow anyone_pings for anyone on built.ping because "ping"
""",
    "settings/prod.toml": b'place = "p.example"\n',
}


def _built(path: Path, settings: str | None = None, more: bytes = b"") -> str:
    files = BOUND | {"a.pol": BOUND["a.pol"] + more}
    return write_built(path, bundle_of(files), compile_policy(files, settings).program, settings)


def _another(path: Path) -> None:
    path.write_bytes(b"another")


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


LOST: dict[str, tuple[Callable[[Path], None], str]] = {
    "it is gone": (Path.unlink, "P131"),
    "it is another": (_another, "P132"),
    "it is a folder now": (_a_folder, "P135"),
}


@pytest.mark.parametrize("settings", [None, "prod"], ids=["no environment", "an environment"])
@pytest.mark.parametrize("sentence", LOST)
def test_where_the_pinned_file_is_lost_its_own_policy_decides_again(
    sentence: str, settings: str | None, tmp_path: Path, stored: Path
) -> None:
    """The environment is that of the file, whether or not the configuration names it."""
    spoil, code = LOST[sentence]
    digest = _built(tmp_path / "p", settings)
    assert _Run(tmp_path / "p", stored, digest=digest).start().state == "activated"
    spoil(tmp_path / "p")
    for named in (None, settings):
        again = _Run(tmp_path / "p", stored, digest=digest, settings=named)
        assert again.start().state == "refused"
        assert again.services == {"built"}
        assert again.refused == [("", code)]
        assert "is refused: policy" in again.reloader.misgiving()


def test_where_the_pinned_file_is_lost_no_other_policy_decides(tmp_path: Path, policies: Path, stored: Path) -> None:
    """Neither that of another file, nor one that was built anew from the same files, nor that of a folder."""
    one = _built(tmp_path / "one")
    other = _built(tmp_path / "other", more=b"# another\n")
    _Run(tmp_path / "one", stored, digest=one).start()
    (tmp_path / "other").unlink()
    again = _Run(tmp_path / "other", stored, digest=other)
    assert again.start().state == "refused"
    assert again.holder.current() is None
    _Run(policies, stored).start()
    again = _Run(tmp_path / "other", stored, digest=other)
    assert again.start().state == "refused"
    assert again.holder.current() is None


def test_the_files_of_a_pinned_file_without_its_program_do_not_decide(tmp_path: Path, stored: Path) -> None:
    """The digest names the program too: where the files make another, the file itself is needed."""
    strict = {"a.pol": BOUND["a.pol"].replace(b"allow anyone_pings", b"deny anyone_pings")}
    digest = write_built(tmp_path / "p", bundle_of(BOUND), compile_policy(strict, None).program, None)
    assert _Run(tmp_path / "p", stored, digest=digest).start().state == "activated"
    (tmp_path / "p").unlink()
    again = _Run(tmp_path / "p", stored, digest=digest)
    assert again.start().state == "refused"
    assert again.holder.current() is None
    assert [code for _, code in again.refused] == ["P131", "P136"]


def test_a_pinned_file_of_another_environment_is_not_put_in_force(tmp_path: Path, stored: Path) -> None:
    digest = _built(tmp_path / "p", "prod")
    _Run(tmp_path / "p", stored, digest=digest).start()
    again = _Run(tmp_path / "p", stored, digest=digest, settings="test")
    assert again.start().state == "refused"
    assert again.refused == [("", "P134")]
    assert again.holder.current() is None


def test_a_folder_after_a_pinned_file_is_another_policy(tmp_path: Path, policies: Path, stored: Path) -> None:
    """What the digest named never decides once the configuration names it no more."""
    digest = _built(tmp_path / "p")
    _Run(tmp_path / "p", stored, digest=digest).start()
    (policies / "second.pol").write_bytes(b"module second\nallow")
    again = _Run(policies, stored)
    assert again.start().state == "refused"
    assert again.holder.current() is None
    (policies / "second.pol").write_bytes(SECOND)
    again = _Run(policies, stored)
    assert again.start().state == "activated"
    assert "built" not in again.services


def test_a_pinned_file_that_came_back_is_put_in_force(tmp_path: Path, stored: Path) -> None:
    digest = _built(tmp_path / "p")
    _Run(tmp_path / "p", stored, digest=digest).start()
    (tmp_path / "p").rename(tmp_path / "away")
    again = _Run(tmp_path / "p", stored, digest=digest)
    again.start()
    (tmp_path / "away").rename(tmp_path / "p")
    assert again.look().state == "unchanged"
    assert again.reloader.misgiving() == ""


# ---------------------------------------------------------------- a stored policy that is damaged


def _damage(stored: Path) -> Path:
    (bundle,) = stored.glob("*.zip")
    bundle.write_bytes(b"not an archive")
    return bundle


def test_a_damaged_stored_policy_keeps_no_unchanged_folder_from_serving_and_is_mended(
    policies: Path, stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _Run(policies, stored).start()
    bundle = _damage(stored)
    again = _Run(policies, stored)
    assert again.start().state == "activated"
    assert "is damaged" in caplog.text
    assert BundleStore(stored).load(bundle.stem) == read_folder(policies)


def test_a_stored_policy_that_is_gone_is_stored_again(policies: Path, stored: Path) -> None:
    _Run(policies, stored).start()
    bundle = _damage(stored)
    bundle.unlink()
    assert _Run(policies, stored).start().state == "activated"
    assert BundleStore(stored).load(bundle.stem) == read_folder(policies)


def test_a_damaged_stored_policy_is_not_asked_where_nothing_can_vanish(
    policies: Path, tmp_path: Path, stored: Path
) -> None:
    """For development, and where the configuration names the digest."""
    _Run(policies, stored).start()
    _damage(stored)
    (policies / "second.pol").unlink()
    assert _Run(policies, stored, development=True).start().state == "activated"
    digest = _built(tmp_path / "p")
    assert _Run(tmp_path / "p", stored, digest=digest).start().state == "activated"


def test_a_damaged_stored_policy_and_a_folder_that_changed_say_what_to_do(policies: Path, stored: Path) -> None:
    """Whether a file vanished cannot be told, so that nothing is put in force."""
    _Run(policies, stored).start()
    _damage(stored)
    (policies / "second.pol").write_bytes(SECOND + b"# changed\n")
    with pytest.raises(PolicyError, match=r"which files vanished since: .* remove `bundles/current`") as refused:
        _Run(policies, stored).start()
    assert refused.value.code == "P105"
    (stored / "current").unlink()
    assert _Run(policies, stored).start().state == "activated"


def test_a_damaged_stored_policy_cannot_stand_in_for_a_refused_one(
    policies: Path, tmp_path: Path, stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest = _built(tmp_path / "p")
    _Run(tmp_path / "p", stored, digest=digest).start()
    _damage(stored)
    (tmp_path / "p").unlink()
    again = _Run(tmp_path / "p", stored, digest=digest)
    assert again.start().state == "refused"
    assert again.holder.current() is None
    assert "the policy of the last run cannot decide either" in caplog.text


def test_what_an_earlier_version_noted_is_known_by_no_digest(tmp_path: Path, stored: Path) -> None:
    digest = _built(tmp_path / "p")
    _Run(tmp_path / "p", stored, digest=digest).start()
    store = BundleStore(stored)
    before = store.current()
    assert before is not None
    assert before.built == digest
    (stored / "current").write_text(json.dumps({"digest": before.digest, "target": ""}))
    assert store.current() == InForce(before.digest, "")
    (tmp_path / "p").unlink()
    again = _Run(tmp_path / "p", stored, digest=digest)
    again.start()
    assert again.holder.current() is None

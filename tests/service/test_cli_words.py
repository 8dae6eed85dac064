"""What the command line says of itself: its help is whole, a slip is named, and what it prints can be used."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pdp.cli import VERBS, cli, main
from pdp.cli.admin import show_answer


def _groups(command: click.Group, name: str) -> Iterator[tuple[str, click.Group]]:
    yield name, command
    context = click.Context(command)
    for each in command.list_commands(context):
        below = command.get_command(context, each)
        if isinstance(below, click.Group):
            yield from _groups(below, f"{name} {each}")


GROUPS = dict(_groups(cli, "pdp"))


@pytest.mark.parametrize("name", GROUPS)
def test_the_help_of_a_group_cuts_nothing_off(name: str) -> None:
    group = GROUPS[name]
    with click.Context(group, info_name=name, terminal_width=80) as context:
        shown = group.get_help(context)
        assert "..." not in shown.split("Commands:")[1]
        for each in group.list_commands(context):
            command = group.get_command(context, each)
            assert command is not None
            assert command.short_help, each


def test_there_are_groups_below() -> None:
    assert set(GROUPS) == {"pdp", "pdp import", "pdp casbin", "pdp audit", "pdp admin"}


SLIPS = {
    ("chek",): "no such command `chek`; did you mean `check`?",
    ("zzz",): f"no such command `zzz`; there are {', '.join(VERBS)}",
    ("\x1b[2J",): "no such command",
}


@pytest.mark.parametrize("words", SLIPS)
def test_a_verb_that_is_none_is_named_with_the_one_meant(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    shown = capsys.readouterr().err
    assert end.value.code == 2
    assert SLIPS[words] in shown
    assert "\x1b" not in shown


def test_an_option_before_a_verb_is_still_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--no-such"])
    assert end.value.code == 2
    assert "--no-such" in capsys.readouterr().err


def test_new_names_the_next_steps_as_a_shell_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "Foo Bär"
    with pytest.raises(SystemExit):
        main(["new", str(folder)])
    check, test, _ = capsys.readouterr().out.splitlines()[1].removeprefix("next: ").split(", ")
    assert shlex.split(check) == ["pdp", "check", str(folder)]
    assert shlex.split(test) == ["pdp", "test", str(folder)]


def test_an_answer_of_the_service_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_answer({"ok": True, "ready": True, "warnings": "", "log_pending": 0, "sequencer": "running"}, as_json=False)
    assert capsys.readouterr().out == "ready        yes\nlog_pending  0\nsequencer    running\n"
    show_answer({"ok": False, "ready": False, "warnings": "one\ntwo"}, as_json=False)
    assert capsys.readouterr().out == "ready     no\nwarnings  one\n          two\n"
    show_answer({"ok": True}, as_json=False)
    assert capsys.readouterr().out == ""
    show_answer({"ok": True, "warnings": ""}, as_json=True)
    assert '"warnings": ""' in capsys.readouterr().out

"""What `pdp check` found, as text for a person, as JSON, and as SARIF for a code scanner.

One `Checked` for each environment comes in; texts and values ready for `json.dumps` go out.

Decision: 2026-11-21. The JSON has one shape, whatever was asked for: an object whose `environments` hold what was found
in each, even where there is one. In SARIF each environment is a run of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from pdp import __version__
from pdp.cli.check_inventory import inventory_json
from policy_lang.capabilities import Gateway, served
from policy_lang.compile import Compiled
from policy_lang.diagnostics import Diagnostic, as_json, has_errors, printable
from policy_lang.sarif import as_sarif
from policy_lang.source import Source


class Checked(Struct, frozen=True):
    """One policy in one environment (None: without one). `compiled` is None where it does not compile.

    `diagnostics` are sorted. `absent` are the fact files that relations have none of. `gateways` are those that it was
    held to.
    """

    environment: str | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]
    compiled: Compiled | None = None
    absent: tuple[str, ...] = ()
    gateways: tuple[Gateway, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there is no error."""
        return self.compiled is not None and not has_errors(self.diagnostics)


class BuiltFile(Struct, frozen=True):
    """A file that holds a built policy; its own digest, by which it is served, and that of the policy in it."""

    file: Path
    digest: str
    policy: str


# ---------------------------------------------------------------- text


def remarks(checked: Checked) -> list[str]:
    """What is said besides diagnostics of a policy that compiles, a line each."""
    if checked.compiled is None:
        return []
    lines = []
    if checked.absent:
        lines.append(f"facts absent: {', '.join(checked.absent)}")
    if checked.compiled.proofs:
        count = counted(len(checked.compiled.proofs), "proof")
        lines.append(f"{count} not run: this version parses `prove` and does not run it")
    for gateway in checked.gateways:
        endpoints = served(checked.compiled.program, gateway)
        name = printable(gateway.name)
        if not endpoints:
            lines.append(f"gateway {name}: serves no endpoint of this policy")
        elif checked.passed:
            lines.append(f"gateway {name}: can do what it must on {counted(endpoints, 'endpoint')}")
    return lines


def summary(checked: Checked) -> str:
    """What it came to."""
    errors = sum(each.severity == "error" for each in checked.diagnostics)
    if checked.compiled is None or errors:
        return counted(errors, "problem")
    program = checked.compiled.program
    parts = (
        counted(len(program.services), "service"),
        counted(len(program.endpoints), "endpoint"),
        counted(len(program.rules), "rule"),
        counted(len(checked.compiled.tests), "test case"),
        counted(len(checked.diagnostics), "warning"),
    )
    return f"no problems ({', '.join(parts)})"


def counted(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------- for programs


def report_json(
    folder: Path, found: Sequence[Checked], built: BuiltFile | None, *, inventory: bool
) -> dict[str, object]:
    """Everything that was found, and the inventory of each environment where it is asked for."""
    report: dict[str, object] = {
        "folder": str(folder),
        "passed": all(checked.passed for checked in found),
        "environments": [_checked_json(checked, inventory=inventory) for checked in found],
    }
    if built is not None:
        report["built"] = {"file": str(built.file), "digest": built.digest, "policy": built.policy}
    return report


def _checked_json(checked: Checked, *, inventory: bool) -> dict[str, object]:
    shown: dict[str, object] = {
        "settings": checked.environment,
        "passed": checked.passed,
        "diagnostics": as_json(checked.diagnostics, checked.sources),
        "facts_absent": list(checked.absent),
    }
    if checked.compiled is None:
        return shown
    program = checked.compiled.program
    shown["proofs_not_run"] = list(checked.compiled.proofs)
    shown["gateways"] = [
        {"name": gateway.name, "can": sorted(gateway.can), "endpoints": served(program, gateway)}
        for gateway in checked.gateways
    ]
    shown["services"] = len(program.services)
    shown["endpoints"] = len(program.endpoints)
    shown["rules"] = len(program.rules)
    shown["test_cases"] = len(checked.compiled.tests)
    if inventory:
        shown["inventory"] = inventory_json(program)
    return shown


def report_sarif(found: Sequence[Checked]) -> dict[str, object]:
    """One log; each environment is a run, told apart by its `automationDetails` (3.17)."""
    whole: dict[str, object] = {}
    runs: list[object] = []
    for checked in found:
        log = as_sarif(checked.diagnostics, checked.sources, __version__)
        whole = {**log}
        for run in _runs(log):
            named_run = {} if checked.environment is None else {"automationDetails": {"id": f"{checked.environment}/"}}
            runs.append({**run, **named_run})
    return {**whole, "runs": runs}


def _runs(log: Mapping[str, object]) -> list[dict[str, object]]:
    runs = log["runs"]
    return runs if isinstance(runs, list) else []

"""Mistakes that show only where a policy meets its surroundings: the gateway (E518), its facts (W821)."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class BeyondGateway(Diagnostic):
    code = "E518"
    title = "the gateway `{gateway}` cannot {doing}, as `{rule}` must on {where}"
    label = "must {word}"
    help = "{remedy}"

    gateway: str
    doing: str
    rule: str
    where: str
    word: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsMisfit(Diagnostic):
    code = "W821"
    severity = "warning"
    title = "facts do not fit: {problem}"
    help = "with these facts the policy is not served"

    problem: str

"""Mistakes that show only where a policy meets its surroundings: the gateway (E518), its facts (W821)."""

from __future__ import annotations

from policy_lang.diagnostics import Diagnostic


class BeyondGateway(Diagnostic, frozen=True, kw_only=True):
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


class FactsMisfit(Diagnostic, frozen=True, kw_only=True):
    code = "W821"
    severity = "warning"
    title = "facts do not fit: {problem}"
    help = "with these facts the policy is not served"

    problem: str

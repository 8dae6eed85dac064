"""SPIFFE ids of workloads: `spiffe://trust-domain/path`, in one spelling (the SPIFFE ID standard, 2)."""

from __future__ import annotations

import re

LONGEST_IDENTITY = 2048
"""Bytes of a SPIFFE id (SPIFFE ID 2.3)."""

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


def identity_fault(text: str) -> str | None:
    """Why a text is no SPIFFE id of a workload; None where it is one."""
    if not text.startswith("spiffe://"):
        return "it begins with `spiffe://`"
    if len(text) > LONGEST_IDENTITY:
        return f"it has more than {LONGEST_IDENTITY} characters"
    domain, *segments = text.removeprefix("spiffe://").split("/")
    if not _TRUST_DOMAIN.fullmatch(domain):
        return "its trust domain is lower-case letters, digits, `.`, `-`, `_`, without port or user"
    if not segments:
        return "it names a trust domain and nobody in it"
    if not all(_SEGMENT.fullmatch(each) and each not in {".", ".."} for each in segments):
        return "its path is segments of letters, digits, `.`, `-`, `_`, without query or fragment"
    return None


def is_workload(text: str) -> bool:
    """Whether a text is the SPIFFE id of a workload."""
    return identity_fault(text) is None

"""`pdp new`: the files of a first bundle, as text.

The name of a service goes in, files by relative path come out: one policy with its tests, the facts it needs, a README
and a CI file. They check without a warning, their tests pass, and their layout is canonical.
Design: contracts.md "Bundles, places, configuration"; language.md 2.

SECURITY: the CI file installs nothing by a bare name. Under that of this product an index of packages may hold
another's, which would run with what the pipeline may do.
Decision (2026-11-21): it fails with words until its owner has written what to install from.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdp.authoring.model import AuthoringError
from pdp.authoring.pol_text import LONGEST_IDENTIFIER, declared_name
from policy_lang.layout.formatter import formatted

DECLARED = frozenset((
    "user", "shared_with", "owns", "sensitive", "owners_use_their_items", "guests_read_shared_items",
    "suspended_users", "recent_login_to_delete",
))  # fmt: skip
"""What the policy declares beside its service."""

FALLBACK = "api"


def service_name(wished: str | None, folder: str) -> str:
    """The name of the service: the one wished for, or one made of the folder's.

    Errors: AuthoringError I202 where the one wished for cannot be one.
    """
    if wished is None:
        name = declared_name(folder, FALLBACK, FALLBACK)
        return f"{name}_{FALLBACK}" if name in DECLARED else name
    if declared_name(wished, FALLBACK, FALLBACK) != wished:
        why = f"letters a-z, digits and `_`, at most {LONGEST_IDENTIFIER}, and no word of the language"
        raise AuthoringError("I202", f"--service: `{wished[:80]}` is no name: write {why}")
    if wished in DECLARED:
        raise AuthoringError("I202", f"--service: the policy declares `{wished}` as something else: choose another")
    return wished


def bundle_files(service: str) -> Mapping[str, str]:
    """The files of the bundle by path."""
    host = f"{service.replace('_', '-')}.example"
    policy = _POLICY.replace("SERVICE", service).replace("HOST", host)
    laid_out = formatted("policy.pol", policy.encode())
    return {
        "policy.pol": laid_out if isinstance(laid_out, str) else policy,
        f"facts/{service}.shared_with.csv": "item,user\n",
        "README.md": _README.replace("SERVICE", service),
        ".github/workflows/policy.yml": _WORKFLOW,
    }


_POLICY = """\
# Who may do what with SERVICE. What no rule allows is refused; a deny beats every allow.
language 1
module SERVICE

label sensitive

# Who calls. The issuer signs the tokens; a claim that is not declared here is not read.
token user {
  issuer "https://id.example"
  claim sub: string
  claim items: set of string optional
  claim auth_time: time
  claim suspended: bool optional
  factor login at token.auth_time
}

# Rows come from facts/SERVICE.shared_with.csv.
relation shared_with (item: string, user: string)

condition owns (item: string) = token has items and item in token.items

# What is called. A call of anything else is refused.
service SERVICE {
  audience "SERVICE"
  host "HOST"
  endpoint read_item GET /items/{item}
  endpoint delete_item DELETE /items/{item} scope "items.write" tagged sensitive
  # Nobody, on purpose: write an allow, and take the word away.
  endpoint purge POST /items/purge closed
}

allow owners_use_their_items
  for any user
  on SERVICE.read_item, SERVICE.delete_item
  when owns(path.item)
  because "Owners read and delete their own items"

allow guests_read_shared_items
  for any user
  on SERVICE.read_item
  when shared_with(path.item, token.sub)
  because "An owner can share an item with a named user"

deny suspended_users
  for any user
  on any endpoint
  when token has suspended and token.suspended
  because "A suspended user does nothing"

require recent_login_to_delete
  for any user
  on any endpoint tagged sensitive
  needs factor login within 15m
  must log full strict
  because "Deleting takes a login of the last quarter of an hour"

test "owners and their items" {
  given now 2026-03-01T12:00:00Z
  given token user { sub: "u1", items: ["i1"], auth_time: now - 5m, aud: ["SERVICE"], scope: ["items.write"] }
  call SERVICE GET /items/i1 expect allow by owners_use_their_items
  call SERVICE GET /items/i2 expect deny by default
  call SERVICE GET /items/i1 with token.items = unset expect deny by default
  call SERVICE GET /items/i1 with token.suspended = true expect deny by suspended_users
  call SERVICE GET /items/i1 with token.aud = ["another"] expect deny by audience
  call SERVICE DELETE /items/i1 expect allow by owners_use_their_items and log full strict
  call SERVICE DELETE /items/i1 with token.auth_time = now - 1h expect step_up login by recent_login_to_delete
  call SERVICE DELETE /items/i1 with token.scope = ["items.read"] expect deny by scope
}

test "guests and shared items" {
  given now 2026-03-01T12:00:00Z
  given token user { sub: "u2", auth_time: now - 5m, aud: ["SERVICE"] }
  given fact shared_with ("i1", "u2")
  call SERVICE GET /items/i1 expect allow by guests_read_shared_items
  call SERVICE GET /items/i1 with token.sub = "u3" expect deny by default
  call SERVICE GET /items/i2 expect deny by default
}

test "nothing else passes" {
  given anonymous
  call SERVICE GET /items/i1 expect deny
  call SERVICE GET /elsewhere expect deny by route
  call SERVICE POST /items/purge expect deny
}
"""

_README = """\
# The policy of SERVICE

- `policy.pol`: who calls, what can be called, who may, who may not, and the tests of that.
- `facts/SERVICE.shared_with.csv`: which item is shared with which user; a line for each, such as `i1,u2`.
- `.github/workflows/policy.yml`: checks all of it on every change, once `PDP` in it says what to install `pdp` from.

Start with `issuer`, `audience` and `host` in `policy.pol`, then the endpoints: `pdp import openapi FILE` writes them
from an OpenAPI document. Check with `pdp check .`, run the tests with `pdp test .`, lay out with `pdp fmt .`, and serve
it with `pdp serve --policies .`.
"""

_WORKFLOW = """\
name: policy
on: [push, pull_request]
permissions:
  contents: read
jobs:
  policy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      # Write behind PDP what to install `pdp` from: the path of a wheel, or of a folder with its sources, which begins
      # with `./` or `/`; or the address of a wheel with its hash, https://HOST/FILE.whl#sha256=HASH. No bare name: what
      # an index of packages calls `portcullis` may be a stranger's.
      - env:
          PDP: ""
        run: |
          case "$PDP" in
            ./?* | /?* | https://?*#sha256=?*) python -m pip install "$PDP" ;;
            *) echo "policy.yml: write behind PDP what to install pdp from" >&2; exit 1 ;;
          esac
      - run: pdp check .
      - run: pdp test .
      - run: pdp fmt --check .
"""

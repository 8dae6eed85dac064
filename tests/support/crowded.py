"""Large policies: one endpoint at which many rules compete, with a quiet one beside it; rules at every endpoint."""

from __future__ import annotations

from msgspec.structs import replace

from pdp.model import EXT_AUTHZ, Inquiry, Principal
from pdp.runtime.bundle import bundle_of
from pdp.runtime.engine import Engine, load_engine
from policy_lang.compile import compile_policy
from policy_lang.ir import Program

STRANGER = Principal("token", "user", {"sub": "u1", "aud": ["s"], "team": "none"})


def crowded(rules: int) -> bytes:
    """The policy with so many allows on `s.crowd`; a call that asks for `/full/…` is logged in full."""
    when = [f'path.x == "x{number}" and token.team == "t"' for number in range(rules)]
    allows = "".join(
        f'allow r{at} for any user on s.crowd, s.full when {each} because "r"\n' for at, each in enumerate(when)
    )
    return (
        "language 1\nmodule m\n"
        'token user {\n  issuer "https://id.example"\n  claim sub: string\n  claim team: string\n}\n'
        'service s {\n  audience "s"\n  host "s.example"\n  endpoint crowd GET /a/{x}\n  endpoint full GET /full/{x}\n'
        "  endpoint quiet GET /quiet/{x}\n}\n"
        f"{allows}"
        'allow everybody for any user on s.full because "for whoever calls"\n'
        'require detail for any user on s.full must log full because "all of it"\n'
        'allow own for any user on s.quiet when path.x == token.sub because "own"\n'
    ).encode()


def crowded_engine(rules: int) -> Engine:
    """The engine of that policy, which decides by compiled plans."""
    files = {"m.pol": crowded(rules)}
    return load_engine(bundle_of(files), compile_policy(files).program)


def multiplied(endpoints: int, kinds: int, rules: int) -> bytes:
    """A short text, a large policy: every rule is for everybody at every endpoint."""
    declared = "".join(f"  endpoint e{number} GET /e{number}\n" for number in range(endpoints))
    callers = "".join(
        f'token u{at} {{\n  issuer "https://i{at}.example"\n  claim sub: string\n}}\n' for at in range(kinds)
    )
    service = f'service big {{\n  audience "big"\n  host "big.example"\n{declared}}}\n'
    allows = "".join(
        f'allow r{number} for anyone on big when request.path == "/{number}" because "r"\n' for number in range(rules)
    )
    return f"language 1\nmodule big\n{callers}{service}{allows}".encode()


def repeated(program: Program, times: int) -> Program:
    """The program with every allow of `s.crowd` standing so many times in its cells: large without being compiled."""
    (crowd,) = (index for index, endpoint in enumerate(program.endpoints) if endpoint.id == "s.crowd")
    cells = [replace(each, allow=each.allow * times) if each.endpoint == crowd else each for each in program.cells]
    return replace(program, cells=tuple(cells))


def to(path: str) -> Inquiry:
    """A call by somebody whom no rule on `s.crowd` allows."""
    return Inquiry(
        service="s",
        method="GET",
        path=path,
        host="s.example",
        headers=(),
        gateway="edge",
        capabilities=EXT_AUTHZ,
        principal=STRANGER,
    )

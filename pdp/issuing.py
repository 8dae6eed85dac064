"""Tokens for one service in place of the caller's own, as the decision service asks for them (`must issue token`).

The configuration of minting, the folder of its keys and the outside world come in; `token` gives what goes on with one
allow, `published` the set by which services verify it.
INVARIANT: a token names the caller that was proved and the service that was decided about, no scope beyond those of the
decision, and no end beyond the decision's own; whatever is missing for that gives no token, and so no allow.
Design: language.md point D; contracts.md "An answer that leaves otherwise than recorded".

Beside the reasons of `pdp/minting/minter.py`: `mint.caller` (who calls has no issuer and subject that are texts),
`mint.error` (anything unforeseen).

Decision: 2026-11-21. A service with several audiences is named by the first that the policy writes.
Decision: 2026-11-21. Keys are looked at in a thread of their own, one look after the other: a rotation syncs files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from pdp.config_fit import rotation_of
from pdp.config_identity import MintingConfig
from pdp.evaluate import Evaluation
from pdp.minting.key_store import KeyStore, Snapshot
from pdp.minting.minter import Minter, Subject
from pdp.model import Decision, Minted
from pdp.transports.readiness import Published

LOOK_EVERY_S = 20.0
FOLDER = "minting"
"""Below `keys/` of the state."""

log = logging.getLogger(__name__)


class Issuing:
    """Belongs to one event loop. `url` is the `iss` of the tokens, `keys` the folder of keys of the state.

    Errors: StateError S132 for a folder of minting keys that is not usable.
    """

    def __init__(
        self,
        url: str,
        minting: MintingConfig,
        keys: Path,
        *,
        clock_us: Callable[[], int],
        monotonic: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        rotation = rotation_of(minting)
        self._max_age_s = rotation.max_age_s
        self._clock_us = clock_us
        self._monotonic = monotonic
        self._told: tuple[str, ...] = ()
        self._store = KeyStore(keys / FOLDER, rotation, entropy)
        self._look()
        self._keys = self._look()  # the first look makes the key that signs, the second the next one
        self._minter = Minter(url, minting.client_id, minting.life_s, self._keys, entropy)

    def token(self, decision: Decision, evaluation: Evaluation, now_us: int) -> Minted | str:
        """The token that goes on with an allow that asks for one, or why there is none. Total: raises nothing."""
        try:
            return self._token(decision, evaluation, now_us)
        except Exception:
            log.exception("a token could not be made")
            return "mint.error"

    def keep(self, minted: Minted) -> None:
        """Hand a token out again: that it was made is on record."""
        self._minter.keep(minted)

    def drop(self, minted: Minted) -> None:
        """Forget a token that left with nobody."""
        self._minter.drop(minted)

    def published(self) -> Published:
        """The set as it stands now."""
        return Published(self._keys.jwks, self._max_age_s)

    def seconds_left(self) -> float | None:
        """For how long the key that signs now does so at least, None where none does."""
        keys, now_us = self._keys, self._clock_us()
        if keys.signer is None or keys.secret is None or not keys.from_us <= now_us < keys.until_us:
            return None
        return (keys.until_us - now_us) / 1_000_000

    def misgivings(self) -> list[str]:
        """A sentence for everything that is wrong with the keys."""
        silent = self.seconds_left() is None
        said = ["no key signs tokens now: calls that need one are refused"] if silent else []
        return [*said, *self._keys.refused]

    async def run(self) -> None:
        """Look at the keys again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.use(await asyncio.to_thread(self._look))

    def use(self, keys: Snapshot) -> None:
        """Mint with these keys from now on."""
        self._keys = keys
        self._minter.use(keys)

    def close(self) -> None:
        """Give the keys up, so that another process may rotate them."""
        self._store.close()

    def _look(self) -> Snapshot:
        keys = self._store.look(self._clock_us(), int(self._monotonic() * 1_000_000))
        if keys.refused != self._told:
            self._told = keys.refused
            for sentence in keys.refused:
                log.warning("%s", sentence)
        return keys

    def _token(self, decision: Decision, evaluation: Evaluation, now_us: int) -> Minted | str:
        principal, engine, scopes = evaluation.evidence.principal, evaluation.engine, decision.duties.token_scopes
        service = None if engine is None else engine.services.get(decision.service or "")
        if principal is None or service is None or scopes is None or not service.audiences or decision.id is None:
            return "mint.caller"
        issuer, name = principal.claims.get("iss"), principal.claims.get("sub")
        if principal.kind != "token" or not isinstance(issuer, str) or not isinstance(name, str):
            return "mint.caller"
        deadline_us = None if decision.valid_until_ms is None else decision.valid_until_ms * 1_000
        return self._minter.token(Subject(issuer, name), service.audiences[0], scopes, now_us, deadline_us, decision.id)

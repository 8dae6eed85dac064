"""Witnesses: asking them to cosign the newest checkpoint, and keeping what they cosigned.

The log and the witnesses of a policy come in; the file `witnessed` beside the checkpoint goes out: the newest
checkpoint that enough of them cosigned, with their signature lines under the log's own. What each answered is told.

    POST <url>/add-checkpoint      old <size that the witness knows>
                                   base64(hash) of the consistency proof, a line each
                                   a blank line, and the checkpoint

INVARIANT: a cosignature is kept only where it fits the checkpoint and the witness's key, and was made about now.
INVARIANT: nothing here signs, and nothing waits for it: a witness that is away costs no decision and no checkpoint.
SECURITY: a witness is asked only at the address that the operator's policy gives, on a host that the configuration
    names; no redirect is followed, no proxy of the environment used, no more than `MOST_ANSWER_BYTES` read.
Specification: C2SP tlog-witness (add-checkpoint), tlog-cosignature.

Decision: 2026-11-21. The cosigned checkpoint has a file of its own. The log signs a checkpoint a second and a quorum
    takes longer: in one file, the newest would always be without cosignatures, or the cosigned one always old.
Decision: 2026-11-21. http is taken as well as https: what is sent is public and what comes back is signed. Somebody in
    between can keep the two apart, which shows as a witness that is behind, or say that a witness knows more, which
    stops the signing at the next start: the log fails closed. Take https where that matters.
Decision: 2026-11-21. A witness that knows more records than we have, or cannot be shown that ours continue its own, is
    the sign of a log rolled back or of two histories (`is_fork`); we must not sign on.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Callable, Collection, Sequence
from typing import Self

import httpx
from msgspec import Struct

from pdp.audit.checkpoint import (
    CheckpointError,
    Note,
    join_note,
    parse_signatures,
    split_note,
    unproved_checkpoint,
)
from pdp.audit.cosignature import Cosignature, find_cosignatures
from pdp.audit.disk import Disk
from pdp.audit.policy import Policy, TrustedWitness, TrustPolicyError, is_met
from pdp.audit.reader import read_checkpoint
from pdp.audit.rotation import SKEW_S
from pdp.audit.tiles import WITNESSED, TileError
from pdp.audit.tree_proofs import consistency_path
from pdp.errors import PdpError

MOST_ANSWER_BYTES = 64 * 1024
TIMEOUT_S = 10.0
_ATTEMPTS = 3
_SIZE_TYPE = "text/x.tlog.size"
_SIZE = re.compile(rb"(?:0|[1-9][0-9]{0,17})\n\Z")


class WitnessError(PdpError):
    """A witness that did not cosign.

    Codes: A671 not reached, or not in time; A672 an answer of no use; A673 it does not know the log or its key; A674 it
    knows more records than the log has; A675 it cannot be shown that the log continues what it knows; A676 the log's
    own files cannot be read.
    """

    @property
    def is_fork(self) -> bool:
        """Whether the log contradicts what the witness knows of it."""
        return self.code in {"A674", "A675"}


class Answer(Struct, frozen=True):
    """What one witness answered: a cosignature, or why there is none."""

    witness: TrustedWitness
    cosignature: Cosignature | None
    error: WitnessError | None


class Round(Struct, frozen=True):
    """What witnesses answered about the checkpoint of `size` records, and whether that is a quorum."""

    size: int
    answers: tuple[Answer, ...]
    is_met: bool

    @property
    def forks(self) -> tuple[WitnessError, ...]:
        """What speaks of a log rolled back, or of two histories."""
        errors = (answer.error for answer in self.answers)
        return tuple(error for error in errors if error is not None and error.is_fork)


class Witnessing:
    """Asks the witnesses of a policy, over connections that are kept. Belongs to one event loop; `aclose` ends it."""

    def __init__(
        self,
        log: Disk,
        policy: Policy,
        hosts: Collection[str],
        tls: ssl.SSLContext,
        now_s: Callable[[], int],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`hosts` are the only ones asked, in lower case; `now_s` gives Unix seconds; `timeout_s` bounds one witness.

        Errors: TrustPolicyError A640 for a policy none of whose witnesses has an address, or one at another host.
        """
        self._witnesses = tuple(each for each in policy.witnesses if each.url is not None)
        if not self._witnesses:
            raise TrustPolicyError("A640", "no witness of the policy has an address: nobody can be asked")
        self._urls = {each.name: _address(each, hosts) for each in self._witnesses}
        self._log = log
        self._policy = policy
        self._now_s = now_s
        self._timeout_s = timeout_s
        self._known: dict[bytes, int] = {}
        self._client = httpx.AsyncClient(
            verify=tls,
            trust_env=False,
            follow_redirects=False,
            timeout=timeout_s,
            headers={"accept-encoding": "identity", "user-agent": "portcullis"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def ask_all(self, *, first: bool = False) -> Round:
        """Ask every witness about the checkpoint as it is now, and keep it where enough cosigned it.

        A checkpoint of no records is shown at the `first` time only: who knows more of this log says so. That time ends
        with the first answer that speaks of a fork, since nothing is signed then; the others are in the round as far as
        they had answered.
        Errors: MemberError, CheckpointError for one that cannot be read; OSError.
        """
        data = read_checkpoint(self._log)
        size = 0 if data is None else unproved_checkpoint(data).size
        if data is None or (size == 0 and not first):
            return Round(0, (), is_met=False)
        answers = await self._answers(data, size, until_fork=first)
        found = tuple(each.cosignature for each in answers if each.cosignature is not None)
        met = bool(found) and is_met(self._policy, {each.key for each in found})
        if met:
            self._log.replace({WITNESSED: _with_cosignatures(data, found)})
        return Round(size, answers, met)

    async def _answers(self, data: bytes, size: int, *, until_fork: bool) -> tuple[Answer, ...]:
        """What the witnesses answered, in the order of the policy: all of them, or those until a fork is told."""
        asked = [asyncio.create_task(self._answer(each, data, size)) for each in self._witnesses]
        try:
            for each in asyncio.as_completed(asked):
                answer = await each
                if until_fork and answer.error is not None and answer.error.is_fork:
                    break
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return tuple(task.result() for task in asked if not task.cancelled() and task.exception() is None)

    async def _answer(self, witness: TrustedWitness, data: bytes, size: int) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return Answer(witness, await self._cosigned(witness, data, size), None)
        except WitnessError as error:
            return Answer(witness, None, error)
        except TimeoutError:
            return Answer(witness, None, WitnessError("A671", f"{_named(witness)} did not answer in time"))
        except OSError:  # our own disk
            raise
        except Exception as error:  # noqa: BLE001 - whatever it answered must not end the asking of the others
            text = f"{_named(witness)} answered what nobody foresaw: {type(error).__name__}"
            return Answer(witness, None, WitnessError("A672", text))

    async def _cosigned(self, witness: TrustedWitness, data: bytes, size: int) -> Cosignature:
        """Ask, and ask again with the size that the witness says it knows."""
        for _ in range(_ATTEMPTS):
            old = min(self._known.get(witness.name, 0), size)
            body = self._body(data, old, size)
            status, kind, answer = await self._post(witness, body)
            if status == httpx.codes.OK:
                cosignature = self._checked(witness, data, answer)
                self._known[witness.name] = size
                return cosignature
            self._known[witness.name] = _known_size(witness, status, kind, answer, old, size)
        raise WitnessError("A672", f"{_named(witness)} knows another size each time: somebody else shows it this log")

    def _body(self, data: bytes, old: int, size: int) -> bytes:
        try:
            path = consistency_path(self._log, old, size)
        except (TileError, OSError) as error:
            detail = f"the log cannot prove that its {size} records continue {old}: {error}; run `pdp audit verify`"
            raise WitnessError("A676", detail) from error
        proof = [base64.b64encode(part).decode() for part in path]
        return "\n".join([f"old {old}", *proof, "", ""]).encode() + data

    async def _post(self, witness: TrustedWitness, body: bytes) -> tuple[int, str, bytes]:
        answer = bytearray()
        try:
            async with self._client.stream("POST", self._urls[witness.name], content=body) as response:
                async for chunk in response.aiter_raw():
                    answer += chunk
                    if len(answer) > MOST_ANSWER_BYTES:
                        raise WitnessError("A672", f"{_named(witness)} answered more than {MOST_ANSWER_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:  # of TLS, or of a redirect's address
            raise WitnessError("A671", f"{_named(witness)} was not reached: {type(error).__name__} {error}") from error
        return response.status_code, response.headers.get("content-type", ""), bytes(answer)

    def _checked(self, witness: TrustedWitness, data: bytes, answer: bytes) -> Cosignature:
        try:
            note = Note(split_note(data).text, parse_signatures(answer))
            found = find_cosignatures(note, (witness.key,))
        except CheckpointError as error:
            raise WitnessError("A672", f"{_named(witness)} cosigned nothing of use: {error.detail}") from error
        if not found:
            raise WitnessError("A672", f"{_named(witness)} cosigned with another key than that of the policy")
        if abs(found[0].time_s - self._now_s()) > SKEW_S:
            raise WitnessError("A672", f"{_named(witness)} states another time than ours: see both clocks")
        return found[0]


async def keep_witnessed(witnessing: Witnessing, every_s: float, say: Callable[[str], None]) -> None:
    """Ask all witnesses again and again, until cancelled. What is not as it should be is said when it changes."""
    said = ""
    while True:
        try:
            lines = complaints(await witnessing.ask_all())
        except (TileError, CheckpointError) as error:
            lines = (error.detail,)
        except OSError as error:
            lines = (f"what witnesses cosigned cannot be kept: {error}",)
        text = "; ".join(lines)
        if text and text != said:
            say(text)
        said = text
        await asyncio.sleep(every_s)


def complaints(found: Round) -> tuple[str, ...]:
    """What is wrong with a round, a line each; forks first."""
    errors = [answer.error for answer in found.answers if answer.error is not None]
    ordered = sorted(errors, key=lambda error: not error.is_fork)
    unmet = ("too few witnesses cosigned the checkpoint",) if found.answers and not found.is_met else ()
    return (*(error.detail for error in ordered), *unmet)


def _known_size(witness: TrustedWitness, status: int, kind: str, answer: bytes, old: int, size: int) -> int:
    """The size that a witness knows, told by a conflict. Errors: WitnessError for all else."""
    match status:
        case 409 if kind.partition(";")[0].strip().lower() == _SIZE_TYPE and _SIZE.match(answer):
            known = int(answer)
        case 409 | 422:
            raise WitnessError("A675", f"{_named(witness)} knows another history of this log than these {size} records")
        case 403 | 404:
            raise WitnessError(
                "A673", f"{_named(witness)} does not know this log or its key ({status}): tell it of both"
            )
        case _:
            raise WitnessError("A672", f"{_named(witness)} answered with status {status}")
    if known > size:
        raise WitnessError(
            "A674", f"{_named(witness)} knows {known} records of this log, there are {size}: rolled back"
        )
    if known == old == size:
        raise WitnessError("A675", f"{_named(witness)} knows another root of these {size} records")
    return known


def _with_cosignatures(data: bytes, found: Sequence[Cosignature]) -> bytes:
    """The checkpoint with the log's own signatures and these under them."""
    note = split_note(data)
    theirs = tuple(each.signature for each in found)
    keys = {(each.name, each.key_id) for each in theirs}
    ours = tuple(each for each in note.signatures if (each.name, each.key_id) not in keys)
    return join_note(Note(note.text, ours + theirs))


def _address(witness: TrustedWitness, hosts: Collection[str]) -> str:
    try:
        url = httpx.URL(witness.url or "")
    except httpx.InvalidURL as error:
        raise TrustPolicyError("A640", f"{_named(witness)} has an address that is none: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise TrustPolicyError(
            "A640", f"{_named(witness)} has the address {witness.url!a}: it should be http(s)://HOST/…"
        )
    if url.host not in hosts:
        raise TrustPolicyError(
            "A640", f"{_named(witness)} is at the host {url.host!a}, which is not among those to ask"
        )
    return f"{str(url).rstrip('/')}/add-checkpoint"


def _named(witness: TrustedWitness) -> str:
    return f"the witness {witness.name.decode('utf-8', 'backslashreplace')!r}"

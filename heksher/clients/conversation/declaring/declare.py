"""Declaring settings, as a flow: few at a time, with retries while the service fails."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx

from heksher import wire
from heksher.clients.conversation.declaring.decisions import Post, decide
from heksher.clients.conversation.declaring.outcomes import (
    DeclarationOutcome,
    DefaultRead,
    Standing,
)
from heksher.clients.conversation.declaring.pace import DeclarationPace
from heksher.clients.conversation.declaring.progress import Progress
from heksher.clients.conversation.effects import Breathe, Request, Send, Wait
from heksher.clients.conversation.responses import (
    read_body,
    received,
    unexpected,
    without_frames,
)
from heksher.clients.conversation.retry_after import longest_asked
from heksher.clients.conversation.service_settings import fetch_listing
from heksher.clients.status import RefusedDeclaration
from heksher.exceptions import ServiceError, UnexpectedResponse
from heksher.settings.differences import Difference

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterable

    from heksher.clients.conversation.effects import Answer, Flow
    from heksher.clients.conversation.service_settings import Listing
    from heksher.settings.declaration import Declaration

ToSend: TypeAlias = "tuple[Declaration, Post]"
"""A setting and its declaration."""

RETRIES: Final = 3
"""How often a declaration is retried after a 5xx, a 429, or no response; and how many requests in a
row may fail before the rest waits for a later refresh."""

MOST_WAITED: Final = 3.0
"""The longest `Retry-After`, in seconds, that is waited for here; a longer one ends the retries."""

_AT_A_TIME: Final = 200
"""How many settings are decided before others may run."""

_TEXT_SHOWN: Final = 200
_TEXT_IS_SAFE: Final = frozenset({400, 404, 409})
"""The statuses whose text names only settings and features, never a value."""


class Declarer:
    """Declares settings against one listing of the service.

    What other processes declare meanwhile is looked up in the list from time to time, so that a
    herd of them shares the work; see `DeclarationPace`.

    Args:
        listing: The service's settings.
        randomness: The source of jitter.
        degraded: The settings that the service failed to declare before. They get one attempt, so
            that other settings need not wait for their values.
        progress: Records how far the declarations have come.

    Attributes:
        standings: How each setting stands, by its declared name.
        notes: Remarks to log once, by the setting's declared name.
        malformed: What is wrong with malformed entries of the lists.
        errors: Unexpected responses; their settings count as degraded.
        overtaken: The declarations that no longer matched the listing, because another program
            declared something in the meantime.
        asked_for: The `Retry-After` of the last responses, in seconds.
    """

    def __init__(
        self,
        listing: Listing,
        randomness: random.Random,
        degraded: Collection[str],
        progress: Progress,
    ) -> None:
        self._listing = listing
        self._random = randomness
        self._degraded = degraded
        self._progress = progress
        self._pending: deque[ToSend] = deque()
        self._failures: dict[str, int] = {}
        self._in_vain = 0
        self.standings: dict[str, Standing] = {}
        self.notes: dict[str, str] = {}
        self.malformed: list[str] = []
        self.errors: list[UnexpectedResponse] = []
        self.overtaken: list[ToSend] = []
        self.asked_for: float = 0.0

    def declare(self, settings: Iterable[Declaration]) -> Flow[None]:
        """Find out how *settings* stand, and declare those that need it."""
        yield from self._decide(settings)
        if not self._pending:
            return
        # Each process in an order of its own, so that those of a herd rarely send the same.
        shuffled = list(self._pending)
        self._random.shuffle(shuffled)
        self._pending = deque(shuffled)
        pace = DeclarationPace(self._random, len(shuffled), self._listing.seconds)
        self._progress.begin(len(shuffled))
        yield from self._wait(pace, pace.first_pause())
        while self._pending:
            yield from self._send(pace)
            if self._is_hopeless():
                self._degrade(self._pending)
                return
            if self._pending and pace.is_look_due:
                yield from self._look(pace)
            if self._pending:
                is_retry = self._pending[0][0].name in self._failures
                seconds = max(pace.pause(is_retry=is_retry), self._asked_wait())
                yield from self._wait(pace, seconds)

    def _decide(self, settings: Iterable[Declaration]) -> Flow[None]:
        for place, setting in enumerate(settings):
            if place % _AT_A_TIME == 0:
                yield Breathe()
            decision = decide(setting, self._listing)
            if isinstance(decision, Standing):
                self.standings[setting.name] = decision
            else:
                self._pending.append((setting, decision))

    def _wait(self, pace: DeclarationPace, seconds: float) -> Flow[None]:
        if seconds:
            self._progress.wait(seconds)
            yield Wait(seconds)
            pace.paused(seconds)

    def _asked_wait(self) -> float:
        """Return the seconds that the service asked for, with jitter."""
        return self.asked_for + self._random.uniform(0.2, 1.0) if self.asked_for else 0.0

    def _send(self, pace: DeclarationPace) -> Flow[None]:
        """Send the next declarations; those that fail go to the end of the queue."""
        count = min(pace.at_once, len(self._pending))
        group = [self._pending.popleft() for _ in range(count)]
        requests = [
            Request("POST", "/api/v1/settings/declare", json=post.bodies[0]) for _, post in group
        ]
        began = monotonic()
        answers: list[Answer] = yield Send(requests)
        seconds = monotonic() - began
        failed = created = 0
        for (setting, post), request, answer in zip(group, requests, answers, strict=True):
            if _is_failure(answer):
                failed += 1
                self._retry_later(setting, post)
                continue
            next_step = self._settle(setting, post, request, answer)
            created += self.standings[setting.name].outcome is DeclarationOutcome.CREATED
            if next_step is not None:
                self._pending.append((setting, next_step))
            else:
                self._progress.declared()
        self.asked_for = longest_asked(answers)
        self._in_vain = self._in_vain + 1 if failed == count else 0
        pace.sent(created=created, failed=failed, total=count, seconds=seconds)

    def _retry_later(self, setting: Declaration, post: Post) -> None:
        failures = self._failures[setting.name] = self._failures.get(setting.name, 0) + 1
        if failures > RETRIES or setting.name in self._degraded:
            self._degrade([(setting, post)])
        else:
            self._pending.append((setting, post))

    def _is_hopeless(self) -> bool:
        """Return whether to give up for now: others wait for their values."""
        return self.asked_for > MOST_WAITED or self._in_vain > RETRIES

    def _look(self, pace: DeclarationPace) -> Flow[None]:
        """List the service's settings again, and drop what others have declared meanwhile."""
        began = monotonic()
        try:
            self._listing, malformed = yield from fetch_listing()
        except ServiceError:
            # The list that there is serves; what is wrong shows when declarations fail, too.
            pace.look_failed(monotonic() - began)
            return
        self.malformed += malformed
        before = len(self._pending)
        pending, self._pending = self._pending, deque()
        yield from self._decide([setting for setting, _ in pending])
        found = before - len(self._pending)
        pace.looked(found=found, seconds=self._listing.seconds)
        self._progress.declared(found)

    def _degrade(self, posts: Iterable[ToSend]) -> None:
        for setting, post in posts:
            self.standings[setting.name] = post.standing

    def _settle(
        self, setting: Declaration, post: Post, request: Request, answer: Answer
    ) -> Post | None:
        """Record how a setting stands after a response; return the next step, if there is one."""
        try:
            standing = _standing(setting, post, request, received(request, answer))
        except UnexpectedResponse as error:
            standing = post.standing
            self.errors.append(without_frames(error))
        self.standings[setting.name] = standing
        if _is_overtaken(setting, post, standing):
            self.overtaken.append((setting, post))
            return None
        if post.note:
            self.notes[setting.name] = post.note
        return post.after(standing) if len(post.bodies) > 1 and not standing.refusal else None


def _is_overtaken(setting: Declaration, post: Post, standing: Standing) -> bool:
    """Return whether the listing that *post* was based on is out of date."""
    if standing.outcome is DeclarationOutcome.REJECTED:
        return standing.canonical_name is None
    if standing.outcome is DeclarationOutcome.OUTDATED:
        # Sending a newer version under the former name would rename it back.
        return len(post.bodies) > 1 and standing.canonical_name != setting.name
    return standing.outcome is DeclarationOutcome.MISMATCH


def _is_failure(answer: Answer) -> bool:
    if isinstance(answer, UnexpectedResponse):
        return False
    if isinstance(answer, Exception):
        return True
    return answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS


def _standing(
    setting: Declaration, post: Post, request: Request, response: httpx.Response
) -> Standing:
    if response.status_code == httpx.codes.OK:
        return _accepted(setting, post, request, response)
    if response.status_code < httpx.codes.BAD_REQUEST:
        raise unexpected(request, response, "Heksher does not use this status here")
    outcome, found = _conflict(response)
    reason = f"the service returned {response.status_code}{_text_of(response)}"
    return replace(
        post.standing,
        outcome=outcome,
        # The service keeps what it had, and its console shows that default.
        default_read=DefaultRead.THEIRS,
        refusal=RefusedDeclaration(setting.name, outcome, reason, found),
        differences=found,
    )


def _accepted(
    setting: Declaration, post: Post, request: Request, response: httpx.Response
) -> Standing:
    body = read_body(request, response, partial(wire.read, wire.OUTCOME_RESPONSE))
    if body["outcome"] not in ("created", "uptodate", "upgraded", "outdated"):
        raise unexpected(request, response, "unknown outcome")
    outcome, found = DeclarationOutcome(body["outcome"]), _differences(body)
    name = request.json["name"]
    if outcome is DeclarationOutcome.OUTDATED:
        renamed = [one.latest_value for one in found if one.attribute == "name"]
        name = str(renamed[0]) if renamed else name
    return Standing(
        setting.name,
        setting.index,
        name,
        outcome,
        DefaultRead.THEIRS
        if outcome is DeclarationOutcome.OUTDATED
        else DefaultRead.THEIRS_UNLESS_FALSY,
        # The service may lose part of an upgrade: keep what was there before it.
        listed=post.standing.listed if outcome is DeclarationOutcome.UPGRADED else None,
        differences=found,
        latest_version=body.get("latest_version"),
    )


def _conflict(response: httpx.Response) -> tuple[DeclarationOutcome, tuple[Difference, ...]]:
    if response.status_code != httpx.codes.CONFLICT:
        return DeclarationOutcome.REFUSED, ()
    try:
        body = wire.read(wire.OUTCOME_RESPONSE, response.content)
        return DeclarationOutcome(body["outcome"]), _differences(body)
    except ValueError:
        # Text or {"detail": ...}: a conflict of names, without differences.
        return DeclarationOutcome.REFUSED, ()


def _differences(body: wire.OutcomeResponse) -> tuple[Difference, ...]:
    return tuple(
        [
            Difference(
                one["level"], one.get("attribute"), one.get("latest_value"), one.get("message")
            )
            for one in body.get("differences", [])
        ]
    )


def _text_of(response: httpx.Response) -> str:
    """Return the service's own text, if it cannot contain a value."""
    if response.status_code not in _TEXT_IS_SAFE:
        return ""
    kind = response.headers.get("content-type", "")
    text: Any = None
    if kind.startswith("text/plain"):
        text = response.text
    elif kind.startswith("application/json"):
        try:
            text = wire.read(wire.ERROR_RESPONSE, response.content)["detail"]
        except wire.WrongShape:
            return ""
    return f": {text[:_TEXT_SHOWN]}" if isinstance(text, str) and text else ""

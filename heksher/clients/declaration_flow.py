"""Declaring settings, as a flow: few at a time, again when the service fails, and no further."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx

from heksher import wire
from heksher.clients.declaring import (
    DeclarationOutcome,
    DefaultRead,
    Post,
    Standing,
    decide,
)
from heksher.clients.effects import (
    AT_ONCE,
    Breathe,
    Request,
    Send,
    Wait,
    read_body,
    received,
    unexpected,
    without_frames,
)
from heksher.clients.retry_after import longest_asked
from heksher.clients.status import Difference, RefusedDeclaration
from heksher.exceptions import UnexpectedResponse

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Iterable

    from heksher.clients.effects import Answer, Flow
    from heksher.clients.listing import Listing
    from heksher.settings.declaration import Declaration

ToSend: TypeAlias = "tuple[Declaration, Post]"
"""A setting, and what is to be sent of it."""

RETRIES: Final = 3
"""How often a declaration is sent again after a 5xx, a 429, or no answer."""

MOST_WAITED: Final = 3.0
"""Seconds that the service may ask for between two attempts; a longer time ends them."""

_AT_A_TIME: Final = 200
"""How many settings are looked up in the list before others may run."""

_TEXT_SHOWN: Final = 200
_TEXT_IS_SAFE: Final = frozenset({400, 404, 409})
"""The statuses whose text names settings and features only, never a value."""


class Declarer:
    """Declares settings against one listing of the service.

    Args:
        listing: What the service lists.
        randomness: Where jitter comes from.
        degraded: The settings at which the service failed before; they are tried once, for others
            wait for their values.

    Attributes:
        standings: How each setting stands, by its declared name.
        notes: What is to be said once, by the setting's name.
        errors: The answers that are not Heksher's; those settings count as degraded.
        overtaken: What was sent to a service that holds otherwise than it listed, since another
            program declared something meanwhile.
        asked_for: Seconds for which the service asks to be sent no more.
    """

    def __init__(
        self, listing: Listing, randomness: random.Random, degraded: Collection[str] = ()
    ) -> None:
        self._listing = listing
        self._random = randomness
        self._degraded = degraded
        self._was_answered = False
        self.standings: dict[str, Standing] = {}
        self.notes: dict[str, str] = {}
        self.errors: list[UnexpectedResponse] = []
        self.overtaken: list[ToSend] = []
        self.asked_for = 0.0

    def declare(self, settings: Iterable[Declaration]) -> Flow[None]:
        """Find out how *settings* stand, and declare those that need it."""
        posts: list[tuple[Declaration, Post]] = []
        for place, setting in enumerate(settings):
            if place % _AT_A_TIME == 0:
                yield Breathe()
            decision = decide(setting, self._listing)
            if isinstance(decision, Standing):
                self.standings[setting.name] = decision
            else:
                posts.append((setting, decision))
        yield from self._post(posts)

    def _post(self, posts: list[ToSend]) -> Flow[None]:
        """Send declarations in rounds: what the service failed at is sent again in the next."""
        for failures in range(RETRIES + 1):
            if not posts:
                return
            if self.asked_for > MOST_WAITED:
                break
            if failures:
                yield Wait(self.asked_for + self._random.uniform(0.2, 1.0) * failures)
            posts = yield from self._round(posts, is_first=not failures)
        self._degrade(posts)

    def _round(self, posts: list[ToSend], *, is_first: bool) -> Flow[list[ToSend]]:
        """Send each of the declarations, and its next steps; return what is to be sent again."""
        unsent, failed = deque(posts), []
        while unsent:
            group = [unsent.popleft() for _ in range(min(AT_ONCE, len(unsent)))]
            requests = [
                Request("POST", "/api/v1/settings/declare", json=post.bodies[0])
                for _, post in group
            ]
            answers: list[Answer] = yield Send(requests)
            for (setting, post), request, answer in zip(group, requests, answers, strict=True):
                if _is_failure(answer):
                    failed.append((setting, post))
                    continue
                self._was_answered = True
                next_step = self._settle(setting, post, request, answer)
                if next_step is not None:
                    unsent.append((setting, next_step))
            self.asked_for = longest_asked(answers)
            if self.asked_for:
                break
            # Others wait for their values: no further requests that are lost, one by one, or sent
            # again to a service that has answered none.
            if all(isinstance(answer, Exception) for answer in answers):
                break
            if not (is_first or self._was_answered):
                break
        # Those without a turn come first, lest four that are always lost keep back all others.
        return self._to_be_retried([*unsent, *failed])

    def _to_be_retried(self, posts: list[ToSend]) -> list[ToSend]:
        self._degrade([one for one in posts if one[0].name in self._degraded])
        return [one for one in posts if one[0].name not in self._degraded]

    def _degrade(self, posts: Iterable[ToSend]) -> None:
        for setting, post in posts:
            self.standings[setting.name] = post.standing

    def _settle(
        self, setting: Declaration, post: Post, request: Request, answer: Answer
    ) -> Post | None:
        """Note how a setting stands after an answer; return what is to be sent next, if anything."""
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
    """Tell whether the service holds otherwise than the list said, by which *post* was decided."""
    if standing.outcome is DeclarationOutcome.REJECTED:
        return standing.canonical_name is None
    if standing.outcome is DeclarationOutcome.OUTDATED:
        # A newer version under its former name would rename it back.
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
        raise unexpected(request, response, "it is no status that Heksher gives here")
    outcome, found = _conflict(response)
    reason = f"the service answered {response.status_code}{_said(response)}"
    return replace(
        post.standing,
        outcome=outcome,
        # It holds what it held: its default is what its console shows.
        default_read=DefaultRead.THEIRS,
        refusal=RefusedDeclaration(setting.name, outcome, reason, found),
        differences=found,
    )


def _accepted(
    setting: Declaration, post: Post, request: Request, response: httpx.Response
) -> Standing:
    body = read_body(request, response, partial(wire.read, wire.OUTCOME_ANSWER))
    if body["outcome"] not in ("created", "uptodate", "upgraded", "outdated"):
        raise unexpected(request, response, "it has an unknown outcome")
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
        # An upgrade may have been lost in part: this is what was there before.
        listed=post.standing.listed if outcome is DeclarationOutcome.UPGRADED else None,
        differences=found,
        latest_version=body.get("latest_version"),
    )


def _conflict(response: httpx.Response) -> tuple[DeclarationOutcome, tuple[Difference, ...]]:
    if response.status_code != httpx.codes.CONFLICT:
        return DeclarationOutcome.REFUSED, ()
    try:
        body = wire.read(wire.OUTCOME_ANSWER, response.content)
        return DeclarationOutcome(body["outcome"]), _differences(body)
    except ValueError:
        # Text, or {"detail": ...}: a conflict of names, which lists no differences.
        return DeclarationOutcome.REFUSED, ()


def _differences(body: wire.OutcomeAnswer) -> tuple[Difference, ...]:
    return tuple(
        [
            Difference(
                one["level"], one.get("attribute"), one.get("latest_value"), one.get("message")
            )
            for one in body.get("differences", [])
        ]
    )


def _said(response: httpx.Response) -> str:
    """Return the service's own words, where they cannot hold a value."""
    if response.status_code not in _TEXT_IS_SAFE:
        return ""
    kind = response.headers.get("content-type", "")
    text: Any = None
    if kind.startswith("text/plain"):
        text = response.text
    elif kind.startswith("application/json"):
        try:
            text = wire.read(wire.ERROR_ANSWER, response.content)["detail"]
        except wire.WrongShape:
            return ""
    return f": {text[:_TEXT_SHOWN]}" if isinstance(text, str) and text else ""

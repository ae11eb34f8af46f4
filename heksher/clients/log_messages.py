"""Log records: each finding of a refresh once, and never the text of a value."""

from __future__ import annotations

import logging
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

from heksher.clients.conversation.declaring.outcomes import DeclarationOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from heksher.clients.conversation.declaring.outcomes import Standing
    from heksher.clients.conversation.rule_compiler import Refreshed
    from heksher.clients.status import RefusedDeclaration
    from heksher.settings.declaration import Declaration
    from heksher.settings.rules.rule_set import RuleSet

logger: Final = logging.getLogger("heksher")

NOT_AWAITED: Final = "callbacks are called, not awaited: make it a plain function"
"""The error of a callback that returns a coroutine."""

_FRAMES_SHOWN: Final = 20
"""How many of the innermost calls are logged when a callback raises."""

FAILURES_UNTIL_ERROR: Final = 5
"""The number of consecutive failures that is logged as an error."""


def report_refreshed(
    refreshed: Refreshed,
    settings: Callable[[], Mapping[int, Declaration]],
    former_rule_sets: Mapping[int, RuleSet[Any]],
    former_standings: Mapping[str, Standing],
    former_missing: tuple[str, ...],
) -> None:
    """Log what a refresh found that was not known before.

    Args:
        refreshed: The refresh.
        settings: Returns the settings by index; called only if there is something to log of them.
        former_rule_sets: The rule sets before the refresh, by index.
        former_standings: The standings before the refresh, by name.
        former_missing: The context features that were missing before the refresh.
    """
    compiled = [(index, refreshed.snapshot.rule_sets.get(index)) for index in refreshed.readings]
    news = {
        index: rule_set
        for index, rule_set in compiled
        if rule_set is not None
        and (rule_set.rejections or rule_set.coercions)
        and rule_set is not former_rule_sets.get(index)
    }
    for index, setting in settings().items() if news else ():
        if index in news:
            _report_values(setting.name, news[index], former_rule_sets.get(index))
    has_news = refreshed.standings is not former_standings
    for name, standing in refreshed.standings.items() if has_news else ():
        former = former_standings.get(name)
        if standing is not former:
            _report_standing(name, standing, former)
    for name, note in refreshed.notes.items():
        logger.warning("setting %r: %s", name, note, extra={"setting": name})
    report_malformed(refreshed.malformed)
    missing = refreshed.missing_features
    if missing and missing != former_missing:
        logger.error(
            "context features are missing from the service: %s. Rules with conditions on them"
            " cannot be added",
            list(missing),
            extra={"features": list(missing)},
        )


def report_malformed(malformed: Iterable[str]) -> None:
    """Log malformed entries of the service's list of settings."""
    for text in malformed:
        logger.warning("malformed entry of the service's response, ignored: %s", text)


def _report_values(name: str, rule_set: RuleSet[Any], former: RuleSet[Any] | None) -> None:
    known = set(former.rejections) if former else set()
    for rejection in rule_set.rejections:
        if rejection not in known:
            logger.warning(
                "%s",
                rejection,
                extra={"setting": rejection.setting_name, "rule": rejection.rule_id},
            )
    for rule_id, coercions in rule_set.coercions.items():
        if former is None or former.coercions.get(rule_id) != coercions:
            what = "the service's default" if rule_id is None else f"rule {rule_id}"
            logger.warning(
                "setting %r: %s was coerced: %s",
                name,
                what,
                "; ".join(str(one) for one in coercions),
                extra={"setting": name, "rule": rule_id},
            )


def _report_standing(name: str, standing: Standing, former: Standing | None) -> None:
    if former is None:
        if standing.outcome is DeclarationOutcome.UPTODATE and standing.refusal is None:
            return
    elif (former.outcome, former.refusal) == (standing.outcome, standing.refusal):
        return
    extra = {"setting": name, "outcome": standing.outcome.value}
    if standing.refusal is not None:
        level = logging.WARNING if _is_harmless(standing.refusal) else logging.ERROR
        logger.log(level, "%s", standing.refusal, extra=extra)
    elif standing.outcome is DeclarationOutcome.OUTDATED:
        listed = ", ".join(str(one) for one in standing.differences) or "none"
        logger.warning(
            "setting %r is outdated: the service has a newer version; differences: %s",
            name,
            listed,
            extra=extra,
        )
    elif standing.outcome is not DeclarationOutcome.UPTODATE:
        logger.info("setting %r was declared: %s", name, standing.outcome.value, extra=extra)
    elif former is not None and former.refusal is not None:
        logger.info("setting %r: the declaration is no longer refused", name, extra=extra)


def _is_harmless(refusal: RefusedDeclaration) -> bool:
    """Return whether only metadata differ, which no reader ever sees."""
    return refusal.outcome == DeclarationOutcome.MISMATCH and {
        one.attribute for one in refusal.differences
    } <= {"metadata", "name"}


def report_failure(error: Exception, failures: int) -> None:
    """Log a failed refresh: the first of a series, and the one that makes it serious."""
    if failures == 1:
        logger.warning("settings update failed: %s", in_words(error))
    elif failures == FAILURES_UNTIL_ERROR:
        logger.error(
            "%d consecutive updates failed; settings are stale: %s",
            failures,
            in_words(error),
        )


def report_recovery(failures: int) -> None:
    """Log the first successful refresh after *failures* failed ones."""
    logger.info("settings are updated again after %d consecutive failures", failures)


def report_started_from_snapshot(error: Exception, age: float, missing: list[str]) -> None:
    """Log that a client started from a snapshot, which lacks the context features *missing*."""
    logger.warning(
        "service unavailable at start-up (%s): using a snapshot from %.0f s ago until it recovers",
        in_words(error),
        age,
    )
    if missing:
        logger.error(
            "context features are missing from the snapshot: %s. It has no rules with conditions on"
            " them",
            missing,
            extra={"features": missing},
        )


def report_snapshot_unusable(path: Path, reason: Exception) -> None:
    """Log that a snapshot file cannot be used."""
    logger.warning("snapshot file %s ignored: %s", path, reason)


def report_snapshot_unsaved(path: Path, reason: str) -> None:
    """Log that a snapshot file could not be written; updates continue."""
    logger.warning("snapshot file %s could not be written: %s", path, reason)


def report_snapshot_incomplete(path: Path, left_out: Iterable[str]) -> None:
    """Log which values are not in a snapshot file."""
    for text in left_out:
        logger.warning("left out of the snapshot file %s: %s", path, text)


def report_forked(client: str, age: float | None, then: str) -> None:
    """Log that a process was forked from one with a started client, and what follows.

    Args:
        client: The class of the client.
        age: The age of the values in seconds; `None` if they were never fetched.
        then: A sentence that says what the client does in this process.
    """
    old = "were never fetched" if age is None else f"are {age:.0f} s old"
    logger.warning("process was forked after %s was started: settings %s. %s", client, old, then)


def report_callback(what: str, error: BaseException) -> None:
    """Log that a callback of the user's raised, and where.

    The messages of the exception and its causes are omitted, since they may quote a value.
    """
    is_ours = any(argument is NOT_AWAITED for argument in error.args)
    text = f": {NOT_AWAITED}" if is_ours else ""
    logger.error("%s raised %s%s%s", what, type(error).__name__, text, _places(error))


def _places(error: BaseException) -> str:
    """Return where *error* and its causes were raised, without their messages."""
    lines: list[str] = []
    for place, one in enumerate(_chain(error)):
        if place:
            lines.append(f"caused by {type(one).__name__}")
        frames = list(walk_tb(one.__traceback__))[-_FRAMES_SHOWN:]
        lines += [
            f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
            for frame, line in frames
        ]
    return "".join(f"\n{line}" for line in lines)


def _chain(error: BaseException) -> list[BaseException]:
    """Return *error* and its causes, each once."""
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and not any(one is behind for one in chain):
        chain.append(behind)
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    return chain


def in_words(error: BaseException) -> str:
    """Return the message of *error*, or its type if the message is empty."""
    return str(error) or type(error).__name__

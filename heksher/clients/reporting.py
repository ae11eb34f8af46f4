"""What a refresh found out, as log records: each thing once, and never the text of a value."""

from __future__ import annotations

import logging
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

from heksher.clients.declaring import DeclarationOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from heksher.clients.declaring import Standing
    from heksher.clients.refreshing import Refreshed
    from heksher.clients.status import RefusedDeclaration
    from heksher.settings.declaration import Declaration
    from heksher.settings.rules import RuleSet

logger: Final = logging.getLogger("heksher")

NOT_AWAITED: Final = "it is called, not awaited: make it a plain function"
"""What is wrong with a callback that returns a coroutine."""

_FRAMES_SHOWN: Final = 20
"""How many of the innermost calls are shown where a callback raised."""

FAILURES_UNTIL_ERROR: Final = 5
"""At how many failures in a row the log says so as an error."""


def report_refreshed(
    refreshed: Refreshed,
    settings: Callable[[], Mapping[int, Declaration]],
    former_rule_sets: Mapping[int, RuleSet[Any]],
    former_standings: Mapping[str, Standing],
    former_missing: tuple[str, ...],
) -> None:
    """Log what is new in a refresh, compared with what was known before it.

    Args:
        refreshed: The refresh.
        settings: Returns the settings by index; called only where there is news of some.
        former_rule_sets: What was read before, by index.
        former_standings: How settings stood before, by name.
        former_missing: The context features that were missing before.
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
            "the service no longer has the context features %s: rules with conditions on them can"
            " not be added any more",
            list(missing),
            extra={"features": list(missing)},
        )


def report_malformed(malformed: Iterable[str]) -> None:
    """Log what was left out of the service's list of settings."""
    for text in malformed:
        logger.warning("left out of the service's answer: %s", text)


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
        listed = ", ".join(str(one) for one in standing.differences) or "in nothing"
        logger.warning(
            "setting %r is outdated: the service has a newer version, different in: %s",
            name,
            listed,
            extra=extra,
        )
    elif standing.outcome is not DeclarationOutcome.UPTODATE:
        logger.info("setting %r was declared: %s", name, standing.outcome.value, extra=extra)
    elif former is not None and former.refusal is not None:
        logger.info("setting %r is declared as asked now", name, extra=extra)


def _is_harmless(refusal: RefusedDeclaration) -> bool:
    """Tell whether only metadata differ, which no reader ever sees."""
    return refusal.outcome == DeclarationOutcome.MISMATCH and {
        one.attribute for one in refusal.differences
    } <= {"metadata", "name"}


def report_failure(error: Exception, failures: int) -> None:
    """Log a refresh that failed: the first of a row, and the one that makes it serious."""
    if failures == 1:
        logger.warning("the settings could not be updated: %s", in_words(error))
    elif failures == FAILURES_UNTIL_ERROR:
        logger.error(
            "the settings could not be updated %d times in a row, and grow old: %s",
            failures,
            in_words(error),
        )


def report_recovery(failures: int) -> None:
    """Log that a refresh worked again, after *failures* that did not."""
    logger.info("the settings are updated again, after %d failures", failures)


def report_started_from_snapshot(error: Exception, age: float, missing: list[str]) -> None:
    """Log that a client started without its service, whose state lacks the features *missing*."""
    logger.warning(
        "the service did not help to start (%s): the settings are those of a snapshot, %.0f s old,"
        " until it does",
        in_words(error),
        age,
    )
    if missing:
        logger.error(
            "the service had no context features %s when the snapshot was taken: there are no rules"
            " with conditions on them",
            missing,
            extra={"features": missing},
        )


def report_snapshot_unusable(path: Path, reason: Exception) -> None:
    """Log that a snapshot file cannot be started from."""
    logger.warning("the snapshot file %s is not used: %s", path, reason)


def report_snapshot_unsaved(path: Path, reason: str) -> None:
    """Log that the last good state could not be written; updates go on."""
    logger.warning("the snapshot file %s could not be written: %s", path, reason)


def report_snapshot_incomplete(path: Path, left_out: Iterable[str]) -> None:
    """Log which values are not in a snapshot file."""
    for text in left_out:
        logger.warning("left out of the snapshot file %s: %s", path, text)


def report_forked(client: str, age: float | None, then: str) -> None:
    """Log that a process was forked from one in which a client ran."""
    old = "never fetched" if age is None else f"{age:.0f} s old"
    logger.warning(
        "this process was forked from one where %s ran; its settings are %s and %s",
        client,
        old,
        then,
    )


def report_callback(what: str, error: BaseException) -> None:
    """Log that a callback of the user's raised, and where; nothing else is harmed by it.

    Its text is left out, and so is that of the errors behind it: it may quote a value.
    """
    is_ours = any(argument is NOT_AWAITED for argument in error.args)
    text = f": {NOT_AWAITED}" if is_ours else ""
    logger.error("%s raised %s%s%s", what, type(error).__name__, text, _places(error))


def _places(error: BaseException) -> str:
    """Return where *error* was raised, and the ones behind it, without what they say."""
    lines: list[str] = []
    for place, one in enumerate(_chain(error)):
        if place:
            lines.append(f"because of {type(one).__name__}")
        frames = list(walk_tb(one.__traceback__))[-_FRAMES_SHOWN:]
        lines += [
            f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
            for frame, line in frames
        ]
    return "".join(f"\n{line}" for line in lines)


def _chain(error: BaseException) -> list[BaseException]:
    """Return *error* and what is behind it, each once."""
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and not any(one is behind for one in chain):
        chain.append(behind)
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    return chain


def in_words(error: BaseException) -> str:
    """Return the text of *error*, or its type where it has none."""
    return str(error) or type(error).__name__

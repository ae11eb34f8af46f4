"""Faults that the histories have to find, each planted in a copy of heksher.

A fault is looked for by a piece of source text, not by a path, so that modules may be moved. The piece
has to be there exactly once; where it is not, planting fails loudly: adapt the fault to what the code
says now.
"""

from __future__ import annotations

from typing import Final

from chaos.planting import Fault


def _fault(name: str, breaks: str, *edits: tuple[str, str]) -> Fault:
    return Fault(name, breaks, edits)


FAULTS: Final = [
    _fault(
        "etag-before-reading",
        "an ETag counts only for an answer that was published",
        (
            "        asked = self._asked_by(batch.names)\n        found, malformed",
            '        self.etags[batch.query] = response.headers.get("etag", "")\n'
            "        asked = self._asked_by(batch.names)\n        found, malformed",
        ),
    ),
    _fault(
        "etag-of-a-part",
        "an answer that was refused in part is asked for again",
        (
            "if _ETAG.fullmatch(etag) and not wrong_names and self._is_whole(batch):",
            "if _ETAG.fullmatch(etag):",
        ),
    ),
    _fault(
        "etag-never-sent",
        "what did not change is not fetched again",
        (
            'headers = {} if etag is None else {"If-None-Match": etag}',
            "headers: dict[str, str] = {}",
        ),
    ),
    _fault(
        "unasked-304-is-good",
        "a 304 that nobody asked for is no update",
        (
            'raise unexpected(request, response, "the request was not conditional")\n'
            '            self.etags[batch.query] = request.headers["If-None-Match"]',
            'pass\n            self.etags[batch.query] = response.headers.get("etag", "")',
        ),
    ),
    _fault(
        "etag-despite-new-validator",
        "a validator sees values that came before it",
        (
            "            and reading.validators == setting.validators\n",
            "",
        ),
    ),
    _fault(
        "etag-despite-new-tracking",
        "what is newly tracked is fetched",
        (
            "etag = self._session.etags.get((self._tracking, batch.query))",
            "etag = {one: etag for (_, one), etag in self._session.etags.items()}.get(batch.query)",
        ),
    ),
    _fault(
        "backoff-forgotten",
        "failures are retried soon, then less and less often",
        (
            "    if failures == 0:\n        return update_interval",
            "    if True:\n        return update_interval",
        ),
    ),
    _fault(
        "backoff-does-not-grow",
        "failures are retried less and less often",
        (" * 2.0 ** min(failures - 1, 60)", ""),
    ),
    _fault(
        "backoff-without-jitter",
        "processes that fail together do not retry together",
        (
            "return randomness.uniform(0, min(_cap(update_interval), span))",
            "return min(_cap(update_interval), span)",
        ),
    ),
    _fault(
        "interval-without-jitter",
        "processes that start together drift apart",
        (
            "return update_interval * randomness.uniform(1 - JITTER, 1 + JITTER)",
            "return update_interval",
        ),
    ),
    _fault(
        "retry-after-ignored",
        "a service that asks to be left alone is",
        (
            "return min(asked_for, _cap(update_interval)) * randomness.uniform(1, 1 + JITTER)",
            "return 0.0",
        ),
    ),
    _fault(
        "retry-after-to-declarations-ignored",
        "a service that asks to be sent no declarations is not",
        ("        self.asked_for = longest_asked(answers)", "        self.asked_for = 0.0"),
    ),
    _fault(
        "retry-at-once",
        "a failing service is not hammered",
        ("return randomness.uniform(0, min(_cap(update_interval), span))", "return 0.0"),
    ),
    _fault(
        "half-a-refresh-published",
        "readers see a refresh as a whole, or not yet",
        (
            "        for name in asked.keys() - found.keys() - malformed.keys():\n",
            "        from dataclasses import replace\n"
            "        registry = self._session.registry\n"
            "        registry.publish(\n"
            "            replace(registry.snapshot, rule_sets=dict(self._compiler.rule_sets))\n"
            "        )\n"
            "        for name in asked.keys() - found.keys() - malformed.keys():\n",
        ),
    ),
    _fault(
        "last-good-rule-dropped",
        "a rule whose new value is refused keeps its last good one",
        ("value = self._former_value(rule_id, conditions)", "value = _NO_VALUE"),
    ),
    _fault(
        "last-good-default-dropped",
        "a default that is refused leaves the last good one",
        (
            "if former is not None and former.default_origin is Origin.SERVICE_DEFAULT:",
            "if False and former is not None:",
        ),
    ),
    _fault(
        "new-order-ignored",
        "rules that overlap follow the service's order of context features",
        (
            "        if self._feature_order != self._previous.feature_order:\n"
            "            yield from compiler.reorder()",
            "        if self._feature_order != self._previous.feature_order:\n            pass",
        ),
    ),
    _fault(
        "order-read-once",
        "the order of context features is read at each refresh",
        (
            "        self._feature_order = (*vanished, *order)",
            "        self._feature_order = self._feature_order or (*vanished, *order)",
        ),
    ),
    _fault(
        "later-rule-loses",
        "the rule with the latest context feature wins",
        (
            "sorted(tiers, key=lambda tier: sum(map(bit_of, tier.positions)), reverse=True)",
            "sorted(tiers, key=lambda tier: len(tier.positions), reverse=True)",
        ),
    ),
    _fault(
        "age-from-the-end",
        "the age is never told younger than it is",
        ("if errors else asked_at,", "if errors else monotonic(),"),
    ),
    _fault(
        "age-of-a-failure",
        "what was not confirmed is as old as it was",
        (
            "taken_at=self._previous.taken_at if errors else asked_at,",
            "taken_at=asked_at,",
        ),
    ),
    _fault(
        "no-limit-on-bodies",
        "a body has a limit (asynchronous)",
        (
            "body = ResponseBody(response, self._endpoint.max_response_bytes)\n"
            "            async for chunk in response.aiter_raw",
            "body = ResponseBody(response, 10**12)\n            async for chunk in response.aiter_raw",
        ),
    ),
    _fault(
        "no-limit-on-bodies-in-threads",
        "a body has a limit (threaded)",
        (
            "body = ResponseBody(response, self._endpoint.max_response_bytes)\n"
            "            for chunk in response.iter_raw",
            "body = ResponseBody(response, 10**12)\n            for chunk in response.iter_raw",
        ),
    ),
    _fault(
        "no-limit-on-requests",
        "a whole request has a limit (asynchronous)",
        (
            "async with asyncio.timeout(self._endpoint.deadline):",
            "async with asyncio.timeout(None):",
        ),
    ),
    _fault(
        "no-limit-on-requests-in-threads",
        "a whole request has a limit (threaded)",
        (
            "response = thread.response(min(bound, _left(due())))",
            "response = thread.response(_left(due()))",
        ),
    ),
    _fault(
        "parents-connections-kept",
        "a forked child leaves its parent's connections alone",
        (
            "        clients, self._all, self._kept = self._all, set(), None\n"
            "        for pooled in clients:\n"
            "            if pooled.sockets is not None:\n"
            "                pooled.sockets.forget()",
            "        return",
        ),
    ),
    _fault(
        "parents-connections-shut-down",
        "a forked child says nothing to the other end",
        ("os.close(connected.detach())", "connected.shutdown(socket.SHUT_RDWR)"),
    ),
    _fault(
        "snapshot-in-its-place",
        "the last good state on disk is whole, or not there",
        (
            "        os.replace(name, path)",
            "        path.write_bytes(content)\n        os.unlink(name)",
        ),
    ),
    _fault(
        "snapshot-file-left",
        "nothing is left on disk but the snapshot",
        (
            "        os.replace(name, path)",
            "        import shutil\n        shutil.copy(name, name + '2')\n"
            "        os.replace(name, path)",
        ),
    ),
    _fault(
        "snapshot-not-used",
        "a client starts from a snapshot while the service is away",
        (
            "        snapshot = self._last_good.load(self.session, self._registry)",
            "        snapshot = None",
        ),
    ),
    _fault(
        "never-declared-again",
        "a setting that the service forgot is declared again",
        ("MAX_LOOKS: Final = 3", "MAX_LOOKS: Final = 0"),
    ),
    _fault(
        "malformed-in-silence",
        "what is malformed is an update that failed",
        (
            "        for name in sorted(wrong_names):\n",
            "        for name in ():\n",
        ),
        (
            "if _ETAG.fullmatch(etag) and not wrong_names and self._is_whole(batch):",
            "if _ETAG.fullmatch(etag) and self._is_whole(batch):",
        ),
    ),
    _fault(
        "failures-forgotten",
        "status tells of failures",
        ("        self.note(error)\n        report_failure(error, self.failures)", "        pass"),
    ),
    _fault(
        "every-failure-in-the-log",
        "a row of failures is two log records",
        (
            '    if failures == 1:\n        logger.warning("settings update',
            '    if failures:\n        logger.warning("settings update',
        ),
    ),
    _fault(
        "listener-fails-the-update",
        "a callback that raises harms nothing else",
        (
            "        report_callback(what, error)\n\n\ndef refuse_coroutine",
            "        raise\n\n\ndef refuse_coroutine",
        ),
    ),
    _fault(
        "change-not-told",
        "listeners are told of all that changed",
        (
            "        if rule_set is not former and not rule_set.reads_as(former):\n"
            "            self.changed.add(setting)",
            "        if rule_set is not former and not rule_set.reads_as(former):\n"
            "            if rule_set.shape == former.shape:\n"
            "                self.changed.add(setting)",
        ),
    ),
    _fault(
        "told-too-early",
        "listeners are told after publishing",
        (
            "        async with self.modification_lock:\n            former",
            "        self._notify(refreshed)\n        async with self.modification_lock:\n            former",
        ),
        (
            "        await breathe()\n        self._notify(refreshed)\n",
            "        await breathe()\n",
        ),
    ),
    _fault(
        "defaults-lost-while-publishing",
        "what other threads set while a refresh is published stays",
        (
            "        with self._lock:\n            content: StateContent = self.state[0]\n            replaced",
            "        if True:\n            content: StateContent = self.state[0]\n            replaced",
        ),
    ),
    _fault(
        "tasks-left",
        "nothing is left behind by a closed client",
        (
            "        for task in tasks:\n            task.cancel()\n        return tasks",
            "        return set()",
        ),
    ),
    _fault(
        "reload-waits-for-ever",
        "a reload ends when the client is closed",
        (
            "            self._served += self._waiting\n"
            "            self._waiting = []\n"
            "            self._news.notify_all()\n",
            "            self._news.notify_all()\n",
        ),
    ),
    _fault(
        "changes-wait-for-ever",
        "iterators end when the client is closed",
        (
            "        self._changes.close()\n        self._driver.abort()",
            "        self._driver.abort()",
        ),
    ),
    _fault(
        "loop-without-end",
        "an update ends (this one hangs: no time passes)",
        ("        del rule_sets[-RULE_SETS_IN_ONE_GO:]", "        pass"),
    ),
]

"""Many requests at once: one takes effect, the others are told so, and nothing hangs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher.server import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import FastAPI

    Story = Callable[["FastAPI"], Coroutine[Any, Any, None]]

AT_ONCE = 60


def run(story: Story) -> None:
    """Run a story on a fresh service, without asyncio's debug mode, which is slow and polite."""
    app = create_app(context_features=["user"])
    with asyncio.Runner(debug=False) as runner:
        runner.run(story(app))


async def at_once(app: FastAPI, path: str, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    """Post all bodies together, each with a client of its own."""

    async def post(body: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://heksher") as client:
            return await client.post(path, json=body)

    return list(await asyncio.gather(*map(post, bodies)))


async def declare_at_once(app: FastAPI, bodies: list[dict[str, Any]]) -> Counter[str]:
    common = {"name": "x", "configurable_features": ["user"], "type": "int", "default_value": 1}
    answers = await at_once(app, "/api/v1/settings/declare", [{**common, **b} for b in bodies])
    return Counter(answer.json()["outcome"] for answer in answers)


def test_same_new_setting_is_created_once() -> None:
    async def story(app: FastAPI) -> None:
        outcomes = await declare_at_once(app, [{}] * AT_ONCE)

        assert outcomes == {"created": 1, "uptodate": AT_ONCE - 1}

    run(story)


def test_many_new_settings_are_all_created() -> None:
    async def story(app: FastAPI) -> None:
        outcomes = await declare_at_once(app, [{"name": f"s{i}"} for i in range(AT_ONCE)])

        assert outcomes == {"created": AT_ONCE}

    run(story)


@pytest.mark.parametrize(
    "upgrade",
    [{"default_value": 2}, {"name": "new", "alias": "x"}, {"metadata": {"k": 1}}],
    ids=["default", "rename", "metadata"],
)
def test_same_upgrade_takes_effect_once(upgrade: dict[str, Any]) -> None:
    async def story(app: FastAPI) -> None:
        await declare_at_once(app, [{}])

        outcomes = await declare_at_once(app, [{"version": "1.1", **upgrade}] * AT_ONCE)

        assert outcomes == {"upgraded": 1, "uptodate": AT_ONCE - 1}

    run(story)


def test_different_upgrades_to_one_version_are_not_both_accepted() -> None:
    async def story(app: FastAPI) -> None:
        await declare_at_once(app, [{}])
        upgrades = [{"version": "1.1", "default_value": 2 + i} for i in range(AT_ONCE)]

        outcomes = await declare_at_once(app, upgrades)

        assert outcomes == {"upgraded": 1, "mismatch": AT_ONCE - 1}

    run(story)


def test_same_rule_is_added_once() -> None:
    async def story(app: FastAPI) -> None:
        await declare_at_once(app, [{}])
        rules = [
            {"setting": "x", "feature_values": {"user": "u"}, "value": i} for i in range(AT_ONCE)
        ]

        answers = await at_once(app, "/api/v1/rules", rules)

        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: AT_ONCE - 1}

    run(story)


def test_queries_see_whole_upgrades_only() -> None:
    """Each upgrade changes the default and the name; no answer has one without the other."""

    async def story(app: FastAPI) -> None:
        await declare_at_once(app, [{"name": "s0", "default_value": 0}])

        async def upgrade() -> None:
            for i in range(1, 30):
                body = {"name": f"s{i}", "alias": f"s{i - 1}", "default_value": i}
                await declare_at_once(app, [{**body, "version": f"1.{i}"}])

        async def ask() -> None:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
                for _ in range(40):
                    [(name, setting)] = (
                        (await client.get("/api/v1/query")).json()["settings"].items()
                    )
                    assert name == f"s{setting['default_value']}"

        await asyncio.gather(upgrade(), *[ask() for _ in range(4)])

    run(story)

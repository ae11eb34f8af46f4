"""Declare settings, add rules, and watch a value change: `python examples/quickstart.py`."""

import asyncio
import time
from typing import Literal

import httpx
from local_service import local_service
from narration import Narrator

from heksher import AsyncHeksherClient, Setting, bind_context

FEATURES = ["environment", "country", "user"]

cache_ttl = Setting[int](
    "cache.ttl", configurable_features=["environment", "user"], default_value=60
)
theme = Setting[Literal["light", "dark"]](
    "ui.theme", configurable_features=["country", "user"], default_value="light"
)


async def add_rule(api: httpx.AsyncClient, setting: str, value: object, **conditions: str) -> int:
    body = {"setting": setting, "feature_values": conditions, "value": value}
    response = await api.post("/api/v1/rules", json=body)
    return int(response.raise_for_status().json()["rule_id"])


def read_johns() -> int:
    return cache_ttl.get(user="john")


async def main(url: str, narrator: Narrator) -> None:
    say, show = narrator.say, narrator.show
    say(f"A Heksher service is running at {url}.")
    async with (
        httpx.AsyncClient(base_url=url) as api,
        AsyncHeksherClient(url, update_interval=0.2, context_features=FEATURES) as client,
    ):
        names = ", ".join(await client.get_settings())
        say(f"This program has declared its settings to it: {names}.")
        client.set_defaults(environment="production", country="de")

        say("Somebody adds three rules on the service.")
        await add_rule(api, "cache.ttl", 300, environment="production")
        johns_rule = await add_rule(api, "cache.ttl", 5, user="john")
        await add_rule(api, "ui.theme", "dark", user="john")
        show("cache.ttl = 300     for environment=production")
        show("cache.ttl = 5       for user=john")
        show("ui.theme  = 'dark'  for user=john")
        await client.reload()

        say("The program reads typed values, from memory.")
        show("cache_ttl.get(user='mary')  ", cache_ttl.get(user="mary"))
        show("cache_ttl.get(user='john')  ", cache_ttl.get(user="john"))
        with bind_context(user="john"):
            show("theme.get()                 ", f"{theme.get()!r}, with user='john' bound")

        say("It goes on reading, and somebody changes John's rule from 5 to 7.")
        johns = "cache_ttl.get(user='john')  "
        await narrator.watch(johns, read_johns, "<- Enter changes the rule to 7")
        changes, began = client.changes(), time.monotonic()
        await api.put(f"/api/v1/rules/{johns_rule}/value", json={"value": 7})
        await anext(changes)
        passed = time.monotonic() - began
        await narrator.watch(johns, read_johns, "<- Enter goes on")
        say(f"The new value was there {passed:.2f} s after the change, without a restart.")

        say("And it can say why John reads what he reads.")
        narrator.text(str(cache_ttl.explain(user="john")))


def next_steps(narrator: Narrator) -> None:
    narrator.say("Next steps:")
    narrator.show("docs/tutorial.md             ", "the same in your own program, in ten minutes")
    narrator.show("docs/index.md                ", "what it is for, and what it promises")
    narrator.show("examples/                    ", "FastAPI, a settings model, tests")
    narrator.show("scripts/test                 ", "everything that CI checks")
    narrator.say("A service of your own, for the tutorial or for trying things out:")
    features = ",".join(FEATURES)
    narrator.text(f".venv/bin/python -m heksher.server --port 9999 --context-features {features}")


if __name__ == "__main__":
    with local_service(*FEATURES) as service_url:
        told = Narrator()
        asyncio.run(main(service_url, told))
        next_steps(told)

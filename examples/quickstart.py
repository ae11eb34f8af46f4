"""Declare settings, add rules, and watch a value change: `python examples/quickstart.py`."""

import asyncio
from typing import Literal

import httpx
from local_service import local_service

from heksher import AsyncHeksherClient, Setting, bind_context

cache_ttl = Setting[int](
    "cache.ttl", configurable_features=["environment", "user"], default_value=60
)
theme = Setting[Literal["light", "dark"]](
    "ui.theme", configurable_features=["user"], default_value="light"
)
backends = Setting[list[str]](
    "search.backends", configurable_features=["environment"], default_value=["primary"]
)


async def add_rule(api: httpx.AsyncClient, setting: str, value: object, **conditions: str) -> int:
    body = {"setting": setting, "feature_values": conditions, "value": value}
    answer = await api.post("/api/v1/rules", json=body)
    print(f"  + {setting} = {value!r} for {conditions}")
    return int(answer.raise_for_status().json()["rule_id"])


async def main(url: str) -> None:
    features = ["environment", "user"]
    async with (
        httpx.AsyncClient(base_url=url) as api,
        AsyncHeksherClient(url, update_interval=0.2, context_features=features) as client,
    ):
        print(f"\nDeclared to {url}: {', '.join(await client.get_settings())}")
        client.set_defaults(environment="production")

        print("\nRules, added over HTTP:")
        await add_rule(api, "cache.ttl", 300, environment="production")
        rule_id = await add_rule(api, "cache.ttl", 5, user="john")
        await add_rule(api, "ui.theme", "dark", user="john")
        await add_rule(api, "search.backends", ["primary", "replica"], environment="production")
        await client.reload()

        print("\nValues, read in memory:")
        print(f"  cache.ttl for john    {cache_ttl.get(user='john')}")
        print(f"  cache.ttl for mary    {cache_ttl.get(user='mary')}")
        print(f"  cache.ttl in a test   {cache_ttl.get(environment='test', user='mary')}")
        with bind_context(user="john"):
            print(f"  ui.theme, bound john  {theme.get()}")
        print(f"  search.backends       {backends.get()}")

        print("\nThe rule for john is changed to 7, and the client notices by itself:")
        changes = client.changes()
        await api.put(f"/api/v1/rules/{rule_id}/value", json={"value": 7})
        changed = await anext(changes)
        print(f"  changed: {', '.join(setting.name for setting in changed)}")
        print(f"  cache.ttl for john    {cache_ttl.get(user='john')}")

        print("\nWhy this value?")
        print(cache_ttl.explain(user="john"))


if __name__ == "__main__":
    with local_service("environment", "user") as service_url:
        asyncio.run(main(service_url))

"""Declare settings as a pydantic model, and read them as one object: `python examples/model.py`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from heksher import PROVIDED, ContextFeatures, SettingsModel, ThreadHeksherClient
from heksher.testing import LocalService


class Features(ContextFeatures):
    environment: str = PROVIDED
    user: str


class Connection(SettingsModel):
    host: str = "localhost"
    port: Annotated[int, Field(ge=1, le=65_535)] = 6_379


class Cache(SettingsModel, prefix="cache", context=Features):
    ttl: int = Field(default=60, ge=0, description="seconds that a page is kept")
    max_ttl: int = 3_600
    backend: Literal["memory", "redis"] = "memory"
    redis: Connection = Connection(host="redis")

    @model_validator(mode="after")
    def ttl_is_not_above_its_maximum(self) -> "Cache":
        if self.ttl > self.max_ttl:
            raise ValueError("ttl is above max_ttl")
        return self


def main() -> None:
    with (
        LocalService(Features) as service,
        ThreadHeksherClient(service.url, 60, Features) as client,
    ):
        print("Settings:", ", ".join(one.name for one in Cache.settings.values()))
        client.set_defaults(environment="production")

        service.add_rule(Cache.settings["backend"], "redis", environment="production")
        service.add_rule(Cache.settings["redis.port"], 6_380, user="john")
        service.add_rule(Cache.settings["ttl"], 9_999, user="mary")
        client.reload()

        john = Cache.get(user="john")
        print("John: ", john)
        print("The same object again:", Cache.get(user="john") is john)

        print("Mary's ttl is above its maximum, so she reads the declared defaults:")
        print("Mary: ", Cache.get(user="mary"))

        with Features.bind(user="jane"), Cache.override(ttl=5):
            print("Jane: ", Cache.current)

        print()
        print(Cache.settings["redis.port"].explain(user="john"))


if __name__ == "__main__":
    main()

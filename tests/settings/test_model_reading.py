"""Reading a `SettingsModel`: one object for each combination of values, from one state."""

# ruff: noqa: RUF012  # pydantic copies mutable defaults
from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence  # noqa: TC003  # pydantic resolves them
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntFlag
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator
from typing_extensions import TypedDict

from heksher import InvalidValue, MissingContextFeature, SettingsModel, UsageError, bind_context
from heksher.settings.context import default_source
from heksher.settings.reading.state import Snapshot
from heksher.settings.registry import Registry
from heksher.settings.rules.compiling import CompileOptions, compile_rule_set
from heksher.settings.setting import declaration_of
from heksher.settings.types.equality import content_of
from heksher.settings.types.read_only import FrozenDict, FrozenList, FrozenSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Publish

REGISTRY = Registry()
BOUND = 20.0
"""Seconds that threads wait for each other, unless one of them failed."""


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Access(IntFlag):
    READ = 1
    WRITE = 2


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)

    x: int = 1
    y: int = 2


class Prices(TypedDict):
    small: int


class Inner(SettingsModel):
    names: list[str] = ["a"]


class Everything(SettingsModel, prefix="all", configurable_features=["user"], registry=REGISTRY):
    number: int = 1
    ratio: float = 0.5
    text: str = "x"
    flag: bool = True
    colour: Colour = Colour.RED
    access: Access = Access.READ
    items: list[int] = [1]
    table: dict[str, list[int]] = {"a": [1]}
    members: set[Colour] = {Colour.RED}
    frozen: frozenset[Colour] = frozenset({Colour.RED})
    sequence: Sequence[str] = ["a"]
    mapping: Mapping[str, int] = {"a": 1}
    pair: tuple[int, ...] = (1, 2)
    wait: timedelta = timedelta(seconds=3)
    price: Decimal = Decimal("1.0")
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    point: Point = Point()
    prices: Prices = {"small": 1}
    inner: Inner = Inner()


class Range(SettingsModel, prefix="range", configurable_features=["user"], registry=REGISTRY):
    """One whose own validators refuse some combinations."""

    low: int = 1
    high: int = 10

    @model_validator(mode="after")
    def in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.fixture
def registry() -> Iterator[Registry]:
    """The registry of the models above, as it was after the test."""
    yield REGISTRY
    REGISTRY.publish(Snapshot())
    REGISTRY.set_defaults({}, replace=True)


def test_model_holds_what_its_settings_read(registry: Registry) -> None:
    read = Everything.get(user="x")

    for name, setting in Everything.settings.items():
        found: Any = read
        for step in name.split("."):
            found = getattr(found, step)
        assert found == setting.get(user="x")
        assert type(found) is type(setting.get(user="x"))


def test_instance_is_read_only_at_any_depth(registry: Registry, publish: Publish) -> None:
    publish(Everything.settings["table"], default={"a": [1, 2]})
    read: Any = Everything.get(user="x")

    assert type(read.items) is type(read.table["a"]) is FrozenList
    assert type(read.table) is FrozenDict
    assert type(read.members) is FrozenSet
    assert type(read.inner.names) is FrozenList
    with pytest.raises(ValidationError, match="frozen"):
        read.number = 2
    with pytest.raises(ValidationError, match="frozen"):
        read.inner.names = []
    with pytest.raises(TypeError, match="read-only"):
        read.table["a"].append(3)


def test_same_object_while_nothing_relevant_changed(registry: Registry, publish: Publish) -> None:
    rules = [(1, [["user", "x"]], [1, 2]), (2, [["user", "y"]], [1, 2])]
    publish(Everything.settings["items"], rules)
    before = Everything.get(user="x")

    assert Everything.get(user="x") is before
    assert Everything.get(user="y") is before
    assert Everything.get(user="z") is not before


def test_same_object_after_equal_values_were_downloaded_again(
    registry: Registry, publish: Publish
) -> None:
    for setting in Everything.settings.values():
        publish(setting)
    before = Everything.get(user="x")
    for setting in Everything.settings.values():
        publish(setting)
    gc.collect()

    assert Everything.get(user="x") is before


def test_change_of_one_value_gives_another_object(registry: Registry, publish: Publish) -> None:
    before = Everything.get(user="x")

    publish(Everything.settings["items"], default=[1, 2])

    assert Everything.get(user="x") is not before
    assert Everything.get(user="x").items == [1, 2]
    publish(Everything.settings["items"], default=[1])
    assert Everything.get(user="x") is before


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.00")),
        ([1], [True]),
        ((1,), (1.0,)),
        ({"a": 1}, {"a": True}),
        (frozenset({1}), frozenset({1.0})),
        (
            datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
        (Point(x=1), Point.model_construct(x=True)),
    ],
    ids=repr,
)
def test_values_that_are_equal_but_not_the_same_are_told_apart(left: Any, right: Any) -> None:
    assert left == right or isinstance(left, Point)
    assert content_of(left) != content_of(right)


def test_values_of_another_order_are_the_same() -> None:
    assert content_of({"a": 1, "b": 2}) == content_of({"b": 2, "a": 1})


def test_decimal_that_is_written_otherwise_is_read_as_written(
    registry: Registry, publish: Publish
) -> None:
    publish(Everything.settings["price"], [(1, [["user", "x"]], "1.00")])

    assert str(Everything.get(user="y").price) == "1.0"
    assert str(Everything.get(user="x").price) == "1.00"


def test_current_is_the_model_for_the_ambient_context(registry: Registry, publish: Publish) -> None:
    publish(Range.settings["low"], [(1, [["user", "john"]], 5)])

    with bind_context(user="john"):
        assert Range.current is Range.get(user="john")
        assert Range.current.current.low == 5
    registry.set_defaults({"user": default_source("user", "john")})
    assert Range.current.low == 5


def test_context_is_checked_as_for_a_setting(registry: Registry) -> None:
    with pytest.raises(TypeError, match=r"Range\.get\(\) got an unexpected .* 'usr'"):
        Range.get(usr="x")
    with pytest.raises(MissingContextFeature, match="'user'"):
        Range.get()
    with pytest.raises(MissingContextFeature) as caught:
        _ = Range.current
    assert isinstance(caught.value, AttributeError)


def test_feature_may_be_called_like_a_word_of_python(registry: Registry, publish: Publish) -> None:
    class Odd(SettingsModel, prefix="odd", configurable_features=["class", "self"], registry=registry):  # fmt: skip
        a: int = 1

    publish(Odd.settings["a"], [(1, [["class", "x"]], 2)])

    assert Odd.get(**{"class": "x", "self": "y"}).a == 2


def test_refused_combination_reads_as_all_defaults_and_is_reported_once(
    registry: Registry, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish(Range.settings["low"], [(7, [["user", "x"]], 90), (8, [["user", "y"]], 2)])
    publish(Range.settings["high"], [(9, [["user", "x"]], 80)])

    for _ in range(3):
        assert Range.get(user="x") == Range(low=1, high=10)
    assert Range.get(user="y").low == 2

    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.__dict__["rules"] == [7, 9]
    assert record.__dict__["model"] == "Range"
    assert "90" not in record.getMessage()


def test_refused_combination_of_the_ambient_context_names_its_rules(
    registry: Registry, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    publish(Range.settings["low"], [(3, [["user", "a"]], 50), (4, [["user", "b"]], 50)])

    with bind_context(user="b"):
        assert Range.get().low == 1

    assert [one.__dict__["rules"] for one in caplog.records] == [[4]]


def test_validator_that_raises_anything_harms_no_reader(
    registry: Registry, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    class Fragile(SettingsModel, prefix="f", configurable_features=["user"], registry=registry):
        a: int = 1

        @field_validator("a")
        @classmethod
        def check(cls, value: int) -> int:
            return 10 // (value - 5)

    publish(Fragile.settings["a"], default=5)

    assert Fragile.get(user="x") is Fragile.get(user="x")
    assert len(caplog.records) == 1


def test_instances_of_1024_combinations_are_kept(registry: Registry, publish: Publish) -> None:
    users = [str(number) for number in range(3_000)]
    publish(
        Range.settings["high"],
        [(number, [["user", user]], 100 + number) for number, user in enumerate(users)],
    )

    first = [Range.get(user=user) for user in users]
    kept = [weakref.ref(one) for one in first[:1_024]]
    again = [Range.get(user=user) for user in users[-1_024:]]

    assert all(one is two for one, two in zip(first[-1_024:], again, strict=True))
    assert Range.get(user="0") == first[0]
    del first
    gc.collect()
    assert [one for one in kept[1:] if one() is not None] == []


def test_values_in_many_copies_give_one_instance(registry: Registry, publish: Publish) -> None:
    found = set()
    for number in range(2_500):
        publish(Everything.settings["items"], default=[1, 2] if number % 2 else [3])
        found.add(id(Everything.get(user="x")))

    assert len(found) == 2


def test_copies_and_pickles_are_equal_and_free(registry: Registry) -> None:
    read = Everything.get(user="x")

    for copied in (copy.deepcopy(read), pickle.loads(pickle.dumps(read))):  # noqa: S301  # our own
        assert copied == read
        assert type(copied) is Everything
        copied.items.append(2)
    assert copy.copy(read) == read
    assert read.model_copy(update={"number": 5}).number == 5
    assert Everything.get(user="x").items == [1]


def test_instance_dumps_as_any_model(registry: Registry) -> None:
    read = Everything.get(user="x")

    assert json.loads(read.model_dump_json()) == read.model_dump(mode="json")
    assert read.model_dump()["table"] == {"a": [1]}
    assert hash(Range.get(user="x")) == hash(Range())


def test_override_of_fields_ends_with_its_block(registry: Registry, publish: Publish) -> None:
    publish(Everything.settings["items"], default=[5])

    with Everything.override(number=3, **{"inner.names": ["z"]}):
        assert Everything.get(user="x").number == 3
        assert Everything.get(user="x").inner.names == ["z"]
        assert Everything.get(user="x").items == [5]
    assert Everything.get(user="x").number == 1


def test_wrong_override_is_an_error_before_the_block(registry: Registry) -> None:
    with pytest.raises(
        InvalidValue, match=r"override of setting 'all.number' must be an int, not str"
    ):
        Everything.override(text="y", number="x")
    with pytest.raises(UsageError, match=r"no setting 'inner'.*'inner.names'"):
        Everything.override(inner=3)
    assert Everything.get(user="x").text == "x"


def test_model_declared_while_pinned_reads_its_defaults(registry: Registry) -> None:
    with registry.pinned():

        class Late(SettingsModel, prefix="late", configurable_features=["user"], registry=registry):
            a: int = 1

        assert Late.get(user="x").a == 1
        with Late.override(a=5), bind_context(user="x"):
            assert Late.get().a == 5


def test_pinned_model_stays_as_it_was(registry: Registry, publish: Publish) -> None:
    with registry.pinned():
        before = Range.get(user="x")
        publish(Range.settings["low"], default=3)
        assert Range.get(user="x") is before
    assert Range.get(user="x").low == 3


@pytest.fixture
def fast_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def publish_both(number: int) -> None:
    """Publish a state in which the fields of `Range` are *number* and the next."""
    rule_sets = {}
    for name, value in (("low", number), ("high", number + 1)):
        setting = Range.settings[name]
        rule_sets[declaration_of(setting).index] = compile_rule_set(
            declaration_of(setting),
            value,
            [(1, [["user", "x"]], value)],
            previous=None,
            options=CompileOptions(feature_order=("user",)),
        )
    REGISTRY.publish(Snapshot(rule_sets=rule_sets))


def test_no_instance_is_half_old_and_half_new(fast_switching: None, registry: Registry) -> None:
    publish_both(0)
    failures: list[object] = []
    done = threading.Event()

    def read() -> None:
        last = 0
        while not done.is_set():
            with bind_context(user="x"):
                seen = [Range.get(user="x"), Range.get(), Range.current, Range.get(user="y")]
            numbers = [one.low for one in seen]
            if any(one.high != one.low + 1 for one in seen) or sorted(numbers) != numbers:
                failures.append(seen)
            if numbers[0] < last:
                failures.append((last, numbers))
            last = numbers[-1]

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2_000):
        publish_both(number)
    done.set()
    for thread in threads:
        thread.join()

    assert not failures


def test_threads_that_meet_at_a_new_combination_get_one_object(
    fast_switching: None, registry: Registry
) -> None:
    barrier = threading.Barrier(4, timeout=BOUND)
    found: list[list[Range]] = [[] for _ in range(4)]

    def read(mine: list[Range]) -> None:
        for number in range(200):
            barrier.wait()
            if barrier.n_waiting == 0 and mine is found[0]:
                publish_both(number + 5_000)
            barrier.wait()
            mine.append(Range.get(user="x"))

    threads = [threading.Thread(target=read, args=[mine]) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(len({id(one) for one in met}) == 1 for met in zip(*found, strict=True))


def test_first_use_by_many_threads_declares_once(fast_switching: None) -> None:
    registry = Registry()
    namespace = {"__annotations__": {"a": "Late"}, "a": 1, "__module__": __name__}
    make: Any = type(SettingsModel)
    model = make("M", (SettingsModel,), namespace, prefix="m", context=["user"], registry=registry)
    globals()["Late"] = int
    barrier = threading.Barrier(8, timeout=BOUND)
    found: list[Any] = []

    def use() -> None:
        barrier.wait()
        found.append(model.settings["a"])

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del globals()["Late"]

    assert len(set(map(id, found))) == 1
    assert registry.find("m.a").setting is found[0]


def test_threads_may_read_more_combinations_than_are_kept(
    fast_switching: None, registry: Registry, publish: Publish
) -> None:
    rules = [(number, [["user", str(number)]], 100 + number) for number in range(1_500)]
    publish(Range.settings["high"], rules)
    failures: list[object] = []

    def read() -> None:
        try:
            for number in range(1_500):
                assert Range.get(user=str(number)).high == 100 + number
        except Exception as error:  # noqa: BLE001  # told below
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures

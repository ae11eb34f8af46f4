"""JSON Schema and Markdown of declared settings."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntFlag
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, NewType, NotRequired
from uuid import UUID

import pytest
from annotated_types import Gt, MaxLen, MinLen
from hypothesis import given
from hypothesis import strategies as st
from ids import shown
from jsonschema import Draft202012Validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl
from typing_extensions import TypedDict

from heksher import HeksherSequence, Setting, SettingType, UnknownSetting
from heksher.settings.documents import declared_settings, json_schema, markdown
from heksher.settings.registry import Registry
from heksher.settings.types.annotations import decoder_of
from heksher.settings.types.custom import Conversion
from heksher.settings.types.decoder import Coercion, Rejected


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(Enum):
    OFF = False
    ONE = 1
    HALF = 0.5


class Access(IntFlag):
    READ = 1
    WRITE = 2


class Window(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int = Field(ge=0, description="The least.")
    high: Annotated[int, Field(le=9)] = 9


class Nested(BaseModel):
    model_config = ConfigDict(frozen=True)

    first: Window = Window(low=1)
    second_one: Window = Field(alias="second")


@dataclass(frozen=True)
class Sizes:
    small: list[Annotated[int, Field(ge=0)]]
    large: list[int]


class Names(TypedDict):
    first: str
    last: NotRequired[str]


class Upper(SettingType[str]):
    def heksher_string(self) -> str:
        return 'Enum["a","b"]'

    def convert_from_heksher(self, x: Any) -> Conversion[str]:
        return Conversion(x.upper())

    def convert_to_heksher(self, x: str) -> Any:
        return x.lower()


UserId = NewType("UserId", int)

DEFAULTS: list[tuple[Any, Any]] = [
    (int, 0),
    (int, 2**64 - 1),
    (float, 3),
    (str, ""),
    (bool, False),
    (UserId, 3),
    (Annotated[int, Field(ge=0, lt=10, multiple_of=2)], 8),
    (Annotated[str, Field(min_length=1, max_length=3, pattern="^a")], "abc"),
    (Annotated[float, Gt(Decimal("0.5"))], 1.0),
    (Annotated[int, AfterValidator(abs)], 3),
    (datetime, datetime(2024, 1, 31, 12, 30)),
    (date, date(2024, 1, 31)),
    (time, time(12, 30)),
    (timedelta, timedelta(seconds=-90)),
    (Decimal, Decimal("1E+2")),
    (UUID, UUID(int=1)),
    (HttpUrl, HttpUrl("https://example.com")),
    (Path, Path("a/b")),
    (Colour, Colour.RED),
    (Level, Level.OFF),
    (Literal["a", 2, True], True),
    (Access, Access.READ | Access.WRITE),
    (Access, Access(0)),
    (frozenset[Colour], frozenset({Colour.BLUE})),
    (set[Literal[1, 2]], {2}),
    (Annotated[set[Literal[1, 2]], MinLen(1)], {2}),
    (list[int], []),
    (tuple[float, ...], (1.0, 2.0)),
    (Annotated[list[Annotated[int, Field(ge=1)]], MaxLen(2)], [1, 2]),
    (frozenset[int], frozenset({3, 1})),
    (dict[str, list[Colour]], {"a": [Colour.RED]}),
    (Mapping[str, Annotated[int, Field(le=3)]], {"a": 1}),
    (Window, Window(low=0)),
    (Nested, Nested(second=Window(low=2, high=3))),
    (Sizes, Sizes([1], [2])),
    (Names, {"first": "Ada"}),
    (HeksherSequence(int), (1,)),
    (Upper(), "A"),
]


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.mark.parametrize(("annotation", "default"), DEFAULTS, ids=lambda value: str(value)[:40])
def test_every_default_fits_the_schema_of_its_type(
    annotation: Any, default: Any, registry: Registry
) -> None:
    setting = Setting("s", annotation, ["user"], default, registry=registry)

    document = json_schema(registry=registry)

    Draft202012Validator.check_schema(document)
    Draft202012Validator(document).validate({"s": setting.raw_default})
    assert json.loads(json.dumps(document)) == document
    assert document["properties"]["s"]["default"] == setting.raw_default


RAW: list[Any] = [
    *(None, True, False, 0, 1, 3.0, 0.5, -1, 2, 9, 10, 2.5, "", "a", "b", "abc", "red", "READ"),
    *([], [1], [1, 2], [1, 2, 3], [0], [1.0], [True], ["red"], ["READ", "WRITE"], ["NO"], [[1]]),
    *({}, {"a": 1}, {"a": 4}, {"a": "b"}, {"a": True}, {"a": ["red"]}, {"a": ["no"]}),
    *({"low": 0}, {"low": -1}, {"low": 1, "high": 10}, {"high": 1}, {"low": 1, "more": 1}),
    *({"second": {"low": 1}}, {"second": {"low": -1}}, {"second_one": {"low": 1}}),
    *({"small": [1], "large": [-1]}, {"small": [-1], "large": []}, {"first": "x"}, {"last": "x"}),
    *("2024-01-31", "2024-01-31T12:30:00Z", "12:30:00", "P1D", "90", "https://example.com", "1.5"),
    "12345678-1234-5678-1234-567812345678",
]

UNSAID: list[Any] = [date, datetime, Decimal, HttpUrl]
"""Types of which the schema takes more texts than the decoder: a format is an annotation."""


@pytest.mark.parametrize("annotation", [one for one, _ in DEFAULTS[:-1]], ids=shown)
def test_the_schema_takes_what_the_decoder_takes_whole(annotation: Any) -> None:
    decoder = decoder_of(annotation)
    validator = Draft202012Validator(decoder.json_schema())

    for raw in RAW:
        said, taken = validator.is_valid(raw), _decodes_whole(decoder, raw)
        if annotation in UNSAID:
            assert said or not taken, raw
        else:
            assert said == taken, raw


def test_a_type_of_ones_own_is_described_by_its_type_string() -> None:
    schema = decoder_of(Upper()).json_schema()

    assert schema == {"enum": ["a", "b"]}


def _decodes_whole(decoder: Any, raw: Any) -> bool:
    coercions: list[Coercion] = []
    try:
        decoder.decode(raw, coercions)
    except Rejected:
        return False
    return not coercions


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.sampled_from("ab")
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=6,
)

NESTED_TYPES: list[Any] = [
    *(int, float, bool, Literal[0, True, "a"], list[int], dict[str, float]),
    *(Sequence[Literal["a", 1]], Mapping[str, list[bool]], Annotated[list[int], MinLen(2)]),
]


@given(raw=json_values, annotation=st.sampled_from(NESTED_TYPES))
def test_schema_and_decoder_agree_on_any_json(raw: Any, annotation: Any) -> None:
    decoder = decoder_of(annotation)

    valid = Draft202012Validator(decoder.json_schema()).is_valid(raw)

    assert valid == _decodes_whole(decoder, raw)


def test_flags_take_no_repeats_as_the_service_does() -> None:
    validator = Draft202012Validator(decoder_of(Access).json_schema())

    assert validator.is_valid(["READ"])
    assert not validator.is_valid(["READ", "READ"])


def test_the_service_wants_unknown_keys_of_a_record_to_have_the_type_of_its_fields() -> None:
    validator = Draft202012Validator(decoder_of(Names).json_schema())

    assert validator.is_valid({"first": "Ada", "title": "Countess"})
    assert not validator.is_valid({"first": "Ada", "title": 1})


def test_fields_keep_their_descriptions() -> None:
    schema = decoder_of(Window).json_schema()

    assert schema["properties"]["low"] == {
        "type": "integer",
        "minimum": 0,
        "description": "The least.",
    }


def test_what_pydantic_cannot_describe_is_described_by_its_heksher_type() -> None:
    @dataclass(frozen=True)
    class Odd:
        number: int
        other: Annotated[int, Field(default_factory=lambda: 3, ge=1)]

    schema = decoder_of(Odd).json_schema()

    assert schema["properties"]["number"] == {"type": "integer"}


def test_all_that_is_declared_stands_in_the_document(registry: Registry) -> None:
    setting = Setting[int](
        "cache.ttl",
        configurable_features=["user", "environment"],
        default_value=60,
        description="Seconds.",
        metadata={"tags": ["a", {"b": None}]},
        alias="ttl",
        version="1.2",
        registry=registry,
    )

    document = json_schema(title="Ours", registry=registry)

    assert document["title"] == "Ours"
    assert document["properties"] == {
        "cache.ttl": {
            "type": "integer",
            "description": "Seconds.",
            "default": 60,
            "x-heksher": {
                "type": "int",
                "configurable_features": ["user", "environment"],
                "version": "1.2",
                "alias": "ttl",
                "metadata": {"tags": ["a", {"b": None}], "description": "Seconds."},
            },
        }
    }
    assert setting.metadata["tags"][0] == "a"


def test_a_description_that_is_no_text_stays_metadata(registry: Registry) -> None:
    kept = Setting("s", int, ["user"], 1, {"description": ["odd"]}, registry=registry)

    document = json_schema(registry=registry)

    Draft202012Validator.check_schema(document)
    assert "description" not in document["properties"]["s"]
    assert '- `description`: `["odd"]`' in markdown(registry=registry)
    assert kept.name == "s"


def test_no_other_setting_is_in_the_document(registry: Registry) -> None:
    validator = Draft202012Validator(json_schema(registry=registry))

    assert validator.is_valid({})
    assert not validator.is_valid({"unknown": 1})


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[tuple[ModuleType, ModuleType]]:
    made = []
    for name in ("one", "two"):
        file = tmp_path / f"{name}.py"
        file.touch()
        module = ModuleType(f"schema_{name}")
        module.__file__ = str(file)
        source = f"s = Setting('{name}', int, ['user'], 1, registry=registry)"
        module.__dict__.update(Setting=Setting, registry=Registry())
        exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102  # a module of its own
        sys.modules[module.__name__] = module
        made.append(module)
    yield made[0], made[1]
    for module in made:
        del sys.modules[module.__name__]


def test_one_modules_settings_can_be_chosen(modules: tuple[ModuleType, ModuleType]) -> None:
    one, two = modules

    assert [s.name for s in declared_settings(one, registry=one.registry)] == ["one"]
    assert [s.name for s in declared_settings("schema_one", registry=one.registry)] == ["one"]
    assert declared_settings(two, registry=one.registry) == []


@pytest.mark.parametrize("module", ["no.such.module", "sys", sys], ids=shown)
def test_a_module_without_a_file_is_an_error(module: Any, registry: Registry) -> None:
    with pytest.raises(UnknownSetting, match="import it first"):
        declared_settings(module, registry=registry)


def test_settings_stand_in_the_order_of_their_names(registry: Registry) -> None:
    kept = [Setting(name, int, ["user"], 1, registry=registry) for name in ("b", "a.b", "B", "a")]

    assert list(json_schema(registry=registry)["properties"]) == ["B", "a", "a.b", "b"]
    assert [one.name for one in declared_settings(registry=registry)] == ["B", "a", "a.b", "b"]
    assert len(kept) == 4


def test_a_page_of_markdown(registry: Registry) -> None:
    kept = (
        Setting[timedelta](
            "cart.timeout",
            configurable_features=["environment"],
            default_value=timedelta(minutes=15),
            description="How long.\n\nAnd a second\nparagraph.",
            metadata={"owner": "shop"},
            alias="timeout",
            registry=registry,
        ),
        Setting[Window](
            "window",
            configurable_features=["environment", "user"],
            default_value=Window(low=1),
            registry=registry,
        ),
    )

    page = markdown(title="Shop", registry=registry)

    assert page == PAGE
    assert len(kept) == 2


PAGE = """\
# Shop

| Setting | Type | Default | Configurable by | Description |
|---|---|---|---|---|
| [`cart.timeout`](#cart.timeout) | `str` | `"PT15M"` | `environment` | How long. |
| [`window`](#window) | `Mapping<int>` | `{"low": 1, "high": 9}` | `environment`, `user` |  |

<a id="cart.timeout"></a>

## `cart.timeout`

How long.

And a second paragraph.

- Type: `str`, a timedelta such as `"PT1M30S"`
- Default: `"PT15M"`
- Configurable by: `environment`
- Version: `1.0`
- Formerly: `timeout`
- `owner`: `"shop"`

<a id="window"></a>

## `window`

- Type: `Mapping<int>`
- Default: `{"low": 1, "high": 9}`
- Configurable by: `environment`, `user`
- Version: `1.0`

| Field | Required | Limits | Description |
|---|---|---|---|
| `low` | yes | at least `0` | The least. |
| `high` | no | at most `9` |  |
"""


@pytest.mark.parametrize(
    ("description", "written"),
    [
        ("a | b", "a &#124; b"),
        ("`code`", "&#96;code&#96;"),
        ("two\nlines", "two lines"),
        ("<b> & *c* [d](e)", "&#60;b&#62; &#38; &#42;c&#42; &#91;d&#93;(e)"),
        ("snake_case and _emphasis_", "snake_case and &#95;emphasis&#95;"),
        ("# no heading", "&#35; no heading"),
        ("- no list", "&#45; no list"),
        ("1. no list", "1&#46; no list"),
        ("1.5 s", "1&#46;5 s"),
        ("2024", "2024"),
        (r"back\slash", "back&#92;slash"),
        ("café: ok", "café: ok"),
    ],
)
def test_text_of_users_is_shown_as_it_is(
    description: str, written: str, registry: Registry
) -> None:
    kept = Setting("s", int, ["user"], 1, registry=registry, description=description)

    page = markdown(registry=registry)

    assert page.splitlines()[4] == f"| [`s`](#s) | `int` | `1` | `user` | {written} |"
    assert page.splitlines()[10] == written
    assert kept.name == "s"


def test_code_with_pipes_or_backticks_is_written_as_html(registry: Registry) -> None:
    kept = Setting("s", str, ["user"], "a|b `c`", registry=registry)

    row = markdown(registry=registry).splitlines()[4]

    assert "| <code>&#34;a&#124;b &#96;c&#96;&#34;</code> |" in row
    assert row.count("|") == 6
    assert kept.name == "s"


def test_a_long_default_has_a_block_of_its_own(registry: Registry) -> None:
    kept = Setting(
        "s", dict[str, str], ["user"], {f"key{i}": "```" for i in range(9)}, registry=registry
    )

    lines = markdown(registry=registry).splitlines()

    assert "…` |" in lines[4] or "…</code> |" in lines[4]
    assert lines[-15:-10] == ["Default:", "", "```json", "{", '  "key0": "```",']
    assert kept.name == "s"


def test_limits_are_told_in_words(registry: Registry) -> None:
    annotation: Any = Annotated[
        list[Annotated[str, Field(min_length=1, pattern="^a")]], MinLen(1), MaxLen(3)
    ]
    kept = Setting("s", annotation, ["user"], ["a"], registry=registry)

    limits = (
        "- Limits: at least `1` elements, at most `3` elements, each at least `1` characters,"
        ' each text that matches `"^a"`'
    )

    assert limits in markdown(registry=registry).splitlines()
    assert kept.name == "s"


class Cells(HTMLParser):
    """Collects the text of a page's table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "td":
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


@given(text=st.text("ab 1_*`|<>&[]()#!~-+=:.\\{}$'\"^;\n", max_size=14))
def test_rendered_text_is_what_was_written(text: str) -> None:
    render = pytest.importorskip("markdown").markdown
    registry = Registry()
    kept = Setting("s", str, ["user"], text, registry=registry, description=text)

    _, _, default, _, description = Cells(
        render(markdown(registry=registry), extensions=["tables", "attr_list", "admonition"])
    ).texts

    assert default == json.dumps(kept.raw_default)
    assert description == " ".join(re.split(r"\n\s*\n", text.strip())[0].split())

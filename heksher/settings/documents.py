"""The declared settings as documents: JSON Schema for tools, Markdown for people.

Both are generated from the declarations alone, without a service or files. Settings are sorted by
name, so a document changes only where a declaration did.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from types import ModuleType
from typing import Any, Final

from heksher.exceptions import UnknownSetting
from heksher.settings import registry as registries
from heksher.settings.declaration import Declaration
from heksher.settings.registry import Registry
from heksher.settings.setting import Setting
from heksher.settings.types.decoder import Json, check_json
from heksher.settings.types.json_schema import Schema

AnySetting = Setting[Any, ...]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON Schema."""

_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "text that matches {}",
    "minItems": "at least {} elements",
    "maxItems": "at most {} elements",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
}
"""The constraints of a schema in words."""

_SHORT: Final = 60
"""How many characters of a default fit into a line; a longer one gets a block in its section."""


def declared_settings(
    module: ModuleType | str | None = None, *, registry: Registry = registries.DEFAULT
) -> list[Setting[Any, ...]]:
    """Return the living settings sorted by name: all of them, or those of one module.

    Args:
        module: A module, or the name of an imported one, in whose file the settings are declared;
            all settings if omitted.
        registry: Where they are declared, if not in the registry of the process.

    Raises:
        UnknownSetting: The module is not imported, or has no file.
    """
    return [declaration.setting for declaration in _declared(module, registry)]


def _declared(module: ModuleType | str | None, registry: Registry) -> list[Declaration]:
    found = sorted(registry.declared(), key=lambda one: one.name)
    if module is None:
        return found
    file = _file_of(module)
    return [one for one in found if os.path.abspath(one.location.file) == file]


def _file_of(module: ModuleType | str) -> str:
    found = sys.modules.get(module) if isinstance(module, str) else module
    file: str | None = getattr(found, "__file__", None)
    if file is None:
        name = module if isinstance(module, str) else module.__name__
        raise UnknownSetting(
            f"module {name!r} is not imported, or has no file: import it first, by its full name"
        )
    return os.path.abspath(file)


def json_schema(
    module: ModuleType | str | None = None,
    *,
    title: str = "Settings",
    registry: Registry = registries.DEFAULT,
) -> Schema:
    """Return a JSON Schema (2020-12) of the raw values that settings may have.

    It describes an object with a property for each setting; none is required, and no others are
    allowed. A property's schema accepts the JSON that the setting decodes without coercions and the
    service stores. Its `default` is the declared default, and `x-heksher` has the rest of the
    declaration: `type` (the type string), `configurable_features`, `version`, `alias`, `metadata`.

    JSON Schema cannot express some constraints: validators that are functions, including those of
    models; limits of types that are serialized as text, such as a minimum `Decimal`; that a set
    counts repeated elements once; and that the service stores integers of 64 bits. `format` is an
    annotation, as usual in this dialect: `time` and `date-time` without a time zone are valid too.

    Args:
        module: The module, or its name, whose settings to describe; all settings if omitted.
        title: The document's title.
        registry: Where they are declared, if not in the registry of the process.

    Raises:
        UnknownSetting: The module is not imported, or has no file.
    """
    settings = _declared(module, registry)
    return {
        "$schema": DIALECT,
        "title": title,
        "type": "object",
        "properties": {setting.name: _setting_schema(setting) for setting in settings},
        "additionalProperties": False,
    }


def _setting_schema(setting: Declaration) -> Schema:
    schema = setting.decoder.json_schema()
    description = _description(setting)
    if description:
        schema["description"] = description
    schema["default"] = check_json(setting.raw_default)
    schema["x-heksher"] = {
        "type": setting.type_string,
        "configurable_features": list(setting.configurable_features),
        "version": setting.version,
        "alias": setting.alias,
        "metadata": check_json(setting.metadata),
    }
    return schema


def _description(setting: Declaration) -> str:
    description = setting.metadata.get("description", "")
    return description if isinstance(description, str) else ""


def markdown(
    module: ModuleType | str | None = None,
    *,
    title: str = "Settings",
    registry: Registry = registries.DEFAULT,
) -> str:
    """Return a Markdown page about settings: a table of all, then a section for each.

    Values are shown as JSON. Descriptions and other text are escaped: they appear as written, not as
    Markdown.

    Args:
        module: The module, or its name, whose settings to describe; all settings if omitted.
        title: The page's heading.
        registry: Where they are declared, if not in the registry of the process.

    Raises:
        UnknownSetting: The module is not imported, or has no file.
    """
    settings = _declared(module, registry)
    lines = chain(
        [f"# {_text(title)}", ""],
        _table(settings),
        chain.from_iterable(_section(setting) for setting in settings),
    )
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(settings: Iterable[Declaration]) -> Iterator[str]:
    yield "| Setting | Type | Default | Configurable by | Description |"
    yield "|---|---|---|---|---|"
    for setting in settings:
        default = _json(setting.raw_default)
        if len(default) > _SHORT:
            default = default[: _SHORT - 1] + "…"
        first_paragraph = next(_paragraphs(_description(setting)), "")
        cells = [
            f"[{_code(setting.name)}](#{setting.name})",
            _code(setting.type_string),
            _code(default),
            _codes(setting.configurable_features),
            first_paragraph,
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _section(setting: Declaration) -> Iterator[str]:
    yield from (f'<a id="{setting.name}"></a>', "", f"## {_code(setting.name)}", "")
    for paragraph in _paragraphs(_description(setting)):
        yield from (paragraph, "")
    yield from (*_facts(setting), "")
    if len(_json(setting.raw_default)) > _SHORT:
        block = json.dumps(setting.raw_default, ensure_ascii=False, indent=2)
        yield from ("Default:", "", "```json", block, "```", "")
    yield from _fields(setting.decoder.json_schema())


def _facts(setting: Declaration) -> Iterator[str]:
    schema = setting.decoder.json_schema()
    yield f"- Type: {_code(setting.type_string)}{_form(setting, schema)}"
    limits = _limits(schema)
    if limits:
        yield f"- Limits: {', '.join(limits)}"
    if len(_json(setting.raw_default)) <= _SHORT:
        yield f"- Default: {_code(_json(setting.raw_default))}"
    yield f"- Configurable by: {_codes(setting.configurable_features)}"
    yield f"- Version: {_code(setting.version)}"
    if setting.alias is not None:
        yield f"- Formerly: {_code(setting.alias)}"
    for key in sorted(setting.metadata):
        if key != "description" or not _description(setting):
            yield f"- {_code(key)}: {_code(_json(check_json(setting.metadata[key])))}"


def _form(setting: Declaration, schema: Schema) -> str:
    """Return which type is serialized as text, with an example; empty for others."""
    if not {"format", "examples"} & schema.keys():
        return ""
    examples = [f" such as {_code(_json(example))}" for example in schema.get("examples", ())]
    return f", {_text(setting.decoder.python)}{''.join(examples)}"


def _limits(schema: Schema) -> list[str]:
    """Return the constraints of a value and its elements, in words."""
    limits = [
        words.format(_code(_json(schema[keyword])))
        for keyword, words in _LIMITS.items()
        if keyword in schema and not (keyword == "pattern" and "examples" in schema)
    ]
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            limits += [f"each {limit}" for limit in _limits(schema[keyword])]
    return limits


def _fields(schema: Schema) -> Iterator[str]:
    if "properties" not in schema:
        return
    yield "| Field | Required | Limits | Description |"
    yield "|---|---|---|---|"
    for key, field in schema["properties"].items():
        cells = [
            _code(key),
            "yes" if key in schema["required"] else "no",
            ", ".join(_limits(field)),
            " ".join(_paragraphs(field.get("description", ""))),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _json(raw: Json) -> str:
    return json.dumps(raw, ensure_ascii=False)


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(_code(text) for text in texts)


def _code(text: str) -> str:
    """Return *text* as code: in backticks, or as HTML if it contains backticks, pipes or `&`."""
    # How these are escaped within backticks differs between Markdown dialects.
    if not set("`|&") & set(text) and text == text.strip():
        return f"`{text}`"
    return f"<code>{_escaped(text, _PUNCTUATION)}</code>"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of plain *text*, each as one line of Markdown."""
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        if line:
            yield _text(line)


_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")

_SPECIAL: Final = re.compile(
    r"[\\`*\[\]<>&|~{}]"  # anywhere
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis; within a word it is none
    r"|^[!-/:-@^_]"  # headings, lists, admonitions, ...
)


def _text(line: str) -> str:
    """Return a line of plain text as Markdown that shows it unchanged, also in a table."""
    digits = len(line) - len(line.lstrip("0123456789"))
    if digits and line[digits : digits + 1] in (".", ")"):  # a list's number otherwise
        return f"{line[:digits]}&#{ord(line[digits])};{_escaped(line[digits + 1 :], _SPECIAL)}"
    return _escaped(line, _SPECIAL)


def _escaped(text: str, special: re.Pattern[str]) -> str:
    """Return *text* with character references, which are plain text in all Markdown dialects."""
    return special.sub(lambda found: f"&#{ord(found[0])};", text)

"""The tables of the embedded service; values and metadata are stored as JSON text."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, UniqueConstraint

schema: Final = MetaData()

context_features: Final = Table(
    "context_features",
    schema,
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
)

settings: Final = Table(
    "settings",
    schema,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("default_value", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("metadata", Text, nullable=False),
)

aliases: Final = Table(
    "aliases",
    schema,
    Column("alias", Text, primary_key=True),
    Column("setting_id", ForeignKey("settings.id", ondelete="CASCADE"), nullable=False, index=True),
)

configurable_features: Final = Table(
    "configurable_features",
    schema,
    Column("setting_id", ForeignKey("settings.id", ondelete="CASCADE"), primary_key=True),
    Column("feature", ForeignKey("context_features.name"), primary_key=True, index=True),
)

rules: Final = Table(
    "rules",
    schema,
    Column("id", Integer, primary_key=True),
    Column("setting_id", ForeignKey("settings.id", ondelete="CASCADE"), nullable=False),
    Column("value", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    # The conditions as one text: unique among the rules of a setting.
    Column("conditions_key", Text, nullable=False),
    UniqueConstraint("setting_id", "conditions_key"),
    # Without it, SQLite would reuse the id of the last rule after its deletion.
    sqlite_autoincrement=True,
)

conditions: Final = Table(
    "conditions",
    schema,
    Column("rule_id", ForeignKey("rules.id", ondelete="CASCADE"), primary_key=True),
    Column("feature", ForeignKey("context_features.name"), primary_key=True, index=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

"""What heksher-py 0.2.2 had, and what it is now."""

from __future__ import annotations

from typing import Final

SETTING_ARGUMENTS: Final = (
    "name",
    "type",
    "configurable_features",
    "default_value",
    "metadata",
    "alias",
    "version",
    "on_coerce",
)
"""The parameters of its `Setting`, in their order."""

CLIENT_ARGUMENTS: Final = ("service_url", "update_interval", "context_features")
"""The positional parameters of its clients, in their order."""

CLIENTS: Final = ("AsyncHeksherClient", "ThreadHeksherClient")

MOVED: Final = {
    f"{module}.{name}": f"heksher.{name}"
    for module, names in {
        "heksher.setting": ["Setting"],
        "heksher.setting_type": [
            "Conversion",
            "HeksherEnum",
            "HeksherFlags",
            "HeksherMapping",
            "HeksherSequence",
            "SettingType",
        ],
        "heksher.clients.async_client": ["AsyncHeksherClient"],
        "heksher.clients.thread_client": ["ThreadHeksherClient"],
        "heksher.clients.subclasses": ["TRACK_ALL"],
        "heksher.clients.util": ["SettingData"],
    }.items()
    for name in names
}
"""Names that are imported from `heksher` itself now."""

GONE_NAMES: Final = {
    "heksher.__version__": 'use importlib.metadata.version("heksher")',
    "heksher.setting.QueriedRule": "validators are given a Rule now: rule_id, conditions, value",
    "heksher.setting.Validator": "any function of (value, rule, setting) is a validator: remove it",
    "heksher.setting.RuleSet": "use setting.explain(...)",
    "heksher.setting.RuleMatch": "use setting.explain(...)",
    "heksher.setting_type.SimpleSettingType": "use int, float, str or bool",
    "heksher.setting_type.setting_type": "use setting.type_string",
    "heksher.exceptions.NoMatchError": "there is always a default: remove it",
    "heksher.main_client": "nothing global is left to reset: remove it",
    "heksher.main_client.Main": "nothing global is left to reset: remove it",
    "heksher.heksher_client.BaseHeksherClient": "use AsyncHeksherClient or ThreadHeksherClient",
    "heksher.heksher_client.TemporaryClient": "no client is needed before the start: remove it",
}
"""Names that are no more, and what to do."""

GONE_ATTRIBUTES: Final = {
    "last_ruleset": "use setting.explain(...)",
    "server_default_value": "use setting.explain(...), whose origin says which default was read",
    "convert_server_value": "settings decode by themselves: remove it",
    "to_v1_declaration_body": "see heksher.settings for documents of settings",
    "add_settings": "a declaration is enough: remove it",
    "context_namespace": "use setting.explain(...).context",
    "declaration_loop_interval": "settings are declared at once: remove it",
}
"""Attributes whose names say enough to be sure, and what to do."""

OLD_MODULES: Final = {name.rpartition(".")[0] for name in (*MOVED, *GONE_NAMES)} - {"heksher"}
"""Modules that no longer exist."""

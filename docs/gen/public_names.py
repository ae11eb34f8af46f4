"""Reference pages show public names alone: what is private is shown as what it stands for.

A page that shows any other private name does not build.
"""

import re
from html import unescape

from mkdocs.exceptions import PluginError

PAGES = {"api.md", "errors.md"}
SHOWN_AS = {
    "ABSENT": "...",
    "take_coerced": "...",
    "_Current": "Self",
    "_DecodedType": "SettingType",
    "_Model": "BaseModel",
    "_Patch": "AbstractContextManager",
    "_Provided": "Any",
    "_Settings": "Mapping[str, Setting]",
}
TAG = re.compile(r"<[^>]+>")
NAME = re.compile(
    r"(?<![\w./#-])(_[A-Za-z]\w*|[A-Z]{3,}[A-Z_]*|take_coerced)\b"
)


def on_page_content(html: str, page: object, **_: object) -> str:
    """Return a page's HTML without private names; raise if there are others."""
    name = page.file.src_uri  # type: ignore[attr-defined]
    if name not in PAGES:
        return html
    parts = re.split(r"(<[^>]+>)", html)
    shown = "".join(
        part
        if part.startswith("<")
        else NAME.sub(lambda found: SHOWN_AS.get(found[1], found[1]), part)
        for part in parts
    )
    text = unescape(TAG.sub("", shown))
    private = {one for one in NAME.findall(text) if one.startswith("_")}
    if private:
        raise PluginError(f"{name} shows private names: {sorted(private)}")
    return shown

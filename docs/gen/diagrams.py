"""Draw the diagrams of the pages as SVG: `docs/pictures/{overview,refresh,precedence,states}.svg`.

Pages include them in their HTML, so that they follow the site's palette by its variables; the
values after them are for whoever opens a file alone.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "pictures"
STYLE = """
.hx text{font:14px var(--md-text-font-family,system-ui),sans-serif;
fill:var(--md-default-fg-color,#26383a)}
.hx .strong{font-weight:700}
.hx .code{font-family:var(--md-code-font-family,ui-monospace),monospace;font-size:13px}
.hx .quiet{fill:var(--md-default-fg-color--light,#66777a);font-size:13px}
.hx .middle{text-anchor:middle}
.hx .box{fill:var(--md-code-bg-color,#f2f6f6);stroke:#00897b;stroke-width:1.5}
.hx .win{fill:#00796b;stroke:#00897b}
.hx .on{fill:#fff}
.hx .arrow{fill:none;stroke:#26a69a;stroke-width:2}
.hx .faint{stroke-dasharray:5 4}
.hx .tip{fill:#26a69a;stroke:none}
"""


@dataclass(frozen=True)
class Words:
    """A line of text, at its baseline."""

    x: float
    y: float
    text: str
    kind: str = ""

    def svg(self) -> str:
        """Return it as an element."""
        place = f'x="{self.x:g}" y="{self.y:g}"'
        return f'<text {place} class="{self.kind}">{escape(self.text)}</text>'


@dataclass(frozen=True)
class Box:
    """A rounded box with a title and lines below it, centred."""

    x: float
    y: float
    width: float
    lines: tuple[str, ...]
    kind: str = ""

    @property
    def height(self) -> float:
        """How high its lines make it."""
        return 20 * len(self.lines) + 16

    def svg(self) -> str:
        """Return it as elements."""
        on = " on" if self.kind == "win" else ""
        parts = [
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}"'
            f' height="{self.height:g}" rx="8" class="box {self.kind}"/>'
        ]
        for number, line in enumerate(self.lines):
            look = "strong" if number == 0 else "quiet"
            if line.startswith("`"):
                look = "code"
            middle, below = self.x + self.width / 2, self.y + 23 + 20 * number
            parts.append(
                Words(
                    middle, below, line.strip("`"), f"{look} middle{on}"
                ).svg()
            )
        return "".join(parts)


@dataclass(frozen=True)
class Arrow:
    """A line through points, with a tip at its end."""

    points: tuple[tuple[float, float], ...]
    kind: str = ""

    def svg(self) -> str:
        """Return it as elements."""
        (x0, y0), (x1, y1) = self.points[-2:]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        ends = [*self.points[:-1], (x1 - 6 * dx, y1 - 6 * dy)]
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in ends)
        bx, by = x1 - 11 * dx, y1 - 11 * dy
        tip = [(x1, y1), (bx - 5 * dy, by + 5 * dx), (bx + 5 * dy, by - 5 * dx)]
        corners = " ".join(f"{x:g},{y:g}" for x, y in tip)
        return (
            f'<path d="{path}" class="arrow {self.kind}"/>'
            f'<polygon points="{corners}" class="tip"/>'
        )


Part = Words | Box | Arrow


def picture(title: str, height: float, *parts: Part) -> str:
    """Return a whole picture, 480 wide."""
    drawn = "".join(f"{part.svg()}\n" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 {height:g}" class="hx"'
        f' role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n{drawn}</svg>\n"
    )


def overview() -> str:
    """Programs declare settings, people write rules, and the service holds both."""
    return picture(
        "Programs declare settings to the service; people write rules; programs fetch them",
        268,
        Box(10, 10, 150, ("People", "a console, scripts")),
        Box(250, 10, 220, ("Your program", "`cache_ttl.get(user='john')`")),
        Box(
            90,
            190,
            300,
            ("Heksher service", "settings, rules, order of features"),
        ),
        Arrow(((120, 66), (160, 190))),
        Words(56, 132, "write rules", "quiet"),
        Arrow(((290, 66), (250, 190))),
        Words(176, 104, "declares", "quiet"),
        Words(176, 122, "settings", "quiet"),
        Arrow(((340, 190), (380, 66)), "faint"),
        Words(376, 132, "new rules,", "quiet"),
        Words(376, 150, "at each poll", "quiet"),
    )


def refresh() -> str:
    """One refresh, from the poll to what is read."""
    boxes = [
        ("Poll", "every update_interval: what has changed?"),
        ("Compile", "check each value against its type"),
        ("Publish", "all of it in one assignment"),
        ("`setting.get(user='john')`", "a look-up in memory: no I/O, no lock"),
    ]
    parts: list[Part] = []
    for number, lines in enumerate(boxes):
        y = 10 + 96 * number
        kind = "win" if number == 3 else ""
        parts.append(Box(10, y, 300, lines, kind))
        if number:
            parts.append(
                Arrow(((160, y - 40), (160, y)), "faint" * (number == 3))
            )
    words = [
        (86, "200: some have changed"),
        (182, "what does not fit is left out, and reported"),
        (278, "readers see the old state, or the new one"),
    ]
    parts += [Words(174, y, text, "quiet") for y, text in words]
    return picture(
        "A refresh polls, compiles and publishes; get reads", 364, *parts
    )


def precedence() -> str:
    """Three rules that match, compared from the latest feature to the first."""
    columns = {"environment": 14, "country": 148, "user": 246}
    rules = [
        ({"environment": "production"}, "300"),
        ({"environment": "production", "country": "de"}, "100"),
        ({"user": "john"}, "5"),
    ]
    parts: list[Part] = [
        Words(
            14, 24, "Context: production, de, john. All three rules match.", ""
        ),
        Words(14, 62, "environment", "strong"),
        Words(148, 62, "country", "strong"),
        Words(246, 62, "user", "strong"),
        Words(344, 62, "value", "strong"),
        Arrow(((14, 78), (310, 78))),
        Words(322, 82, "later counts more", "quiet"),
    ]
    for number, (conditions, value) in enumerate(rules):
        y, kind = 94 + 46 * number, "win" if number == 2 else ""
        for feature, x in columns.items():
            width = {"environment": 122, "country": 86, "user": 86}[feature]
            if feature in conditions:
                parts.append(Box(x, y, width, (conditions[feature],), kind))
            else:
                parts.append(
                    Words(x + width / 2, y + 23, "any", "quiet middle")
                )
        parts.append(Words(344, y + 23, value, "strong"))
    parts += [
        Words(380, 209, "wins: it alone", "quiet"),
        Words(380, 226, "has user", "quiet"),
        Words(
            14,
            262,
            "Without the last rule, the second wins: it has country.",
            "",
        ),
    ]
    return picture("Of three matching rules the one on user wins", 278, *parts)


def states() -> str:
    """What a client goes through."""
    return picture(
        "The states of a client: new, starting, fresh, stale, closed",
        396,
        Box(165, 10, 150, ("New", "defaults are read")),
        Arrow(((240, 66), (240, 112))),
        Words(252, 92, "with, or set_as_main()", "quiet"),
        Box(150, 112, 180, ("Starting", "declares, first refresh")),
        Arrow(((190, 168), (140, 222))),
        Words(72, 198, "refreshed", "quiet"),
        Arrow(((290, 168), (340, 222)), "faint"),
        Words(330, 190, "service away,", "quiet"),
        Words(330, 208, "but a snapshot", "quiet"),
        Box(20, 222, 170, ("Fresh", "status.age is small"), "win"),
        Box(290, 222, 170, ("Stale", "last good values")),
        Arrow(((190, 240), (290, 240)), "faint"),
        Words(208, 232, "a failure", "quiet"),
        Arrow(((290, 262), (190, 262))),
        Words(204, 282, "a success", "quiet"),
        Arrow(((105, 278), (170, 332))),
        Arrow(((375, 278), (310, 332))),
        Box(150, 332, 180, ("Closed", "last values are kept")),
        Words(184, 320, "leaving with", "quiet"),
        Arrow(((150, 140), (10, 140), (10, 360), (150, 360)), "faint"),
        Words(16, 128, "cannot start: raises", "quiet"),
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for draw in (overview, refresh, precedence, states):
        path = FOLDER / f"{draw.__name__}.svg"
        path.write_text(draw(), encoding="utf-8", newline="\n")

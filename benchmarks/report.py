"""Write the performance page and its chart from the results: `python report.py`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from workloads import WORKLOADS

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
MODEL_FIELDS = 3
TIMES_FLOOR = "\u00d7 floor"

FORMS = {
    "explicit": "explicit keywords",
    "kept get": "a `get` kept from before the start",
    "pinned": "inside `pinned()`",
    "defaults": "from constant defaults",
    "variables": "from `ContextVar`s with defaults of their own",
    "set variables": "from `ContextVar`s that were set",
    "bound": "from the bound context",
    "descriptor": "descriptor, bound context",
    "model": f"model of {MODEL_FIELDS} fields, explicit keywords",
}
NAMES = {
    "heksher": "heksher",
    "heksher-py": "heksher-py",
    "launchdarkly": "LaunchDarkly",
    "openfeature": "OpenFeature",
    "unleash": "Unleash",
    "growthbook": "GrowthBook",
    "eppo": "Eppo",
}

IMPORTS = {"heksher": "`import heksher`", "clients": "`import heksher`, both clients"}

FASTER, FASTER_AMBIENT = 30, 20
"""How many times as fast as heksher-py reads are to be: with explicit keywords, and from defaults."""

REASONS = {
    "faster": "heksher-py walks down a tree and gives up at its root where nothing matches, which makes"
    " a miss its cheapest read; each further set of features costs heksher a look-up, and the name of a"
    " new user costs both the same",
    "set variables": "three variables that may be unset have to be read to know that they are there;"
    " reading them, and the bound context before them, alone costs twice the floor",
    "pinned": "the task's view is one more `ContextVar` to read",
    "overlap": "a rule on two features is looked up by a tuple, which Python hashes twice",
    "hit": "a hit asks its dict twice, whether and what, and makes sure that it was found by a `str`;"
    " the spread is of how strings hash in one process and another",
    "rules": "within a tenth of the target, where the spread of the rounds is as large",
    "update": "of the time for 10,000 settings, a third is httpx, which takes 2 ms for each of 100"
    " requests, a third reading and compiling, a fifth the garbage collector",
    "stall": "in the first load it is the one full collection that the declaration of 10,000 settings"
    " has made due; after `gc.freeze()` it is the full collections that are left then."
    " Without the collector, the longest stretches are 25 ms for reading the service's list of 10,000"
    " settings and 20 ms for httpx to load certificates, both at the start, and 10 ms in an update",
    "masks": "where nearly every rule has a set of features to itself, each pays for its key",
    "unchanged": "each batch of 100 settings is a request, and driving one takes some 40 \u00b5s"
    " beside httpx",
    "import": "half of what is above the floor is what httpx and pydantic import only once they are"
    " used (asyncio, and what building the first model needs), the rest the package's own modules, of"
    " which a third is dataclasses",
    "declare": "most of it is the checks of the declaration, and the reader that is made for each",
}


@dataclass(frozen=True)
class Line:
    """One row that is held to a target."""

    cells: list[str]
    value: float
    target: float
    reason: str

    @property
    def reached(self) -> bool:
        return self.value <= self.target

    @property
    def text(self) -> str:
        verdict = "yes" if self.reached else "**no**"
        return f"| {' | '.join([*self.cells, verdict])} |"


def table(*heads: str) -> list[str]:
    return ["", f"| {' | '.join(heads)} |", f"|{'|'.join(['---'] + ['--:'] * (len(heads) - 1))}|"]


def ns(value: float) -> str:
    """Return nanoseconds for people: three digits and a unit."""
    for unit, size in (("ns", 1.0), ("µs", 1e3), ("ms", 1e6)):
        if value < size * 1000 or unit == "ms":
            scaled = value / size
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
    raise AssertionError


def ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def base_target(tiers: int) -> float:
    """Return the multiple of the floor that explicit keywords may cost."""
    return 3 if tiers == 0 else 4 if tiers == 1 else 6 if tiers <= 3 else 8


def target_of(form: str, tiers: int) -> float | None:
    base = base_target(tiers)
    if form in ("explicit", "kept get", "pinned"):
        return base
    if form == "descriptor":
        return 2 * base
    if form == "model":
        return 3 + 2 * MODEL_FIELDS if tiers == 0 else None
    return 1.5 * base


def ratio(entry: dict[str, list[float]]) -> float:
    pairs = zip(entry["ns"], entry["floor_ns"], strict=True)
    return median([one / floor for one, floor in pairs])


def spread(entry: dict[str, list[float]]) -> str:
    pairs = list(zip(entry["ns"], entry["floor_ns"], strict=True))
    ratios = [one / floor for one, floor in pairs]
    return f"{min(ratios):.1f}-{max(ratios):.1f}"


def reason_of(form: str, workload: str, value: float, target: float) -> str:
    if form in ("set variables", "pinned"):
        return REASONS[form]
    if workload == "100 rules, overlapping":
        return REASONS["overlap"]
    if WORKLOADS[workload].tiers == 1:
        return REASONS["hit"]
    return REASONS["rules"] if value < target * 1.1 else "not known"


class Page:
    """The page while it is written, and what of it was not reached."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.sections: dict[str, Any] = results["sections"]
        self.machine: dict[str, Any] = results["machine"]
        self.lines: list[str] = []
        self.missed: dict[str, list[str]] = {}

    def add(self, *lines: str) -> None:
        self.lines += lines

    def row(self, what: str, line: Line) -> None:
        self.lines.append(line.text)
        if not line.reached:
            self.miss(what, line.reason)

    def miss(self, what: str, reason: str) -> None:
        self.missed.setdefault(reason, []).append(what)

    def fold(self, start: int) -> None:
        """Put the table since line *start* into a box that opens when it is clicked."""
        rows = self.lines[start:]
        self.lines[start:] = ["", f'??? note "All {len(rows) - 3} rows"']
        self.add(*(f"    {row}" if row else "" for row in rows))

    def summary(self) -> None:
        """Say the most important figures, and show the chart."""
        times, updates = self.sections["reads"]["times"], self.sections["updates"]
        self.add("", "## In short")
        self.add(*table("what", "heksher", "beside the floor", "beside heksher-py 0.2.2"))
        for title, name in {
            "a read without rules": "no rule",
            "a read, 1,000 rules on one feature": "1,000 rules, hit",
            "a read, rules over three sets of features": "three masks",
            "a read from the bound context, 10 rules": "10 rules (bound)",
        }.items():
            ours = times["heksher"][name]
            theirs = times["heksher-py"].get(name)
            faster = (
                f"{median(theirs['ns']) / median(ours['ns']):.0f} times as fast" if theirs else "-"
            )
            self.add(
                f"| {title} | {ns(median(ours['ns']))} | {ratio(ours):.1f} {TIMES_FLOOR} | {faster} |"
            )
        both = updates["10,000 x 10"]
        ours, theirs = median(both["heksher"]["cpu"]), median(both["heksher-py"]["cpu"])
        self.add(
            f"| CPU of an update in which all of 10,000 settings x 10 rules change | {ms(ours)} |"
            f" - | {ours / theirs:.2f} of its {ms(theirs)} |"
        )
        small = self.sections["small_updates"]["10000"]["one"]
        self.add(
            f"| an update in which one of 10,000 settings changes | {ms(small['wall'])} | - | - |"
        )
        known = self.sections["starts"]["3000 known, 0 ms"]
        started, before = known["heksher"]["wall"], known["heksher-py"]["wall"]
        self.add(
            f"| a start with 3,000 settings that the service knows | {ms(started)} | - |"
            f" {before / started:.0f} times as fast |"
        )
        rule = self.sections["memory"]["one feature"]
        self.add(
            f"| memory for a rule, beside its value | {rule['heksher']['rule']:.0f} B |"
            f" {rule['heksher']['bare']:.0f} B | {rule['heksher-py']['rule']:.0f} B |"
        )
        slowest, fastest = self.faster_range(times)
        self.add(
            "",
            f"Over all measured reads, heksher is {slowest:.0f} to {fastest:.0f} times as fast as"
            " heksher-py. What was wanted and is [not reached](#not-reached) is listed at the end.",
            "",
            "![What a read costs](performance.svg)",
        )

    def faster_range(self, times: dict[str, Any]) -> tuple[float, float]:
        """Return how many times as fast as heksher-py the reads are: the least, and the most."""
        both = times["heksher"].keys() & times["heksher-py"].keys()
        faster = [
            median(times["heksher-py"][name]["ns"]) / median(times["heksher"][name]["ns"])
            for name in both
        ]
        return min(faster), max(faster)

    def reads(self) -> None:
        section = self.sections["reads"]
        times = section["times"]
        self.add(
            "",
            "## Reads",
            "",
            "The floor is a method call with as many keyword-only arguments that returns a constant,"
            " timed in turns with each read in the same process. The ratio is the median of the"
            " rounds; the spread is their lowest and highest. Everything is timed in a context with"
            " variables of others, as in any task.",
        )
        self.add(*table("explicit keywords", "floor", "heksher", TIMES_FLOOR, "spread", "at most",
                        "heksher-py", "times faster", "reached"))  # fmt: skip
        for name, workload in WORKLOADS.items():
            ours, theirs = times["heksher"][name], times["heksher-py"][name]
            value, target = ratio(ours), base_target(workload.tiers)
            cells = [name, ns(median(ours["floor_ns"])), ns(median(ours["ns"])), f"{value:.2f}",
                     spread(ours), f"{target:.0f}", ns(median(theirs["ns"])),
                     f"{median(theirs['ns']) / median(ours['ns']):.0f}"]  # fmt: skip
            reason = reason_of("explicit", name, value, target)
            self.row(f"{name}, explicit keywords", Line(cells, value, target, reason))
            if median(theirs["ns"]) / median(ours["ns"]) < FASTER:
                self.miss(f"{name}, {FASTER} times as fast as heksher-py", REASONS["faster"])
        self.add(
            "",
            "For a new user each call, the call and its floor both make the user's name first.",
        )
        self.forms(times)
        self.others(times)

    def forms(self, times: dict[str, Any]) -> None:
        self.add("", "### Where the context comes from, and how it is read")
        start = len(self.lines)
        self.add(*table("form", "rules", "heksher", TIMES_FLOOR, "spread", "at most", "reached"))
        for form, title in FORMS.items():
            for name, workload in WORKLOADS.items():
                entry = times["heksher"].get(f"{name} ({form})")
                target = target_of(form, workload.tiers)
                if entry is None or workload.new_user or target is None:
                    continue
                value = ratio(entry)
                cells = [title, name, ns(median(entry["ns"])), f"{value:.2f}", spread(entry),
                         f"{target:g}"]  # fmt: skip
                reason = reason_of(form, name, value, target)
                self.row(f"{name}, {title}", Line(cells, value, target, reason))
        self.fold(start)
        self.add(
            *table("times as fast as heksher-py", "from defaults", "from `ContextVar`s", "at least")
        )
        for name, workload in WORKLOADS.items():
            if workload.new_user:
                continue
            faster = [
                median(times["heksher-py"][f"{name} ({form})"]["ns"])
                / median(times["heksher"][f"{name} ({form})"]["ns"])
                for form in ("defaults", "variables")
            ]
            self.add(f"| {name} | {faster[0]:.0f} | {faster[1]:.0f} | {FASTER_AMBIENT} |")
            if min(faster) < FASTER_AMBIENT:
                what = f"{name}, from defaults, {FASTER_AMBIENT} times as fast as heksher-py"
                self.miss(what, REASONS["faster"])

    def others(self, times: dict[str, Any]) -> None:
        versions = self.sections["reads"]["versions"]
        self.add(
            "",
            "### Beside others",
            "",
            "The same rules in each one's own terms, from memory, without network or events; the"
            " others' contexts were made before, ours is made of the call's keywords. OpenFeature"
            " has no rules: its in-memory provider looks into a dict.",
        )
        heads = [f"{NAMES[name]} {versions[name]}" for name in NAMES]
        self.add(*table("explicit context", *heads))
        for name, workload in WORKLOADS.items():
            if workload.new_user:
                continue
            cells = [
                ns(median(times[one][name]["ns"])) if name in times[one] else "-" for one in NAMES
            ]
            self.add(f"| {name} | {' | '.join(cells)} |")

    def growth(self) -> None:
        grown = self.sections["growth"]
        self.add(
            "",
            f"Over {grown['reads']:,} reads in all of these forms, the number of allocated blocks"
            f" changed by {grown['blocks']}, what `tracemalloc` saw kept by"
            f" {grown['traced_bytes']} bytes, and the peak of resident memory by"
            f" {grown['peak_resident_kilobytes']} kB.",
        )

    def updates(self) -> None:
        section = self.sections["updates"]
        self.add(
            "",
            "## Updates",
            "",
            "Every rule of every setting changes: a fifth of the settings each are `int`, `str`, an"
            " `Enum`, `Sequence[int]` and `Mapping[str, str]`. The service is a prepared answer on"
            " the same machine. The floor is `json.loads` of the same answer. (heksher-py asks for"
            " all settings in one URL, which only old versions of httpx send, and which the real"
            " service cuts at 65,536 bytes.)",
        )
        self.add(*table("settings x rules", "floor", "heksher", "heksher-py", "CPU: heksher", "heksher-py",
                        "part of it", "at most", "reached"))  # fmt: skip
        for name in ("1,000 x 20", "10,000 x 10"):
            ours, theirs = section[name]["heksher"], section[name]["heksher-py"]
            value = median(ours["cpu"]) / median(theirs["cpu"])
            cells = [name, ms(median([*ours["parse"], *theirs["parse"]])), ms(median(ours["wall"])),
                     ms(median(theirs["wall"])), ms(median(ours["cpu"])),
                     ms(median(theirs["cpu"])), f"{value:.2f}", "0.50"]  # fmt: skip
            self.row(f"an update of {name}", Line(cells, value, 0.5, REASONS["update"]))
        self.stalls(section)

    def stalls(self, section: dict[str, Any]) -> None:
        self.add(
            "",
            "## The event loop",
            "",
            "The longest time that nothing else could run in, in CPU time of the loop's thread (what"
            " other programs take of the machine is not counted), beside that of fetching the same"
            " bytes and doing nothing with them.",
            "",
            "An update that replaces tens of thousands of rules at once can set off a full garbage"
            " collection, which walks through all that the program holds. heksher does not touch the"
            " collector; `docs/scale.md` says when a program may want to call `gc.freeze()`.",
        )
        self.add(*table("longest stall", "fetching alone", "heksher", "heksher-py", "at most",
                        "reached"))  # fmt: skip
        large = section["10,000 x 10"]
        fetch, theirs = median(large["heksher"]["fetch_stall_cpu"]), large["heksher-py"]
        masks = section["random masks"]["heksher"]
        rows = {
            "update of 10,000 x 10": (large["heksher"]["stall_cpu"], theirs["stall_cpu"]),
            "its first load": (large["heksher"]["first_cpu"], theirs["first_cpu"]),
            "10,000 x 10 on 31 masks of 5 features": (masks["stall_cpu"], None),
            "their first load": (masks["first_cpu"], None),
            "update of 10,000 x 10 after `gc.freeze()`": (section["frozen"]["stall_cpu"], None),
            "its first load after `gc.freeze()`": (section["frozen"]["first_cpu"], None),
            "10,000 x 10 on 31 masks after `gc.freeze()`": (
                section["frozen random masks"]["stall_cpu"],
                None,
            ),
            "their first load after `gc.freeze()`": (
                section["frozen random masks"]["first_cpu"],
                None,
            ),
            "update of 1,000 x 20": (
                section["1,000 x 20"]["heksher"]["stall_cpu"],
                section["1,000 x 20"]["heksher-py"]["stall_cpu"],
            ),
        }
        for title, (ours, predecessor) in rows.items():
            value = median(ours)
            cells = [title, ms(fetch), ms(value), ms(median(predecessor)) if predecessor else "-",
                     "20 ms"]  # fmt: skip
            self.row(f"longest stall, {title}", Line(cells, value, 0.02, REASONS["stall"]))

    def small_updates(self) -> None:
        section = self.sections["small_updates"]
        self.add("", "## Small updates")
        self.add(*table("settings", "changed", "requests", "200", "304", "bytes", "time in all"))
        for settings in ("1000", "10000"):
            for what in ("one", "nothing"):
                found = section[settings][what]
                statuses = found["statuses"]
                self.add(
                    f"| {int(settings):,} | {what} | {sum(found['requests'].values())} |"
                    f" {statuses.get('200', 0)} | {statuses.get('304', 0)} | {found['bytes']:,} |"
                    f" {ms(found['wall'])} |"
                )
        self.add(
            "",
            "One of the requests asks for the order of context features; each batch has up to 100"
            " settings. Of that, without httpx, where nothing changed:",
        )
        self.add(*table("settings", "our own time", "at most", "reached"))
        for settings in ("1000", "10000"):
            value = median(section[settings]["unchanged"]["own"])
            cells = [f"{int(settings):,}", ms(value), "1 ms"]
            what = f"an update of {int(settings):,} unchanged settings"
            self.row(what, Line(cells, value, 0.001, REASONS["unchanged"]))

    def starts(self) -> None:
        section = self.sections["starts"]
        self.add("", "## Start")
        self.add(*table("settings, delay of the service", "requests", "of them declarations",
                        "at most at once", "time", "heksher-py: requests", "time"))  # fmt: skip
        for title, rows in section.items():
            if not isinstance(rows, dict):
                continue
            cells = []
            for competitor in ("heksher", "heksher-py"):
                if competitor not in rows:
                    cells += ["-", "-"]
                    continue
                counts = rows[competitor]["counts"]
                posts = counts["requests"].get("POST /api/v1/settings/declare", 0)
                cells.append(str(sum(counts["requests"].values())))
                if competitor == "heksher":
                    cells += [str(posts), str(counts["most_at_once"])]
                cells.append(ms(rows[competitor]["wall"]))
            self.add(f"| {title} | {' | '.join(cells)} |")
        self.add(
            "",
            "The floor is 2 requests and one for each batch: the order of context features, the list"
            " of settings, then their rules. What the service does not know yet is declared, four"
            " at a time.",
        )

    def sizes(self) -> None:
        self.add("", "## Size")
        self.add(*table("memory for a rule, above its value", "floor: bare dicts", "heksher",
                        "heksher-py", "at most", "reached"))  # fmt: skip
        for name, rows in self.sections["memory"].items():
            if not isinstance(rows, dict):
                continue
            value = rows["heksher"]["rule"]
            cells = [f"20 rules a setting, {name}", f"{rows['heksher']['bare']:.0f} B",
                     f"{value:.0f} B", f"{rows['heksher-py']['rule']:.0f} B", "300 B"]  # fmt: skip
            self.row(f"memory for a rule, {name}", Line(cells, value, 300, REASONS["masks"]))
        self.add(*table("CPU time", "floor", "heksher", "heksher-py", "at most", "reached"))
        found = self.sections["imports"]["milliseconds"]
        bare = median(found["nothing"])
        times = {name: median(values) - bare for name, values in found.items()}
        for key, name in IMPORTS.items():
            if key not in times:
                continue
            value = times[key] / times["floor"]
            cells = [name, f"{times['floor']:.0f} ms: httpx and pydantic's models",
                     f"{times[key]:.0f} ms, {value:.2f} {TIMES_FLOOR}",
                     f"{times['heksher-py']:.0f} ms", f"1.10 {TIMES_FLOOR}"]  # fmt: skip
            self.row(name, Line(cells, value, 1.1, REASONS["import"]))
        declared = self.sections["declarations"]["microseconds"]
        value = median(declared["heksher"])
        cells = ["declaring a setting", "-", f"{value:.0f} µs",
                 f"{median(declared['heksher-py']):.0f} µs", "60 µs"]  # fmt: skip
        self.row("declaring a setting", Line(cells, value, 60, REASONS["declare"]))
        others = ", ".join(
            f"{NAMES[name]} {times[name]:.0f} ms"
            for name in NAMES
            if name in times and name[:3] != "hek"
        )
        self.add("", f"The imports of the others: {others}.")

    def ending(self) -> None:
        self.add("", "## Not reached")
        if self.missed:
            self.add("")
            for reason, missed in self.missed.items():
                self.add(f"* {'; '.join(missed)}: {reason}.")
        else:
            self.add("", "Nothing.")
        machine = self.machine
        self.add(
            "",
            "## The machine",
            "",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python"
            f" {machine['python']}. The load is the system's average over a minute before and after a"
            " part; others were at work on the machine where it is much above 1.",
        )
        self.add(*table("part", "date", "load before", "load after"))
        for name, section in self.sections.items():
            self.add(
                f"| {name.replace('_', ' ')} | {section['date']} | {section['load_before']} |"
                f" {section['load_after']} |"
            )


HEADER = """# Speed and size

A setting should be as cheap to read as it is to pass an argument, and an update should never be felt.
This page is written by `scripts/bench`, which measures heksher, its predecessor heksher-py and five
other libraries in turns on one machine, each in an environment and a process of its own, and sets
each figure beside the least that could do the same job.

`scripts/bench-gate` keeps it so: it fails where a read costs a multiple of the floor that it should
not, runs more instructions than it should, or keeps memory.
"""


def write(results: dict[str, Any]) -> None:
    """Write `docs/performance.md` and `docs/performance.svg`."""
    page = Page(results)
    page.add(HEADER.rstrip())
    page.summary()
    page.reads()
    page.growth()
    page.updates()
    page.small_updates()
    page.starts()
    page.sizes()
    page.ending()
    (DOCS / "performance.md").write_text("\n".join(page.lines) + "\n")
    (DOCS / "performance.svg").write_text(chart(results["sections"]["reads"]["times"]))


SHOWN = ("no rule", "10 rules", "1,000 rules, hit", "100 rules, overlapping")
COLOURS = {
    "floor": "#9e9e9e",
    "heksher": "#00796b",
    "heksher-py": "#80cbc4",
    "launchdarkly": "#405bff",
    "openfeature": "#5d5dff",
    "unleash": "#6c65e5",
    "growthbook": "#7b4fd6",
    "eppo": "#b06ab3",
}
LEFT, WIDTH, BAR = 110, 560, 15


def chart(times: dict[str, Any]) -> str:
    """Return a bar chart of reads, on a logarithmic scale from 10 ns to 10 ms."""
    parts: list[str] = []
    y = 50
    for name in SHOWN:
        parts.append(f'<text x="10" y="{y}" class="head">{name}</text>')
        y += 8
        floor = median(times["heksher"][name]["floor_ns"])
        bars = {"floor": floor}
        bars |= {one: median(times[one][name]["ns"]) for one in NAMES if name in times[one]}
        for one, value in bars.items():
            title = NAMES.get(one, "floor")
            end = LEFT + WIDTH * (math.log10(value) - 1) / 6
            parts.append(
                f'<text x="{LEFT - 6}" y="{y + 11}" class="name">{title}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 3}"'
                f' fill="{COLOURS[one]}"/>'
                f'<text x="{end + 5:.1f}" y="{y + 11}" class="value">{ns(value)}</text>'
            )
            y += BAR
        y += 26
    style = (
        "text{font:11px sans-serif;fill:#333}.head{font-weight:bold;font-size:13px}"
        ".name{text-anchor:end}.title{font-size:14px;font-weight:bold}"
    )
    height = y - 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img">'
        f"<title>What one read costs</title><style>{style}</style>"
        f'<rect width="760" height="{height}" fill="#fff"/>'
        '<text x="10" y="22" class="title">What one read costs, explicit context (logarithmic)</text>'
        f"{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    write(json.loads((HERE / "results.json").read_text()))

"""Recorded exchanges with the real service, sent again to the embedded one.

`tests/exchanges/` holds what Heksher 0.5.7 was asked and what it answered. Everything is compared:
status, body, plain text, the headers that matter, which ETags are equal and which are not. Of a 422
the locations count, not the wording. Where the embedded service answers otherwise on purpose,
`differences.json` says why, and what it answers instead; all else of such a file is still compared.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from heksher.server import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SCENARIOS = {path.stem: path for path in (HERE.parent / "exchanges").glob("*.json")}
DIFFERENCES: dict[str, dict[str, Any]] = json.loads((HERE / "differences.json").read_text())

NOT_REPLAYABLE = {
    "concurrent_declare_burst_14": "14 requests at once",
    "concurrent_declare_burst_deadlock": "20 requests at once, and how long they hang",
    "concurrent_declare_same": "20 requests at once",
    "concurrent_declare_uptodate_50": "50 requests at once",
    "concurrent_rename_same": "8 requests at once",
    "concurrent_rules_duplicate": "10 requests at once",
    "concurrent_upgrade_different": "two requests at once",
    "concurrent_upgrade_same": "10 requests at once",
    "limit_32767": "starts with 32,768 settings and rules; answers shortened",
    "long_query_exactly_65536": "starts with 4,096 settings; requests and answers shortened",
    "long_query_h11": "starts with 33,000 settings; requests and answers shortened",
    "long_query_httptools": "starts with 33,000 settings; requests and answers shortened",
    "startup_features": "restarts with other features",
}
MARKS_OF_NOT_REPLAYABLE = {"count", "seconds", "names_asked"}
COMPARED_HEADERS = ("content-type", "location", "allow")


def load(scenario: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(SCENARIOS[scenario].read_text(encoding="utf-8"))
    return recorded


class Replay:
    """Sends recorded requests, with our own ETags in the place of the recorded ones."""

    def __init__(self, scenario: str, directory: Path) -> None:
        self.recorded = load(scenario)
        self._directory = directory
        self._etags: dict[str, str] = {}
        self._databases = 0
        self.start(empty=True)

    def start(self, *, empty: bool) -> None:
        self._databases += empty
        self._app = create_app(
            context_features=self.recorded["context_features"],
            database=self._directory / f"{self._databases}.db",
        )

    async def send(self, request: dict[str, Any]) -> httpx.Response:
        headers = {name.lower(): value for name, value in request["headers"].items()}
        if "if-none-match" in headers:
            for recorded, ours in self._etags.items():
                headers["if-none-match"] = headers["if-none-match"].replace(recorded, ours)
        content = request.get("text")
        if content is None and request["json"] is not None:
            content = json.dumps(request["json"])
        if content is not None:
            headers.setdefault("content-type", "application/json")
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:9999"
        ) as client:
            return await client.request(
                request["method"],
                request["path"],
                params=request["query"],
                headers=headers,
                content=content,
            )

    def check_etag(self, response: dict[str, Any], answer: httpx.Response) -> None:
        recorded = response["headers"].get("etag", "").strip('"')
        ours = answer.headers.get("etag", "").strip('"')
        assert bool(recorded) == bool(ours)
        if recorded:
            assert self._etags.setdefault(recorded, ours) == ours
            assert len(set(self._etags.values())) == len(self._etags)


def essence(status: int, headers: Any, json_body: Any, text: str) -> dict[str, Any]:
    """Return what of an answer has to be the same; JSON as text, since Python says 1 == True."""
    shown: dict[str, Any] = {"status": status}
    for name in COMPARED_HEADERS:
        shown[name] = headers.get(name)
    if json_body is None:
        shown["text"] = sets_sorted(text)
    elif status == 422:
        shown["locs"] = sorted(json.dumps(problem["loc"]) for problem in json_body["detail"])
    else:
        shown["json"] = sets_sorted(json.dumps(json_body, sort_keys=True))
    return shown


def sets_sorted(text: str) -> str:
    """Return a text with the sets that Python printed into it in alphabetical order."""
    return re.sub(
        r"\{('\w+'(?:, '\w+')+)\}", lambda m: "{" + ", ".join(sorted(m[1].split(", "))) + "}", text
    )


def essence_of(answer: httpx.Response) -> dict[str, Any]:
    is_json = answer.content and answer.headers.get("content-type") == "application/json"
    body = answer.json() if is_json else None
    return essence(answer.status_code, answer.headers, body, answer.text)


def essence_of_recorded(response: dict[str, Any]) -> dict[str, Any]:
    return essence(
        response["status"], response["headers"], response["json"], response.get("text", "")
    )


def essence_instead(instead: dict[str, Any]) -> dict[str, Any]:
    """Return what is listed as our answer; its content type goes without saying."""
    kinds = {"json": "application/json", "locs": "application/json"}
    kind = next((kinds[name] for name in kinds if name in instead), None)
    if instead.get("text"):
        kind = "text/plain; charset=utf-8"
    shown = {"status": instead["status"], **dict.fromkeys(COMPARED_HEADERS)}
    shown["content-type"] = kind
    if "json" in instead:
        shown["json"] = json.dumps(instead["json"], sort_keys=True)
    elif "locs" in instead:
        shown["locs"] = sorted(map(json.dumps, instead["locs"]))
    else:
        shown["text"] = instead["text"]
    return shown


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """Give an event loop without asyncio's debug mode, which takes half of the time here."""
    with asyncio.Runner(debug=False) as runner:
        yield runner


@pytest.mark.parametrize("scenario", sorted(SCENARIOS.keys() - NOT_REPLAYABLE.keys()))
def test_answers_are_the_recorded_ones(loop: asyncio.Runner, scenario: str, tmp_path: Path) -> None:
    loop.run(check_answers(scenario, Replay(scenario, tmp_path)))


async def check_answers(scenario: str, replay: Replay) -> None:
    instead = DIFFERENCES.get(scenario, {"answers": {}})["answers"]

    for index, exchange in enumerate(replay.recorded["exchanges"]):
        if "after a restart" in exchange.get("note", ""):
            replay.start(empty="EMPTY" in exchange["note"])
        answer = await replay.send(exchange["request"])
        assert answer.status_code < 500
        if ours := instead.get(str(index)):
            assert essence_of(answer) == essence_instead(ours), f"exchange {index}"
            assert essence_of(answer) != essence_of_recorded(exchange["response"])
        else:
            recorded = exchange["response"]
            assert essence_of(answer) == essence_of_recorded(recorded), f"exchange {index}"
            replay.check_etag(recorded, answer)


def test_every_file_that_cannot_be_replayed_is_listed() -> None:
    """The files tell of it: requests at once, times, lists cut short, starts of the service."""
    told = {
        scenario
        for scenario in SCENARIOS
        for exchange in load(scenario)["exchanges"]
        if MARKS_OF_NOT_REPLAYABLE & exchange.keys() or exchange["request"]["method"] == "START"
    }

    assert told <= NOT_REPLAYABLE.keys()
    # These two tell it in their words only.
    assert NOT_REPLAYABLE.keys() - told == {"limit_32767"}


def test_every_difference_is_of_a_replayed_file_and_has_a_reason() -> None:
    assert DIFFERENCES.keys() <= SCENARIOS.keys() - NOT_REPLAYABLE.keys()
    assert all(difference["why"] and difference["answers"] for difference in DIFFERENCES.values())


def test_no_recorded_failure_is_repeated() -> None:
    """Every 500 of a replayed file is among the differences."""
    failures = {
        (scenario, str(index))
        for scenario in SCENARIOS.keys() - NOT_REPLAYABLE.keys()
        for index, exchange in enumerate(load(scenario)["exchanges"])
        if exchange["response"]["status"] >= 500
    }

    assert failures <= {
        (scenario, index)
        for scenario, difference in DIFFERENCES.items()
        for index in difference["answers"]
    }


def test_documentation_counts_what_is_reproduced() -> None:
    replayed = SCENARIOS.keys() - NOT_REPLAYABLE.keys()
    exact = replayed - DIFFERENCES.keys()
    sizes = {scenario: len(load(scenario)["exchanges"]) for scenario in SCENARIOS}
    different = sum(len(difference["answers"]) for difference in DIFFERENCES.values())
    within = sum(sizes[scenario] for scenario in DIFFERENCES)

    text = (HERE.parents[1] / "docs" / "embedded-service.md").read_text(encoding="utf-8")

    assert (
        f"| reproduced exactly | {len(exact)} | {sum(sizes[s] for s in exact)} |\n"
        f"| reproduced except for the differences above | {len(DIFFERENCES)} | {within},"
        f" of them {within - different} exactly |\n"
        f"| not replayable | {len(NOT_REPLAYABLE)} |"
        f" {sum(sizes[scenario] for scenario in NOT_REPLAYABLE)} |\n"
        f"| all | {len(SCENARIOS)} | {sum(sizes.values()):,} |\n"
    ) in text

"""The program of a history: what both players do alike, and what its threads do besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from chaos import doors
from chaos.pace import INTERVAL
from chaos.races import Races
from chaos.specs import FEATURES, VALUES
from chaos.violation import Violation
from chaos.weather import GREATEST

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.scheduler import Scheduler
    from chaos.world import World

URL: Final = "http://service.example"


ROUNDS: Final = 4
"""How often one thread acts alone, and all has to be right some time later."""

_IN_TROUBLE: Final = 5
_MOST_VALIDATORS: Final = 5


class Program:
    """What a program does with its client, whichever it is.

    Args:
        world: The history.
        scheduler: Has its threads.
        path: Where a snapshot may be kept.

    Attributes:
        client: The client, once there is one.
        races: What other threads do.
    """

    def __init__(self, world: World, scheduler: Scheduler, path: Path) -> None:
        self.world = world
        self.scheduler = scheduler
        self.client: Any = None
        self.keeps = world.random.random() < 0.5
        self.path = path
        self.races = Races(scheduler, world.random, self.act)
        self.has_races = world.random.random() < 0.3
        acts = [self.default, self.validate, world.declare_more, self.look]
        # Often one thing again and again: it has to meet its moment.
        self._acts = world.random.choice([[self.track], [self.track], acts, [*acts, self.track]])
        world.has_many = self.has_races and len(self._acts) == 1
        self._wants_tracking = world.random.random() < (0.3 + 0.7 * self.has_races)
        self._contents: dict[int, bytes] = {}
        self._received: set[str] = set()
        self._read_before: dict[str, tuple[Any, ...]] = {}
        self._noted = world.wire.began
        world.wire.began = self._began
        world.wire.closed = self.races.answered
        world.pace.over = self.races.ended

    def _began(self) -> None:
        self._noted()
        self.races.began()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the client's class, but for the connections."""
        return {
            "service_url": URL,
            "update_interval": INTERVAL,
            "context_features": FEATURES,
            "registry": self.world.registry,
            "max_response_bytes": GREATEST,
            "snapshot_path": self.path if self.keeps else None,
        }

    def prepare(self, client: Any) -> None:
        """Give a client what it gets before it starts."""
        world = self.world
        doors.seed(client, world.random.random())
        self.client = client
        defaults = {name: world.random.choice(VALUES[name]) for name in FEATURES}
        client.set_defaults(**defaults)
        world.defaults = defaults
        if world.tracked is not None:
            for name, values in world.tracked.items():
                client.track_contexts(**{name: sorted(values)})
        elif self._wants_tracking:
            self.track()

    @property
    def rounds(self) -> int:
        """How many rounds are played after each trouble."""
        return ROUNDS if self.has_races else 0

    def let_others_act(self) -> None:
        """Let other threads act while the weather is bad; but there is only so much to track."""
        if self.has_races:
            self.races.left = _IN_TROUBLE if self.world.has_many else 10 * _IN_TROUBLE

    # What any thread may do.

    def act(self) -> None:
        """Do one of the things that any thread may do at any time."""
        self.world.random.choice(self._acts)()

    def track(self) -> None:
        world = self.world
        if world.tracked is None and world.oracle.worked_at is not None:
            # To begin to track takes rules away, which the oracle does not know in time.
            return
        contexts: Any = world.some_tracking()
        if not contexts:
            return
        world.tracks(contexts)
        self.client.track_contexts(**contexts)
        world.oracle.note()

    def default(self) -> None:
        name = self.world.random.choice(FEATURES)
        value = self.world.random.choice(VALUES[name])
        self.client.set_defaults(**{name: value})
        self.world.defaults = {**self.world.defaults, name: value}

    def validate(self) -> None:
        """Add a validator that only looks on; `check_validators` asks what it saw."""
        spec = self.world.random.choice(list(self.world.settings))
        if len(self.world.oracle.validators) > _MOST_VALIDATORS:
            return
        seen: list[Any] = []

        def look_at(value: Any, _rule: Any, _setting: Any) -> Any:
            seen.append(value)
            return value

        self.world.pace.wake()
        self.world.settings[spec].add_validator(look_at)
        self.world.oracle.validators.append((spec, seen))

    def look(self) -> None:
        """Read all twice from one published state."""
        with doors.pinned(self.world.registry):
            first = self.world.oracle.reading()
            self.scheduler.switch()
            second = self.world.oracle.reading()
        if any(second.get(name, was) != was for name, was in first.items()):
            raise Violation("wrong", "a pinned state changed")

    # What `changes()` gives.

    def begin_receiving(self) -> None:
        self._received, self._read_before = set(), self.world.oracle.reading()

    def receive(self, changed: Any) -> None:
        self._received |= {one.name for one in changed}

    def check_received(self) -> None:
        """Check that who iterates over `changes()` was given all that changed.

        Raises:
            Violation: Something was left out.
        """
        now = self.world.oracle.reading()
        changed = {name for name, was in self._read_before.items() if now[name] != was}
        if not changed <= self._received:
            raise Violation("wrong", f"changes() left out {len(changed - self._received)} settings")
        self.begin_receiving()

    # The snapshot on disk.

    def check_file(self) -> None:
        """Check that the snapshot is only ever replaced as a whole.

        Raises:
            Violation: The file was written in its place.
        """
        if not self.keeps or not self.path.exists():
            return
        number, content = self.path.stat().st_ino, self.path.read_bytes()
        if self._contents.setdefault(number, content) != content:
            raise Violation("wrong", "the snapshot was written in its place")
        self._keep(number)

    def _keep(self, number: int) -> None:
        """Hold the file by another name, so that its number is not given to another."""
        copy = self.path.parent / f"copy-{number}"
        if not copy.exists():
            copy.hardlink_to(self.path)

    def check_folder(self) -> None:
        """Check that no file was left.

        Raises:
            Violation: One was.
        """
        left = [one.name for one in self.path.parent.iterdir() if not one.name.startswith("copy-")]
        if left not in ([], [self.path.name]):
            raise Violation("leak", f"files: {left}")

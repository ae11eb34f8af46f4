"""For the tests of programs that use heksher: stubs, the embedded service, exported snapshots.

The pytest plugin that comes with the package gives tests the fixture `heksher`, a
`StubHeksherClient` that is restored by itself, the marker `@pytest.mark.heksher({...})`, and the
option `--heksher-snapshot`.
"""

from heksher.clients.stub import (
    AsyncStubHeksherClient,
    Rule,
    StubHeksherClient,
    SyncStubHeksherClient,
)
from heksher.testing.exporting import export_snapshot
from heksher.testing.local_service import LocalService

__all__ = [
    "AsyncStubHeksherClient",
    "LocalService",
    "Rule",
    "StubHeksherClient",
    "SyncStubHeksherClient",
    "export_snapshot",
]

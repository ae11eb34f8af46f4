"""Run the embedded Heksher service beside a program: in a process of its own, on a free port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def local_service(*context_features: str) -> Iterator[str]:
    """Yield the URL of a service that keeps everything in memory, until the block ends."""
    command = [sys.executable, "-m", "heksher.server", "--port", "0"]
    command += ["--context-features", ",".join(context_features)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        first_line = process.stdout.readline()
        if not first_line:
            raise RuntimeError(
                "the service did not start: run pip install 'heksher[server]>=1.0.0.dev0',"
                " or pip install '.[server]' in a checkout"
            )
        try:
            yield first_line.split()[-1]
        finally:
            process.terminate()

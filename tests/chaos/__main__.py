"""`python -m chaos N [SEED]` plays histories; `python -m chaos --planted [NAME ...]` plants faults."""

from __future__ import annotations

import sys

from chaos import commands, workers

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--worker"]:
        sys.exit(workers.work(arguments[1:]))
    elif arguments[:1] == ["--planted"]:
        sys.exit(commands.play_planted(arguments[1:]))
    else:
        sys.exit(commands.play_histories(arguments))

"""`python -m chaos N [SEED]`: play N histories, from a seed on, with all processors."""

from __future__ import annotations

import sys

from chaos.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

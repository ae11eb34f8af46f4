"""Moving programs of heksher-py 0.2 to this library: `python -m heksher.moving FILE...`.

Holds the codemod, on LibCST (extra `moving`). It imports nothing of heksher, and nothing imports it.
"""

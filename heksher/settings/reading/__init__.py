"""Reading: the `get` that is generated for each setting, and the published state it looks into.

The hot path of the library. Imports `rules`, the context and the declaration.
"""

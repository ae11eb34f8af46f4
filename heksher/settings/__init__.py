"""The core: declaring, decoding and resolving settings. Pure: no I/O, no client needed."""

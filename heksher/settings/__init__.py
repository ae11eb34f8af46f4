"""The core: settings, the state that they are read from, and everything that decides a value.

Pure and synchronous: no network, no event loop, no files. It imports nothing of the package but
`exceptions`, and works with declared defaults alone.
"""

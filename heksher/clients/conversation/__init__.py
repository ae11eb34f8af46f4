"""The conversation: what a client says to the service, and what it makes of the responses.

Flows are generators that decide and do no I/O: no sockets, no event loop, no threads, no files.
Imports the core, `wire` and `status`.
"""

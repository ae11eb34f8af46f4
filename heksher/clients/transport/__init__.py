"""The transport: the drivers that do what flows ask for, their connections, and forks.

The only code that waits or opens a socket. Imports `effects` of the conversation, and nothing that
decides.
"""

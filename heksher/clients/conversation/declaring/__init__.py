"""Declaring: what to declare, at which pace, and how each setting stands with the service.

`decisions` says what the service will answer, without asking it. Imports the rest of the
conversation's vocabulary, the core and `wire`.
"""

"""Snapshots: the last good state on disk, to start from while the service is unavailable.

What is in a file, how it is written whole, and when. Imports the conversation and the core.
"""

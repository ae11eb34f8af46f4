"""The storage of the embedded service: its database, tables, and queries on them.

Imports SQLAlchemy and the core's types; knows nothing of HTTP.
"""

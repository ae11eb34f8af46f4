"""Types: from annotations to Heksher types, from raw JSON to read-only values and back.

A decoder for each Heksher type, and what the service's type strings and JSON Schema say of it.
Imports nothing of the package but `exceptions`.
"""

"""Models: `SettingsModel`, one setting for each field, read as one validated object.

Imports the rest of the core; nothing of the core imports it.
"""

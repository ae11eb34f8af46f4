"""Rules: compiling a setting's raw rules into a rule set, and looking a value up in one.

Precedence is decided here. Imports `types`, the context and the declaration.
"""

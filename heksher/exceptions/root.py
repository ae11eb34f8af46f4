"""The root of the tree."""


class HeksherError(Exception):
    """The root of everything that heksher raises."""

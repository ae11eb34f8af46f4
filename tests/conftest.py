"""Fixtures that any test may use."""

from __future__ import annotations

import pytest

from heksher.settings.registry import Registry


@pytest.fixture
def registry() -> Registry:
    """A registry of its own, so that no test sees the settings of another."""
    return Registry()

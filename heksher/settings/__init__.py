"""Settings core."""

"""Random histories of services that fail, and programs that must never freeze without a sign."""

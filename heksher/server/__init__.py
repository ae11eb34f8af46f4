"""The embedded Heksher service."""

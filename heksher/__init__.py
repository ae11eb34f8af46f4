"""Heksher."""

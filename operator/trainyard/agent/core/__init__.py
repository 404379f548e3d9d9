"""Decisions: no input or output, no clock."""

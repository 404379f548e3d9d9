"""Wiring: events to keys, keys to reconciles, and the process around them."""

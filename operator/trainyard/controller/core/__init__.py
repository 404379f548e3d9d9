"""Pure: snapshots in, decisions, manifests and statuses out. No I/O, no clock, no environment, nothing async."""

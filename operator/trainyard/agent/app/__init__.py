"""The programs: stage, sidecar, and the sidecar's helpers."""

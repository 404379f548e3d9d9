"""The language everyone shares: resources, the job plan, the report. Data and pure functions; no I/O, no clock."""

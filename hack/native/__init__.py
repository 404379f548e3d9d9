"""A real single-node cluster made of plain processes, for machines where no Docker engine runs."""

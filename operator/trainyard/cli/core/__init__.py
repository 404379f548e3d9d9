"""What the commands know, as pure functions: text and values in, text and values out. No files, no cluster, no clock."""

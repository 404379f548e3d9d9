"""The commands: what is on the command line, in what order things happen, and what is printed where."""

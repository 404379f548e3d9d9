"""Tools for people who work on this repository: a local cluster, image builds, generators."""

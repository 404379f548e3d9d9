"""The apiserver, the sidecars and what was last seen of them. Decides nothing."""

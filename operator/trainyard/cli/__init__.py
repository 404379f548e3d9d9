"""The command line client, `trainyard` and `kubectl trainyard`. It knows the api, and neither operator nor agent."""

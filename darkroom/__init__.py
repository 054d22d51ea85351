"""The operator's tool: the command line and the local cloud."""

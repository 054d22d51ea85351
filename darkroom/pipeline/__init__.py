"""What an operator can ask of a deployed pipeline, and do to it. Nothing here prints."""

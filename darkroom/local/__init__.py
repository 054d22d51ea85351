"""The local cloud: MiniStack behind a gate, what is added to it, and the stack and the demo in it."""

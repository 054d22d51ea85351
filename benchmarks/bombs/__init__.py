"""What the worst files cost that Validate may meet. `make bombs` draws them, and fails where one is over a bar."""

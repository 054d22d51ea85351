"""How fast, how small, how good and how dear: our core against libvips and plain Pillow. `make bench` prints it."""

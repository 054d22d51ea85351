"""What the project takes from others: under which licences, and whether a vulnerability of it is known."""

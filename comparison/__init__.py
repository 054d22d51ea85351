"""One picture by two sets of settings, rendered on this machine with the code of the functions: `darkroom plan` runs it
in a process of its own, because the operator's tool knows nothing of that code."""

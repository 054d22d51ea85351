"""Where the command `darkroom` begins and ends: Ctrl-C at any time, and an output that takes no more, are no traceback.

Nothing else is imported before this stands guard: the command line needs a tenth of a second and more to be imported.
"""

import gc
import os
import signal
import sys
from contextlib import suppress

CTRL_C = 130  # as a shell has it

# Objects, between two looks for garbage. Nearly all that a command makes are modules and the models of AWS's services,
# which stay: to look after each 700 of them, as Python does by itself, finds nothing, and takes a tenth of a second.
GARBAGE = 50_000


def main() -> None:
    """Runs the command line; raises SystemExit."""
    gc.set_threshold(GARBAGE)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before: what is said goes nowhere
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        with suppress(AttributeError):  # a test may have put another stream there
            getattr(sys, name).reconfigure(errors="backslashreplace")
    raise SystemExit(_written(_exit_code()))


def _exit_code() -> object:
    try:
        from darkroom.cli import app

        app()
    except KeyboardInterrupt:
        return CTRL_C
    except SystemExit as ended:
        return ended.code
    except OSError as problem:  # an output that takes no more, before a command has begun: its help
        _say(problem)
        return 1
    return 0


def _written(code: object) -> object:
    """The exit code once all is written: 1 if it could not be. Python's own attempt comes after this, and would print
    what went wrong with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left that could be said
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as problem:
            if not code:
                _say(problem)
            code = code or 1
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _say(problem: OSError) -> None:
    """Nothing where nobody reads any more: `| head` is how one ends a command."""
    if not isinstance(problem, BrokenPipeError):
        with suppress(OSError):
            sys.stderr.write(f"darkroom: cannot read or write: {problem.strerror}\n")
            sys.stderr.flush()


if __name__ == "__main__":
    main()

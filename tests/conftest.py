"""The same shell for every test, whichever the tests were started from."""

import functools
import os
import time

import botocore.session

# What a program shows, and whom it talks to, by the variables of a shell. A test that is about one of them sets it.
OF_A_PROGRAM = ("AWS_", "CDK_", "CLICOLOR", "DARKROOM_", "LC_", "MINISTACK_", "POWERTOOLS_", "SFN_")
FOR_THE_TESTS = {"DARKROOM_KILLS", "DARKROOM_MUTATIONS", "DARKROOM_SEQUENCES"}  # how many of something a test tries
OF_A_TERMINAL = {"BROWSER", "COLUMNS", "FORCE_COLOR", "LANG", "LANGUAGE", "LINES", "NO_COLOR", "PAGER", "TERM", "TZ"}

# As this file is imported, before any other: Powertools and Rich read some of them when they are imported themselves.
for _name in list(os.environ):
    if (_name.startswith(OF_A_PROGRAM) and _name not in FOR_THE_TESTS) or _name in OF_A_TERMINAL:
        del os.environ[_name]
# The CDK's validator takes two thirds of each synth, and says the same of each: `make check` runs it once.
os.environ["CDK_VALIDATION"] = "false"
time.tzset()
os.umask(0o022)

# Each session reads the descriptions of its services again, which takes longer than most tests.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

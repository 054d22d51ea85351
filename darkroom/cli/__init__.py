"""The command `darkroom`: each of its commands begins a picture's way, or looks at some part of it.

    local.py       up, down, demo, env, status: the local cloud and what is deployed
    doctor.py      doctor: what is missing on this machine or in the account
    policy.py      policy
    adopt.py       adopt: a bucket that is there already
    upload.py      upload
    results.py     results
    get.py         get, open
    link.py        link: a picture in any size, by a URL
    executions.py  executions
    inspect.py     inspect: one picture's execution and its states
    redrive.py     redrive
    plan.py        plan: what other settings would make of what is there
    backfill.py    backfill
    smoke.py       smoke
    console.py     console

`app.py` has what they share: the options, the examples in their help, and how an error ends one.
"""

from darkroom.cli import local, doctor, policy, adopt  # noqa: F401, I001 - as in the help
from darkroom.cli import upload, results, get, link, executions, inspect, redrive, plan, backfill, smoke, console  # noqa: F401
from darkroom.cli.app import app

__all__ = ["app"]

"""`make fuzz SECONDS=600`: the property of test_mutations.py on files that grow from its seeds.

Atheris keeps a file that reaches something new in our readers or in Pillow's Python, and damages that further; the kept
ones stay in `build/fuzz/corpus` for the next time. Where there is no wheel of Atheris, the seeds alone are damaged.
What is found is printed and saved in `build/fuzz/found`: moved to `tests/functions/imaging/found`, it is a test.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import random
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path

import typer

from benchmarks.optional import packages

FOLDER = Path(__file__).resolve().parents[3] / "build" / "fuzz"
FOUND, CORPUS, AT_WORK, LOG = (FOLDER / name for name in ("found", "corpus", "at_work", "log"))
LONGEST_FILE = 8192  # bytes
LONGEST_TRY = 60  # seconds, after which a decoder hangs
MEGABYTES = 600  # of the process: pictures within the limits need a tenth, the rest is what Atheris remembers
SEEN: set[str] = set()  # faults


def main(seconds: int) -> None:
    """Starts a worker until the time is over: one that dies takes the file with it that it was at."""
    for folder in (FOUND, CORPUS):
        folder.mkdir(parents=True, exist_ok=True)
    began, end, tried = time.time(), time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 1:
        AT_WORK.unlink(missing_ok=True)
        with LOG.open("wb") as log:  # libtiff says much
            command = [sys.executable, "-m", __spec__.name, "--work", str(round(left))]
            died = subprocess.run(command, stderr=log, check=False).returncode
        said = LOG.read_text(errors="replace")
        if not AT_WORK.exists():
            sys.exit(f"no file was tried:\n{said[-2000:]}")
        tried += int((re.findall(r"^#(\d+)", said, re.MULTILINE) or ["0"])[-1])
        if died:
            data = AT_WORK.read_bytes()
            what = f"the interpreter ended with {died}: {base64.b64encode(data).decode()}"
            save(data, what, f"{what}\n{said[-500:]}")
            (CORPUS / hashlib.sha1(data).hexdigest()).unlink(missing_ok=True)  # or each worker would begin with it
    found = [file for file in FOUND.iterdir() if file.stat().st_mtime >= began]
    typer.echo(f"{tried:,} files tried, {len(list(CORPUS.iterdir())):,} kept, {len(found)} found")
    sys.exit(bool(found))


def work(seconds: int) -> None:
    try:
        import atheris
    except ImportError:
        at_random(seconds)
        return
    with atheris.instrument_imports(include=["functions.imaging", "PIL"]):
        from tests.functions.imaging import test_mutations

        drawn = seeds()
    for name, data in drawn.items():
        (CORPUS / f"seed {name}".replace("/", " ")).write_bytes(data)

    def damaged(data: bytes, longest: int, seed: int) -> bytes:
        dice = random.Random(seed)
        if dice.randrange(3) == 0:
            return atheris.Mutate(data, longest)
        return test_mutations.mutated(data, dice)[:longest]

    options = {"max_total_time": seconds, "max_len": LONGEST_FILE, "timeout": LONGEST_TRY, "rss_limit_mb": MEGABYTES}
    options |= {"artifact_prefix": "/dev/null", "seed": random.randrange(1, 2**31)}
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(CORPUS)]
    atheris.Setup(arguments, lambda data: attempt(data, test_mutations.try_out), custom_mutator=damaged)
    atheris.Fuzz()


def at_random(seconds: int) -> None:
    from tests.functions.imaging import test_mutations

    end, dice, drawn = time.monotonic() + seconds, random.Random(), list(seeds().values())
    tried = 0
    while time.monotonic() < end:
        attempt(test_mutations.mutated(dice.choice(drawn), dice), test_mutations.try_out)
        tried += 1
    typer.echo(f"#{tried}", err=True)  # as libFuzzer says it


def seeds() -> dict[str, bytes]:
    """Those of the tests; of JPEG XL with what the layer has for it."""
    sys.path.append(str(packages()))
    importlib.import_module("pillow_jxl")
    from tests.functions.imaging import test_jxl, test_mutations

    return test_mutations.SEEDS | test_jxl.seeds()


def attempt(data, try_out) -> None:
    AT_WORK.write_bytes(data)
    try:
        try_out(data)
    except AssertionError as wrong:
        raised = wrong.__cause__ or wrong
        where = traceback.extract_tb(raised.__traceback__)[-1]
        save(data, f"{type(raised).__name__} {where.filename} {where.lineno}", str(wrong))


def save(data: bytes, fault: str, message: str) -> None:
    """The first file of each fault."""
    if fault not in SEEN:
        SEEN.add(fault)
        file = FOUND / f"{hashlib.sha256(fault.encode()).hexdigest()[:12]}.bin"
        file.write_bytes(data)
        typer.echo(f"{file}: {message}")


if __name__ == "__main__":
    [how, number] = sys.argv[1:] if len(sys.argv) == 3 else ["--fuzz", sys.argv[1]]
    (work if how == "--work" else main)(int(number))

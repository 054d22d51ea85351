"""A new process, its imports and its first call, for each function, against the imports none can do without."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from statistics import median

from benchmarks import first_call
from benchmarks.photos import SCRATCH, SETTINGS
from benchmarks.process import in_new_process
from benchmarks.report import Figure, begin, show, tick
from darkroom.local.pictures import photo
from functions.imaging import Target
from stacks.settings import FREED, read_settings

BAR = 1.25
ROUNDS = 11

# What the stack puts into the environment of each function.
ENVIRONMENT = {
    # Everything compiled, whatever was imported here before: a module that is not costs several times as much.
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str((SCRATCH / "compiled").resolve()),
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_SERVICE_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(SETTINGS.functions.validate_.memory),  # Validate bounds itself by it
    **SETTINGS.for_validate(),
    "RENDITIONS_BUCKET": "renditions",
    "UPLOADS_BUCKET": "uploads",
    "RESULTS_TABLE": "results",
    "DELIVERY_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:delivery-abcdef",
    **read_settings({"captions.enabled": "true"}, "us-east-1").for_caption(),
}

OF_VALIDATE = ENVIRONMENT | FREED


def measure() -> list[Figure]:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    small = SCRATCH / "small.jpg"
    small.write_bytes(photo(640, 480))
    rendition = json.dumps(asdict(Target("webp", 128, 96, quality=80)))
    starts: dict[str, tuple[Callable[..., int | None], tuple[str, ...]]] = {
        "imports": (first_call.nothing, ()),
        "validate": (first_call.validate, (str(small),)),
        "resize": (first_call.resize, (str(small), rendition)),
        "caption": (first_call.caption, (str(small),)),
        "deliver": (first_call.deliver, (str(small),)),
    }
    taken: dict[str, list[float]] = {name: [] for name in starts}
    begin("cold start")
    for number in range(ROUNDS + 1):
        tick()
        for name, (work, arguments) in starts.items():
            environment = OF_VALIDATE if name == "validate" else ENVIRONMENT
            usage = in_new_process(work, *arguments, environment=environment)
            if number:  # the first fills the caches of files and of compiled modules
                taken[name].append(usage.cpu)
    show(("cold start", "CPU ms"), [(name, f"{median(cpu) * 1000:.0f}") for name, cpu in taken.items()])
    imports = taken.pop("imports")
    return [
        Figure(f"cold start of {name} / bare imports", median(a / b for a, b in zip(cpu, imports, strict=True)), BAR)
        for name, cpu in taken.items()
    ]

"""The process that examines: what it says, and what becomes of a picture that it dies of."""

import faulthandler
import hashlib
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from darkroom.local.pictures import encoded, photo
from functions import examiner
from functions.examiner import Examiner
from functions.imaging import Facts, Limits, Rejected, examine

LIMITS = Limits(max_bytes=1_000_000, max_pixels=4_000_000)
PHOTO = photo(90, 60)


@pytest.fixture
def doing(monkeypatch):
    """An examiner in whose process `examine` is another; it is asked for a first picture by the test."""
    made = []

    def make(does, cpu_seconds=20, data_bytes=None):
        monkeypatch.setattr(examiner, "examine", does)
        made.append(Examiner(LIMITS, cpu_seconds, data_bytes))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_says_what_examine_says(doing):
    """Facts as they are, and a rejection with its code and message, one after the other in one process."""
    asked = doing(examine)
    assert asked.examine(lambda: PHOTO) == examine(PHOTO, LIMITS)
    with pytest.raises(Rejected, match="empty: 0 bytes"):
        asked.examine(lambda: b"")
    with pytest.raises(Rejected) as rejected:
        asked.examine(lambda: b"only words \xff")
    assert rejected.value.code == "unsupported_format"
    assert asked.examine(lambda: PHOTO) == examine(PHOTO, LIMITS)


def test_one_process_serves_every_picture(doing):
    """To fork one for each would cost a third of a photo's CPU."""
    asked = doing(lambda data, _: Facts("jpeg", os.getpid(), len(data), 1, "", ""))
    first, second = asked.examine(lambda: b"12"), asked.examine(lambda: b"123")
    assert first.width == second.width != os.getpid()
    assert (first.height, second.height) == (2, 3)


def test_what_was_read_is_let_go_of_before_it_is_decoded(doing, monkeypatch):
    """The decoders need the memory: of 50 MB there are copies enough."""
    seen = []

    class Read(bytes):
        def __del__(self):
            seen.append("let go")

    asked = doing(examine)
    ask = asked._ask
    monkeypatch.setattr(asked, "_ask", lambda size: (seen.append("asked"), ask(size))[1])
    asked.examine(lambda: Read(PHOTO))
    assert seen == ["let go", "asked"]


def burn(data, _):
    """In C, in one call that no signal handler of Python's interrupts, for minutes."""
    hashlib.pbkdf2_hmac("sha256", data, b"", 2 * 10**9)


def test_a_decoder_that_takes_more_cpu_than_the_limit_is_ended_and_that_is_a_verdict(doing, monkeypatch):
    """At once, without a second try; the next picture has a new process."""
    asked = doing(burn, cpu_seconds=1)
    with pytest.raises(Rejected) as rejected:
        asked.examine(lambda: PHOTO)
    assert rejected.value.args == ("too_costly", "not decoded within 1 s of CPU, the limit")
    monkeypatch.setattr(examiner, "examine", examine)
    assert asked.examine(lambda: PHOTO).width == 90


def test_the_limit_is_each_pictures_own(doing):
    """Not that of a process, which examines many."""

    def spends(data, _):
        limit, _ = resource.getrlimit(resource.RLIMIT_CPU)
        while time.process_time() < len(data):
            pass
        return Facts("jpeg", limit, 1, 1, "", "")

    asked = doing(spends, cpu_seconds=5)
    assert [asked.examine(partial(bytes, seconds)).width for seconds in (1, 0)] == [1 + 5, 2 + 5]


def test_what_takes_more_memory_than_there_is_is_a_verdict(doing):
    """Wherever it is that memory ends. What both share has the file as well."""

    def limited(*_):
        return Facts("jpeg", resource.getrlimit(resource.RLIMIT_DATA)[0], 1, 1, "", "")

    assert doing(limited, data_bytes=10**9).examine(lambda: bytes(300)).width == 10**9 - 300
    with pytest.raises(Rejected) as rejected:
        doing(lambda *_: bytes(2**60), data_bytes=10**9).examine(lambda: PHOTO)
    assert rejected.value.args == ("too_many_pixels", "takes more memory than there is")


def fails_without_words(data, _):
    """As most decoders do, whatever the reason is. There are no such addresses."""
    if data == PHOTO:
        with suppress(OSError):
            mmap.mmap(-1, 2**62)
    raise Rejected("corrupt", "cannot be decoded")


def test_a_decoder_that_does_not_say_that_memory_was_out_is_understood(doing):
    """C does. The next picture, in the same process, is broken indeed."""
    asked = doing(fails_without_words)
    for data, verdict in (
        (PHOTO, ("too_many_pixels", "takes more memory than there is")),
        (PHOTO[:-40], ("corrupt", "cannot be decoded")),
    ):
        with pytest.raises(Rejected) as rejected:
            asked.examine(partial(bytes, data))
        assert rejected.value.args == verdict


def short_of_memory(limits, megabytes):
    """What examines with no more than that, whatever the process has left from before."""

    def examined(data, _):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held(), hard))
        taken = []
        with suppress(MemoryError):
            while True:
                taken.append(bytearray(1 << 20))
        resource.setrlimit(resource.RLIMIT_DATA, (held() + (megabytes << 20), hard))
        with suppress(OSError):
            os.close(-1)  # so that errno has another reason
        return examine(data, limits)

    return examined


def held():
    """Bytes that this process has, as RLIMIT_DATA counts them."""
    [line] = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="others count memory in another way")
@pytest.mark.parametrize(("container", "how"), [("WEBP", {"method": 0}), ("JPEG", {"progressive": True})])
def test_a_picture_that_needs_more_memory_than_there_is_is_not_called_corrupt(doing, container, how):
    data = encoded(Image.new("RGB", (3000, 3000)), container, **how)
    with pytest.raises(Rejected) as rejected:
        doing(short_of_memory(Limits(10**7, 10**8), megabytes=16)).examine(lambda: data)
    assert rejected.value.args == ("too_many_pixels", "takes more memory than there is")


def dies_of(how):
    def examined(*_):
        faulthandler.disable()  # pytest's, which would print where
        os.kill(os.getpid(), how)

    return examined


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        (signal.SIGSEGV, "corrupt", "crashes its decoder (SIGSEGV)"),
        (signal.SIGABRT, "corrupt", "crashes its decoder (SIGABRT)"),
        (signal.SIGKILL, "too_many_pixels", "takes more memory than there is: its decoder was killed (SIGKILL)"),
    ],
)
def test_a_picture_that_a_process_dies_of_is_refused(doing, how, code, says):
    """As the kernel ends it where memory is out, and where a decoder crashes."""
    with pytest.raises(Rejected) as rejected:
        doing(dies_of(how)).examine(lambda: PHOTO)
    assert rejected.value.args == (code, says)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_picture_that_another_one_left_a_broken_process_to_is_asked_about_again(doing, how):
    """In a new process, which nothing has damaged."""
    asked = doing(examine)
    asked.examine(lambda: PHOTO)
    os.kill(asked.process, how)
    assert asked.examine(lambda: PHOTO) == examine(PHOTO, LIMITS)


def raises(*_):
    raise ValueError("not foreseen")


def leaves(*_):
    os._exit(3)


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (raises, "ValueError: not foreseen"),
        (leaves, "ended with exit code 3"),
        (dies_of(signal.SIGTERM), "ended by SIGTERM"),
    ],
)
def test_what_is_no_fault_of_the_picture_is_raised(doing, does, says):
    """So that it is tried again, and ends in a letter."""
    with pytest.raises(RuntimeError, match=says):
        doing(does).examine(lambda: PHOTO)


def test_many_threads_may_ask_at_once(doing):
    """Each gets the answer to its own picture."""
    asked = doing(lambda data, _: Facts("jpeg", len(data), 1, 1, "", ""))
    found = {}

    def ask(size):
        found[size] = asked.examine(partial(bytes, size)).width

    threads = [threading.Thread(target=ask, args=(size,)) for size in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {size: size for size in range(1, 17)}


def test_its_process_ends_with_it(doing):
    """Whoever starts one leaves none behind."""
    asked = doing(examine)
    assert asked.close() == 0
    asked.examine(lambda: PHOTO)
    process = asked.process
    assert asked.close() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


KILLED = """
import os, signal
from functions.examiner import Examiner
from functions.imaging import Limits, Rejected
examiner = Examiner(Limits(9, 9), 20)
try:
    examiner.examine(lambda: b"words")
except Rejected:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_its_process_ends_when_the_handlers_is_killed():
    """Nobody is there to ask. Both write to the same pipe, whose end is seen only when neither is left."""
    run = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (-signal.SIGKILL, b"")


UNDER_A_LIMIT = """
import resource
from functions.examiner import Examiner
from functions.imaging import Limits
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
Examiner(Limits(9, 9), 50).examine(lambda: b"words")
"""


def test_a_machine_that_sets_a_lower_limit_is_heeded():
    """It cannot be raised, and the picture is none the worse for it."""
    run = subprocess.run([sys.executable, "-c", UNDER_A_LIMIT], capture_output=True, timeout=120, check=False)
    assert run.stderr.splitlines()[-1].startswith(b"functions.imaging.errors.Rejected: unsupported_format")

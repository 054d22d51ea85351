"""The local cloud: one MiniStack process that stands in for AWS on every step of a picture's way.

It listens on 127.0.0.1 only, speaks TLS, enforces IAM, and answers nobody without a key of its own (`gate.py`).
Everything it keeps is in one folder, its home, which only its owner may read (`homes.py`):

    root.json    the key of the account's root: made at the first start, the same for ever
    cloud.json   what runs, or ran last: pid, port, since when, whose model
    lock         held by the process as long as it lives
    starting     held by who starts it
    tls/         certificate, its key, and the authority that signed it
    data/        what it keeps (`kept.py`)
    cloud.log    what the process printed
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from darkroom.errors import CloudError
from darkroom.local import homes, kept, locks

PROJECT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ACCOUNT = "000000000000"
LOOPBACK = "127.0.0.1"
USUAL_PORT = 4566  # MiniStack's own

# Web pages that may call the local cloud, if they sign: `http://localhost:3000 http://localhost:5173`, as a browser
# names them. Read as the cloud starts.
ALLOWED_ORIGINS = "DARKROOM_ALLOWED_ORIGINS"

START_SECONDS = 180  # 2 on two idle cores
STOP_SECONDS = 180  # 1 with a few hundred pictures: it writes its data on the way out

# What the emulator, and with it every function, gets of the caller's environment: no more, or a function might
# work here only by a variable of somebody's shell.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_",
    "TZ",
    "SSL_CERT_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "MINISTACK_",
    "SFN_",
)


@dataclass(frozen=True)
class Cloud:
    home: Path
    pid: int
    port: int
    since: str
    bedrock: str | None = None  # the server whose model answers for Bedrock; without one the answers are canned

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def log(self) -> Path:
        return self.home / "cloud.log"

    def variables(self) -> dict[str, str]:
        """What points any AWS tool at this cloud."""
        return _variables(self.home, self.port)

    def environment(self) -> dict[str, str]:
        """The environment of a program that is to use this cloud and no other."""
        theirs = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**theirs, **self.variables()}

    def healthy(self) -> bool:
        trust = ssl.create_default_context(cafile=self.variables()["AWS_CA_BUNDLE"])
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        try:
            with direct.open(f"{self.endpoint}/_ministack/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # urllib's own errors are among them
            return False


def _variables(home: Path, port: int) -> dict[str, str]:
    authority = str(home / "tls" / "authority.pem")
    return {
        "AWS_ENDPOINT_URL": f"https://localhost:{port}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        **homes.root_key(home),
        "AWS_CA_BUNDLE": authority,
        "NODE_EXTRA_CA_CERTS": authority,
        **_past_the_proxy(),
    }


def _past_the_proxy() -> dict[str, str]:
    """In both spellings: some programs read only one. What the caller excepts stays excepted."""
    theirs = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    hosts = ",".join(dict.fromkeys(host for host in (*theirs, "localhost", LOOPBACK) if host))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def home_folder() -> Path:
    """`DARKROOM_HOME`, or `.darkroom` in the project: a test runs its own cloud beside a person's."""
    return Path(os.environ.get("DARKROOM_HOME") or PROJECT / ".darkroom").resolve()


def running(home: Path) -> Cloud | None:
    """The cloud of this home, if its process lives. What is noted would not say: pids are given out again.

    Raises CloudError for a home that another user owns, or may have prepared.
    """
    if not home.exists():
        return None
    homes.check(home)
    pid = locks.holder(home / "lock")
    last = _last_noted(home)
    return None if pid is None or last is None else replace(last, pid=pid)


def start(
    home: Path,
    *,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    say: Callable[[str], object] = str,
) -> Cloud:
    """Start the cloud of this home, or return the one that runs; healthy in both cases.

    Without a port it takes the one it had before, then 4566, then any free one. After a kill it has what was written
    down until then, and `recovery` takes up again what was on its way. `env` stands for the caller's environment.
    Raises CloudError.
    """
    homes.claim(home)
    with one_at_a_time(home, "starting") as starting:
        if (cloud := running(home)) is not None:
            if port not in (None, cloud.port):
                raise CloudError(f"the local cloud already runs on port {cloud.port}: `darkroom down` stops it")
            return _when_healthy(home)
        kept.mend(home / "data", say)
        shutil.rmtree(home / "tmp", ignore_errors=True)
        with _listen(port, _last_noted(home)) as listening:
            process = _spawn(home, listening, os.environ if env is None else env, starting)
        try:
            return _when_healthy(home, process)
        except BaseException:
            process.kill()
            process.wait()  # or who looks next would find it running
            raise


def stop(home: Path) -> Cloud | None:
    """Stop the cloud of this home and wait until its port is free. None if none ran. Raises CloudError."""
    cloud = running(home)
    if cloud is None:
        return None
    locks.end_holder(home / "lock", cloud.pid)
    for _ in _until(STOP_SECONDS):
        now = running(home)
        if now is None or now.pid != cloud.pid:
            return cloud
    raise CloudError(f"process {cloud.pid} did not end in {STOP_SECONDS} s: see {cloud.log}")


@contextmanager
def one_at_a_time(home: Path, what: str) -> Iterator[int]:
    """Of the commands that are at this, in any process: the others wait. Gives the file that is the lock, which a child
    may inherit. Raises CloudError."""
    lock = homes.private(str(home / what), os.O_RDWR | os.O_CREAT)
    try:
        for _ in _until(START_SECONDS):
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            raise CloudError(f"another command is {what} the cloud of {home}, for more than {START_SECONDS} s")
        yield lock
    finally:
        os.close(lock)


def _last_noted(home: Path) -> Cloud | None:
    try:
        return Cloud(home, **json.loads((home / "cloud.json").read_text()))
    except FileNotFoundError:
        return None


def _note(home: Path) -> None:
    """By the cloud's own process, before it can be seen to run."""
    facts = {
        "pid": os.getpid(),
        "port": int(os.environ["GATEWAY_PORT"]),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "bedrock": os.environ.get("MINISTACK_BEDROCK_PROXY_URL") or None,
    }
    homes.write(home / "cloud.json", json.dumps(facts).encode())


def _listen(port: int | None, last: Cloud | None) -> socket.socket:
    """Bound here and handed to the process: a port found free now could be taken by the time the process binds it."""
    for wanted in (last.port if last else USUAL_PORT, USUAL_PORT, 0) if port is None else (port,):
        try:
            return socket.create_server((LOOPBACK, wanted))
        except (OSError, OverflowError):  # an OverflowError is a number beyond 65535
            continue
    raise CloudError(f"port {port} is taken: choose another, or leave --port out to get a free one")


def _spawn(home: Path, listening: socket.socket, env: Mapping[str, str], starting: int) -> subprocess.Popen[bytes]:
    """The process with its settings. They are MiniStack's: https://github.com/ministackorg/ministack."""
    port = int(listening.getsockname()[1])
    data = home / "data"
    kept.begin(data)
    (home / "tmp").mkdir(mode=0o700, exist_ok=True)
    homes.make_root_key(home)
    _write_certificate(home / "tls")
    settings = {
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(home / "tls" / "server.pem"),
        "MINISTACK_SSL_KEY": str(home / "tls" / "server.key"),
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "GATEWAY_PORT": str(port),
        ALLOWED_ORIGINS: env.get(ALLOWED_ORIGINS, ""),
        "IOT_MTLS_ENABLED": "0",  # no listener beside the one
        "SFTP_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{home}/none",  # or it clears away containers that look like its own
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data / "s3"),
        "TMPDIR": str(home / "tmp"),
    }
    theirs = {name: value for name, value in env.items() if name.upper().startswith(PASSED_ON)}
    with open(home / "cloud.log", "w", opener=homes.private) as log:
        return subprocess.Popen(
            [sys.executable, "-m", "darkroom.local.cloud", str(home), str(listening.fileno()), str(starting)],
            env={**theirs, **_variables(home, port), **settings},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            umask=0o077,
            start_new_session=True,  # Ctrl-C in the shell that started it is not meant for it
            pass_fds=[starting, listening.fileno()],
        )


def _write_certificate(folder: Path) -> None:
    """A new authority for each start; its own key is kept nowhere, so it can sign nothing else."""
    import trustme

    folder.mkdir(mode=0o700, exist_ok=True)
    authority = trustme.CA(organization_name="Darkroom's local cloud")
    server = authority.issue_cert("localhost", "*.localhost", "*.cloudfront.localhost", LOOPBACK)
    homes.write(folder / "authority.pem", authority.cert_pem.bytes())
    homes.write(folder / "server.key", server.private_key_and_cert_chain_pem.bytes())
    homes.write(folder / "server.pem", b"".join(part.bytes() for part in server.cert_chain_pems))


def _when_healthy(home: Path, process: subprocess.Popen[bytes] | None = None) -> Cloud:
    """The cloud that runs, or that this process is about to be."""
    for _ in _until(START_SECONDS):
        cloud = running(home)
        if cloud is not None and cloud.healthy():
            return cloud
        if cloud is None and (process is None or process.poll() is not None):
            log = home / "cloud.log"
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise CloudError(f"the local cloud ended at once: {last} (all of it: {log})")
    raise CloudError(f"the local cloud does not answer: see {home / 'cloud.log'}")


def _until(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)


def _stand_a_gate_before() -> None:
    """Before MiniStack, whichever version it is: without what the gate needs of it, it lets nobody in."""
    from darkroom.local.gate import Gate, salt_the_functions_keys, verify_roots_signature

    verify_roots_signature()
    salt_the_functions_keys(os.environ["AWS_SECRET_ACCESS_KEY"])
    from ministack import app as emulator  # of which much reads the two functions replaced so far as it is imported

    emulator.app = Gate(
        emulator.app,
        port=int(os.environ["GATEWAY_PORT"]),
        root=os.environ["AWS_ACCESS_KEY_ID"],
        origins=os.environ[ALLOWED_ORIGINS].split(),
    )


def _serve(home: Path, listening: int) -> None:
    """What the process does. Not `python -m ministack`, which would listen on port 443 as well."""
    import asyncio.constants  # not for the commands, which would all wait for it

    from hypercorn.config import Config
    from hypercorn.run import run

    from darkroom.local.ministack import add_to_ministack

    _stand_a_gate_before()
    add_to_ministack()
    # seconds for a client to say farewell; with Python's own 30, each connection kept open would delay the end so long
    asyncio.constants.SSL_SHUTDOWN_TIMEOUT = 1
    config = Config()
    config.application_path = "ministack.app:app"
    config.bind = [f"fd://{listening}"]
    config.certfile = os.environ["MINISTACK_SSL_CERT"]
    config.keyfile = os.environ["MINISTACK_SSL_KEY"]
    config.keep_alive_timeout = 75  # as MiniStack has it
    config.workers = 0  # in this very process, so that its pid is the cloud's
    run(config)  # until SIGTERM; it writes what is not written yet on its way out
    from ministack.services import stepfunctions

    at_work = any(one["status"] == "RUNNING" for one in stepfunctions._executions.all_values())
    kept.end(home / "data", interrupted=at_work)
    shutil.rmtree(home / "tmp", ignore_errors=True)
    # All that it has started too: else executions go on, and Python waits for them, though nothing is written any more.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    home, listening, starting = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    _note(home)
    locks.hold(home / "lock")
    os.close(starting)  # from now on it is this process that runs, and nobody starts another
    _serve(home, listening)

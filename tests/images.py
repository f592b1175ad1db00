"""The container image of the tests: OCRQ_TEST_IMAGE, or one made on the spot from the embedded server's binary.

Nothing is pulled: the image holds the binary and the shared libraries that `ldd` lists, about 7 MB.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ocrq import embedded

if TYPE_CHECKING:
    from docker import DockerClient

_SERVER = "/usr/local/bin/valkey-server"


@cache
def why_not() -> str:
    """Why no container can run here, "" when one can."""
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        return "no Docker daemon answers (no DOCKER_HOST, no /var/run/docker.sock)"
    try:
        client = _client()
    except Exception as error:  # the client raises its own, requests' and urllib3's
        return f"no Docker daemon answers ({type(error).__name__})"
    client.close()
    if os.environ.get("OCRQ_TEST_IMAGE") or os.uname().sysname == "Linux":
        return ""
    return "a Docker daemon answers, but OCRQ_TEST_IMAGE is not set (an image can be made on Linux only)"


@cache
def name() -> str:
    """The image to run, made on first use unless OCRQ_TEST_IMAGE names one; server options are its arguments."""
    if given := os.environ.get("OCRQ_TEST_IMAGE"):
        return given
    binary = embedded.binary()
    tag = hashlib.sha256(binary.read_bytes()).hexdigest()[:12]
    client = _client()
    try:
        if not client.images.list(f"ocrq-test:{tag}"):
            client.api.import_image_from_data(
                _root_file_system(binary),
                repository="ocrq-test",
                tag=tag,
                changes=[f'ENTRYPOINT ["{_SERVER}"]', "WORKDIR /data"],
            )
    finally:
        client.close()
    return f"ocrq-test:{tag}"


def _client() -> DockerClient:
    # Loaded here: it takes 0.3 s, and most test runs have no daemon to talk to.
    import docker

    client = docker.from_env(timeout=30)
    client.ping()
    return client


def _root_file_system(binary: Path) -> bytes:
    """A tar of the binary and its libraries, each where the loader looks for it."""
    listed = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        tar.add(binary, _SERVER)
        for library in re.findall(r"(/\S+) \(0x", listed):
            tar.add(library, library)
        for folder in ("data", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
    return buffer.getvalue()

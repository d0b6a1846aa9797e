"""A real MLflow server, as a process with a database and files of its own, that can be killed and comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

WITHIN_S = 600.0
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


class MlflowServer:
    """One that keeps all in a directory; `address` stays the same."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._directory}/mlflow.db"]
        command += ["--artifacts-destination", str(self._directory / "files")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **QUIET}, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + WITHIN_S
        while not self._answers():
            said = (self._directory / "log").read_text()[-3000:]
            assert self._process.poll() is None, said
            assert time.monotonic() < end, f"MLflow did not come up\n{said}"
            time.sleep(0.1)  # It says nothing when it is ready.

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def rows(width: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """(rows [count, width], labels [count]), always the same."""
    rng = np.random.default_rng(5)
    matrix = rng.gamma(2.0, 20.0, (count, width))
    return matrix, (matrix[:, 0] + rng.normal(0, 5, count) > 40).astype(int)

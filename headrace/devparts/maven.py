"""Jars of the real parts, fetched once by Maven into a cache that all runs share."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from headrace.devparts.lock import exclusive
from headrace.errors import ConfigurationError

Report = Callable[[str, float], None]
"""Told what is being done and the share that is done, 0 to 1; for progress bars."""

_JAVA = 17
_DOCKER = "or run the parts as containers: docker compose -f compose/compose.yaml up"
# Megabytes that Maven downloads when nothing is there yet: the part's own and about 4 of plugins.
_MEGABYTES = {"kafka": 47.0, "registry": 113.0}
_DOWNLOADED = re.compile(r"Downloaded from .* \(([\d.]+) (B|kB|MB)\b")
_UNIT = {"B": 1e-6, "kB": 1e-3, "MB": 1.0}


def silent(what: str, share: float) -> None:
    """The report that tells nobody."""


def cache() -> Path:
    """Where downloads are kept: `$HEADRACE_CACHE`, else `~/.cache/headrace`."""
    return Path(os.environ.get("HEADRACE_CACHE") or Path.home() / ".cache" / "headrace")


def require(program: str, package: str) -> str:
    """The path of a program that the embedded parts need.

    Raises:
        ConfigurationError: it is not on PATH; says which package brings it and how to do without.
    """
    if found := shutil.which(program):
        return found
    raise ConfigurationError(
        f"{program} is not on PATH. Install it (Debian, Ubuntu: sudo apt-get install {package}), {_DOCKER}"
    )


def java() -> str:
    """The path of the Java launcher, 17 or later.

    Raises:
        ConfigurationError: there is none, or it is older.
    """
    program = require("java", "openjdk-17-jre-headless")
    answer = java_version(program)
    version = re.search(r'version "(\d+)', answer)
    if version is None or int(version[1]) < _JAVA:
        found = answer.partition("\n")[0] or "nothing"
        raise ConfigurationError(
            f"{program} is not Java {_JAVA} or later (it says: {found}). Install it and put it first on PATH "
            f"(Debian, Ubuntu: sudo apt-get install openjdk-17-jre-headless), {_DOCKER}"
        )
    return program


@functools.cache
def java_version(program: str) -> str:
    """What a Java launcher says of itself."""
    return subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr


def fetch(part: str, report: Report = silent) -> Path:
    """The directory with the files of `poms/PART.xml`, downloaded by the first caller; others wait for it.

    Raises:
        ConfigurationError: Maven is missing, or could not fetch them; the message carries its errors.
    """
    pom = files("headrace.devparts").joinpath("poms", f"{part}.xml").read_text()
    target = cache() / f"{part}-{hashlib.sha256(pom.encode()).hexdigest()[:12]}"
    if target.exists():
        return target
    with exclusive(cache() / f"{part}.lock"):
        if not target.exists():
            _download(part, pom, target, report)
    return target


def _download(part: str, pom: str, target: Path, report: Report) -> None:
    maven = require("mvn", "maven")
    java()
    with tempfile.TemporaryDirectory(dir=cache(), prefix=f"{part}-") as scratch:
        draft = Path(scratch, "files")
        Path(scratch, "pom.xml").write_text(pom)
        argv = [maven, "-B", "-f", f"{scratch}/pom.xml", f"-Dout={draft}", "package"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
            errors = _follow(child, part, report)
        if child.returncode != 0:
            raise ConfigurationError(f"Maven could not fetch {part}:\n" + "\n".join(errors[:10]))
        draft.rename(target)  # in one step: a directory in the cache is always whole
    report(f"fetching {part}", 1.0)


def _follow(child: subprocess.Popen[str], part: str, report: Report) -> list[str]:
    """Report the progress that Maven prints; answers its error lines."""
    assert child.stdout is not None
    done, errors = 0.0, []
    for line in child.stdout:
        if match := _DOWNLOADED.search(line):
            done += float(match[1]) * _UNIT[match[2]]
            report(f"fetching {part}", min(done / _MEGABYTES[part], 0.99))
        elif line.startswith("[ERROR]"):
            errors.append(line.strip())
    return errors

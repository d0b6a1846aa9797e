"""What compose.yaml, the Dockerfile and the Prometheus files say, held against the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import requires
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from prometheus_client.parser import text_string_to_metric_families

from headrace.operations.local.supervisor import DRAINED, FINAL
from headrace.operations.services import SERVICES as KINDS_OF_SERVICES
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings, read_settings
from services.drift import metrics as drift
from services.kpi import metrics as kpi
from services.notify import metrics as notify
from services.release import metrics as release
from services.retrain import metrics as retrain
from services.score import metrics as score
from services.score.settings import ScoreSettings
from services.shadow import metrics as shadow
from tests.compose.system import COMPOSE, PORT, ROOT, SERVICES, services

KINDS: dict[str, type[Settings]] = {
    **{service: kind.settings for service, kind in KINDS_OF_SERVICES.items()},
    "topics": Settings,
    "cli": ScoreSettings,
}
OF_THE_CLI = {"HEADRACE_HOME"}
"""Read by the command line itself; not a setting of services."""
JOBS = {"schemas", "topics", "cli"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file against the Compose specification's own schema."""
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_compose_follows_its_specification(tmp_path: Path) -> None:
    """compose.yaml is valid by the Compose specification's schema, and a wrong file is not."""
    assert (found := validate(COMPOSE)).returncode == 0, found.stdout
    document = yaml.safe_load(COMPOSE.read_text())
    document["services"]["score"]["restarts"] = "on-failure"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(document))
    assert "restarts" in validate(tmp_path / "wrong.yaml").stdout


@pytest.mark.parametrize("service", sorted(SERVICES) + sorted(JOBS))
def test_every_variable_is_a_setting(service: str) -> None:
    """Each variable of a container names a setting that its process has, with a value that it takes."""
    given: dict[str, str] = services()[service].get("environment", {})
    if service == "schemas":  # told by its command alone
        assert given == {}
        return
    kind = KINDS[service]
    names = {name for name in given if name not in OF_THE_CLI}
    assert {name.removeprefix("HEADRACE_").lower() for name in names} <= set(kind.model_fields)
    settings = read_settings(kind, **{name.removeprefix("HEADRACE_").lower(): given[name] for name in names})
    assert settings.pipeline == "card_fraud"
    assert (settings.host, settings.port) == ("0.0.0.0", int(PORT))


def test_variables_of_the_image_are_settings() -> None:
    """What the Dockerfile sets of HEADRACE_* exists."""
    named = set(re.findall(r"HEADRACE_(\w+)=", DOCKERFILE))
    assert named == {"CODE_VERSION"}
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_names_of_members_are_left_to_the_host() -> None:
    """No service fixes a member's name, so each replica has its own."""
    for service in SERVICES:
        assert "HEADRACE_MEMBER" not in services()[service]["environment"]


def test_every_container_says_how_it_is() -> None:
    """Whatever stays up has a health check, and who waits for health waits for somebody that has one."""
    found = services()
    for name, service in found.items():
        assert service["healthcheck"].get("disable", False) == (name in JOBS), name
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in JOBS else "service_healthy"
            assert how["condition"] == expected, f"{name} -> {other}"


@pytest.mark.parametrize("service", SERVICES)
def test_exit_codes_that_no_restart_mends(service: str) -> None:
    """A member that ends by settings, contracts or dead letters stays ended; all else is started again."""
    described = services()[service]
    entrypoint = described["entrypoint"]
    remapped = {int(code) for flag, code in pairwise(entrypoint) if flag == "-e"}
    assert remapped == set(FINAL) - {DRAINED}
    assert described["restart"] == "on-failure"


def test_drain_fits_into_the_grace_period() -> None:
    """A container is killed only after its process would have given up by itself."""
    for service in SERVICES:
        grace = int(services()[service]["stop_grace_period"].removesuffix("s"))
        assert grace > Settings.model_fields["drain_s"].default + 4


def test_containers_have_few_rights() -> None:
    """None may gain privileges; ours run as a numbered user on a file system that they cannot write."""
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        if service["image"].startswith("headrace:"):
            assert service["read_only"], name
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)


def test_volumes_are_declared() -> None:
    """Every named volume exists, and every file mounted from here too."""
    document = yaml.safe_load(COMPOSE.read_text())
    for name, service in document["services"].items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).is_file(), f"{name}: {source}"
            else:
                assert source in document["volumes"], f"{name}: {source}"


def test_dockerfile_copies_what_is_there() -> None:
    """All that the Dockerfile copies exists and passes .dockerignore; each extra has its requirement file."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert list(ROOT.glob(source)), source
            assert any(fnmatch(source, name) or source.startswith(f"{name}/") for name in allowed), source
    files = dict(re.findall(r"(cpu|gpu|train)\) file=(\S+) ;;", DOCKERFILE))
    assert set(files) == {"cpu", "gpu", "train"}
    for file in files.values():
        assert (ROOT / "requirements" / file).is_file()
    built = {service["build"]["args"]["EXTRA"] for service in services().values() if "build" in service}
    assert built <= set(files)


def test_build_tools_are_pinned() -> None:
    """The Dockerfile names all that hatchling asks for, and the developers' requirement file pins it."""
    names = re.search(r"\^\(([a-z|-]+)\)==", DOCKERFILE)
    assert names is not None
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE))
    assert set(names[1].split("|")) <= pinned
    asked = {requirement for requirement in map(Requirement, requires("hatchling") or []) if requirement.marker is None}
    assert set(names[1].split("|")) == {"hatchling"} | {requirement.name for requirement in asked}


def test_prometheus_scrapes_every_service() -> None:
    """There is a scrape job for each service, by its name and the port that compose gives it."""
    jobs = yaml.safe_load((ROOT / "compose/prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"] for job in jobs} == set(KINDS_OF_SERVICES)
    for job in jobs:
        (found,) = job["dns_sd_configs"]
        assert (found["names"], found["port"]) == ([job["job_name"]], int(PORT))
        assert services()[job["job_name"]]["environment"]["HEADRACE_PORT"] == PORT


def alerts() -> list[dict[str, Any]]:
    """The alert rules."""
    (group,) = yaml.safe_load((ROOT / "compose/alerts.yml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def test_alerts_ask_for_metrics_that_exist() -> None:
    """Every metric in an alert is one that services expose."""
    exposed: set[str] = set()
    for figures in (
        score.ScoreMetrics,
        shadow.ShadowMetrics,
        drift.DriftMetrics,
        release.ReleaseMetrics,
        retrain.RetrainMetrics,
        kpi.KpiMetrics,
        notify.NotifyMetrics,
    ):
        metrics = Metrics()
        figures(metrics.registry)
        families = text_string_to_metric_families(metrics.text().decode())
        exposed |= {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    for rule in alerts():
        named = set(re.findall(r"headrace_\w+", rule["expr"]))
        assert named <= exposed, rule["alert"]


def test_alerts_name_the_services_that_they_are_about() -> None:
    """Whoever serves somebody that waits is missed when it is down, and whoever keeps state when it saves none."""
    said = {rule["alert"]: set(re.findall(r'job=~"([^"]*)"', rule["expr"])) for rule in alerts()}
    light = [name for name, entry in KINDS_OF_SERVICES.items() if not entry.dark]
    stateful = [name for name, entry in KINDS_OF_SERVICES.items() if entry.state]
    assert said["HeadraceDown"] == {"|".join(light)}
    assert said["HeadraceCheckpointsTooOld"] == {"|".join(stateful)}


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool(arguments: tuple[str, ...]) -> None:
    """Prometheus' own tool takes the files, and each alert fires on what it is for alone."""
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("CI"), "promtool is not on PATH (Debian, Ubuntu: apt-get install prometheus)"
        pytest.skip("promtool is not on PATH (Debian, Ubuntu: apt-get install prometheus)")
    ran = subprocess.run([promtool, *arguments], cwd=ROOT / "compose", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_is_tested() -> None:
    """No alert escapes the test above."""
    cases = yaml.safe_load((ROOT / "compose/alerts_test.yml").read_text())["tests"]
    tried = {rule["alertname"] for case in cases for rule in case["alert_rule_test"] if rule["exp_alerts"]}
    assert tried == {rule["alert"] for rule in alerts()}

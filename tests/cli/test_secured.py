"""Every command and service on a cluster that asks for a password: it is given, and a wrong one is told soon."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from headrace.devparts.redis import Redis
from headrace.errors import ConfigurationError
from headrace.operations.local.fleet import ask
from headrace.operations.local.home import STATE
from headrace.operations.services import SERVICES
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.process.main import MISCONFIGURED
from tests.cli.secured import PASSWORD, Secured
from tests.cli.terminal import ROOT, Terminal
from tests.cli.test_publish import transactions
from tests.conftest import started
from tests.models.live import logistic, plan
from tests.project import Project

SOON_S = 60.0
"""Far beyond the seconds that it takes, and below what a broker that is away is waited for several times."""
WRONG = "wrong-hunter2"
OF_CARDS = [service for service in SERVICES if service != "intake"]
"""Services of the card pipeline, whose producers write its topic themselves."""
LOCK = "ünseen/@:%#?&=+"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker that all tests here share."""
    made = Secured(tmp_path_factory.mktemp("secured"))
    started(made.broker.start)
    yield made
    made.broker.stop()


@pytest.fixture
def project(secured: Secured, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """The card pipeline under a name of its own, laid out by the listener that asks nothing."""
    source = ROOT / "pipelines" / "card_fraud.yaml"
    made = Project(source, pipeline_name, tmp_path / "project", secured.broker.address, redis_server, partitions=2)
    yield made
    made.close()


def commands(project: Project, out: Path) -> list[list[object]]:
    """Every command that talks to Kafka."""
    return [
        ["topics", "plan", project.path],
        ["topics", "apply", project.path],
        ["publish", project.path, "in.parquet", "--map", "amount=tx_amount"],
        ["train", project.path, "--trees", "3"],
        ["plan", "show", project.path],
        ["plan", "set", project.path, "--champion", f"{project.name}@1", "--reason", "it was better"],
        ["predictions", project.path],
        ["why", "17", "--pipeline", project.path],
        ["scorecard", project.path],
        ["duel", project.path, "champion", "challenger"],
        ["export", project.path, "events", out / "events.parquet"],
        ["lag", project.path],
        ["features", "list", project.path],
        ["features", "show", project.path, "customer.nb_tx_1d"],
        ["features", "get", project.path, "3"],
        ["features", "stats", project.path],
        ["features", "skew", project.path],
        ["docs", project.path],
    ]


def test_a_cluster_that_asks_for_a_password_is_provisioned_and_used(
    secured: Secured, pipeline_name: str, redis_server: str, terminal: Terminal, tmp_path: Path
) -> None:
    """From topics to a member that drained, and its lag: HEADRACE_KAFKA holds for commands and services alike."""
    own = Terminal(terminal.directory, {**terminal.env, **secured.environment(), "HEADRACE_REDIS": redis_server})
    path = tmp_path / "pipelines" / f"{pipeline_name}.yaml"
    path.parent.mkdir()
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text()
    path.write_text(text.replace("pipeline: card_fraud", f"pipeline: {pipeline_name}"))
    assert own.run("schemas", "register", path)[0] == 0
    told = own.json("topics", "apply", path, "--replication", "1", "--partitions", "2")
    assert told["applied"]
    assert f"{pipeline_name}.events" in Admin(secured.broker.address).topics()
    transactions(tmp_path / "in.parquet", 500)
    assert own.json("publish", path, "in.parquet", "--map", "amount=tx_amount")["sent"] == 500
    assert own.json("export", path, "events", "out.parquet")["records"] == 500
    assert own.json("run", "views", f"--pipeline={path}", "--until-idle=1s")["members"][0]["fate"]["code"] == 0
    assert {each["records"] for each in own.json("lag", path) if each["group"].endswith(".views.terminal")} == {0}


def test_a_wrong_password_is_told_soon_by_every_command(
    secured: Secured, project: Project, terminal: Terminal, tmp_path: Path
) -> None:
    """Exit code 2 with the broker's own words and the variable to mend; never the password itself."""
    transactions(tmp_path / "in.parquet", 10)
    wrong = {**terminal.env, **secured.environment(WRONG), "HEADRACE_MODELS": str(tmp_path / "models")}
    own = Terminal(terminal.directory, wrong)
    project.champion()
    for command in commands(project, tmp_path):
        begun = time.monotonic()
        code, out, errors = own.run(*command, timeout=SOON_S)
        told = f"{command} after {time.monotonic() - begun:.0f} s: {code}\n{out}\n{errors}"
        assert code == 2, told
        assert "does not let us in" in errors, told
        assert "HEADRACE_KAFKA" in errors, told
        assert "Traceback" not in errors, told
        assert WRONG not in out + errors, told


@pytest.mark.parametrize("service", OF_CARDS)
def test_a_wrong_password_is_told_soon_by_every_service(service: str, secured: Secured, project: Project) -> None:
    """The process ends with the code after which nobody starts it again."""
    kind = SERVICES[service]
    of = {"HEADRACE_VIEW": "terminal"} if service == "views" else {}
    env = project.environment(service, **secured.environment(WRONG), **of)
    command = [sys.executable, "-m", kind.module]
    ended = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SOON_S, check=False, encoding="utf-8"
    )
    assert ended.returncode == MISCONFIGURED, ended.stderr
    assert "does not let us in" in ended.stderr
    assert WRONG not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_certificate_that_nobody_signed_is_told(secured: Secured) -> None:
    """A client that does not know the broker's certificate says so, and which property says whom to trust."""
    properties = secured.properties()
    del properties["ssl.ca.location"]
    with pytest.raises(ConfigurationError, match=r"certificate.*ssl\.\*"):
        Admin(Connection(secured.address, properties)).topics()


@pytest.mark.faults
def test_credentials_that_are_withdrawn_end_a_client_at_work(secured: Secured, project: Project) -> None:
    """A broker that comes back with another password is not waited for, as one that is away would be."""
    topic = project.contracts.channel("events").name
    consumer = Consumer(Connection(secured.address, secured.properties()), partition_eof=True)
    consumer.assign([TopicPartition(topic, 0, 0)])
    while not consumer.poll(1, 1.0):
        pass  # until it has told the end of the partition: it reads
    secured.broker.stop()
    secured.know("another")
    secured.broker.start()
    try:
        with pytest.raises(ConfigurationError, match="does not let us in"):
            _poll_until(consumer, time.monotonic() + 2 * SOON_S)
    finally:
        consumer.close()
        secured.broker.stop()
        secured.know(PASSWORD)
        secured.broker.start()


def _poll_until(consumer: Consumer, end: float) -> None:
    while time.monotonic() < end:
        consumer.poll(1, 1.0)


def test_a_broker_with_one_node_cannot_hold_three_replicas(
    secured: Secured, pipeline_name: str, terminal: Terminal, tmp_path: Path
) -> None:
    """What `apply` cannot do is refused before anything is made, with the option that mends it."""
    path = tmp_path / "mine.yaml"
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text()
    path.write_text(text.replace("pipeline: card_fraud", f"pipeline: {pipeline_name}"))
    own = Terminal(terminal.directory, {**terminal.env, "HEADRACE_BOOTSTRAP": secured.broker.address})
    for word in ("plan", "apply"):
        code, out, _ = own.run("topics", word, path, "--json")
        assert code == 1
        changes = json.loads(out)["changes"]
        assert {change["remedy"] for change in changes if change["refused"]} == {
            "pass --replication 1, or start more brokers"
        }
        assert not json.loads(out)["applied"]
    assert not [name for name in Admin(secured.broker.address).topics() if name.startswith(pipeline_name)]


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    """URL of a store that asks for a password, in which every letter that means something in a URL occurs."""
    server = Redis(tmp_path / "locked", with_parent=True)
    started(server.start)
    with redis.Redis.from_url(server.address) as client:
        client.config_set("requirepass", LOCK)
    yield server.address.replace("redis://", f"redis://:{quote(LOCK, safe='')}@")
    server.stop()


def test_no_secret_is_seen_where_all_is_right(
    secured: Secured, project: Project, locked: str, registry: str, terminal: Terminal, tmp_path: Path
) -> None:
    """All services at work with passwords for everything: none on a command line, a page or a file, or told."""
    passwords = {
        **secured.environment(),
        "HEADRACE_REDIS": locked,
        "HEADRACE_REGISTRY": registry.replace("http://", f"http://user:{quote(LOCK, safe='')}@"),
        "HEADRACE_MODELS": str(project.directory / "models"),
    }
    properties = {**secured.properties(), "ssl.key.password": f"key-{LOCK}"}
    own = Terminal(terminal.directory, {**terminal.env, **passwords, "HEADRACE_KAFKA": json.dumps(properties)})
    assert own.run("schemas", "register", project.path)[0] == 0
    plan(project, 1, (logistic("1"), "champion", {}), (logistic("2"), "challenger", {}))
    seen = []
    with own.start("run", *OF_CARDS, f"--pipeline={project.path}", "--logs=logs", "--json") as running:
        state = tmp_path / "logs" / STATE
        members = _await(lambda: json.loads(state.read_text()) if state.exists() else [], running)
        for member in members:
            _await(lambda: ask(member["port"], "/readyz")[0], running)  # noqa: B023 - called at once
        for member in members:
            for path in ("/metrics", "/readyz", "/livez", "/"):
                seen.append(ask(member["port"], path)[1])
            seen.append(Path(f"/proc/{member['pid']}/cmdline").read_text())
        seen.append(Path(f"/proc/{running.pid}/cmdline").read_text())
        running.terminate()
        seen += running.communicate(timeout=90)
    for command in (["status", "--json"], ["lag", project.path, "--json"], ["topics", "plan", project.path, "--json"]):
        seen += own.run(*command)[1:]
    seen += [each.read_bytes().decode(errors="replace") for each in tmp_path.rglob("*") if _written_by_us(each)]
    assert len(seen) > 30
    _assert_clean("\n".join(seen))


def _await(found: Callable[[], Any], running: subprocess.Popen[str]) -> Any:
    end = time.monotonic() + 90
    while not (what := found()):
        assert time.monotonic() < end
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)  # Another process's doing: there is no event to wait for.
    return what


def _written_by_us(path: Path) -> bool:
    """A server's own files are its own matter."""
    return path.is_file() and "locked" not in path.parts


def _assert_clean(text: str) -> None:
    for secret in (PASSWORD, WRONG, LOCK, quote(LOCK, safe=""), quote(PASSWORD, safe=""), "ünseen"):
        at = text.find(secret)
        assert at < 0, text[max(at - 300, 0) : at + 100]


@pytest.mark.parametrize("service", ["views", "enrich"])
def test_a_wrong_password_of_the_store_is_told_and_not_repeated(service: str, project: Project, locked: str) -> None:
    """It ends with 2, and names the variable."""
    kind = SERVICES[service]
    wrong = locked.replace(quote(LOCK, safe=""), quote(f"{LOCK}{WRONG}", safe=""))
    env = project.environment(service, HEADRACE_REDIS=wrong, HEADRACE_VIEW="terminal", HEADRACE_PATIENCE_S="2")
    command = [sys.executable, "-m", kind.module]
    ended = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SOON_S, check=False, encoding="utf-8"
    )
    _assert_clean(ended.stdout + ended.stderr)
    assert ended.returncode == MISCONFIGURED, ended.stderr
    assert "HEADRACE_REDIS" in ended.stderr

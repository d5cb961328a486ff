"""`python -m offline dev`: everything on known ports, the learner's own settings, a restart on every change."""

import json
import shlex
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx

from offline.processes import free_port
from tests.e2e.programs import PATIENCE_SECONDS, copy_of_the_project, left_behind, start, up_to

PARTS = ("engine     http", "shelf      http")


def ports() -> list[str]:
    return [word for name in ("app", "engine", "postgres", "shelf") for word in (f"--{name}-port", str(free_port()))]


def post(line: str) -> None:
    """Do what the printed curl command does."""
    _, url, _, body = line.split(maxsplit=3)
    httpx.post(url, json=json.loads(body.strip("'")), trust_env=False).raise_for_status()


def send(engine: str, name: str) -> None:
    event = {"name": name, "data": {"name": "Ada"}}
    httpx.post(f"{engine}/e/dev", json=event, trust_env=False).raise_for_status()


def runs(engine: str) -> list[dict[str, Any]]:
    query = "{ runs(first: 9, filter: {}) { edges { node { status trace { childrenSpans { name status } } } } } }"
    answer = httpx.post(f"{engine}/v0/gql", json={"query": query}, trust_env=False).json()
    return [edge["node"] for edge in answer["data"]["runs"]["edges"]]


def wait_for(text: str, engine: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in json.dumps(runs(engine)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert text in json.dumps(runs(engine))


def test_the_printed_commands_lead_to_a_refund_and_a_change_to_a_restart(temporary: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    dev = start(temporary, "dev", *ports(), "--no-shelf", project=project)
    guide = up_to("Ctrl-C stops", dev)
    assert "Ctrl-C stops" in guide, guide
    assert "shelf      not served" in guide
    assert "shelf  |" not in guide
    engine = next(line.split()[1] for line in guide.splitlines() if line.startswith("engine  "))
    assert "model      rule-based" in guide
    (exports,) = [shlex.split(line)[1:] for line in guide.splitlines() if line.startswith("  export ")]
    assert [word.partition("=")[0] for word in exports] == ["DATABASE_URL", "INNGEST_DEV", "MODEL_PROVIDER", "MODEL"]
    first, second = ["curl" + part.split("\n\n")[0].replace("\n", "") for part in guide.split("curl")[1:]]
    post(first)
    wait_for("await-refund-approval", engine)
    post(second)
    wait_for('"status": "COMPLETED", "trace"', engine)
    (project / "worker.py").write_text((project / "worker.py").read_text() + "\n# changed\n")
    assert "A file has changed" in up_to("PUT /api/inngest", dev)
    dev.send_signal(signal.SIGINT)
    rest, _ = dev.communicate()
    assert rest.endswith("Stopped.\n")
    assert dev.returncode == 0
    assert left_behind(temporary) == []
    assert (project / ".offline").is_dir()


def test_a_changed_concept_is_served_anew_and_a_broken_one_waits_for_its_repair(
    temporary: Path, tmp_path: Path
) -> None:
    project = copy_of_the_project(tmp_path)
    dev = start(temporary, "dev", *ports(), project=project)
    guide = up_to("Ctrl-C stops", dev)
    engine, shelf = (next(line.split()[1] for line in guide.splitlines() if line.startswith(name)) for name in PARTS)
    greet = project / "concepts" / "greet.py"
    text = greet.read_text()
    greet.write_text(text + "\nnonsense nonsense\n")
    up_to("The shelf has ended", dev)
    greet.write_text(text.replace('"demo/greet"', '"demo/hello"'))
    assert "shelf  |" in up_to("shelf  | INFO:     127.0.0.1", dev)
    send(engine, "demo/hello")
    wait_for('"name": "greeting", "status": "COMPLETED"', engine)
    assert httpx.get(f"{shelf}/realtime", trust_env=False).status_code == 200
    dev.send_signal(signal.SIGINT)
    dev.communicate()
    assert left_behind(temporary) == []


def test_a_taken_port_is_named_with_the_way_out(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = start(temporary, "dev", *ports(), "--engine-port", str(port))
        printed, _ = dev.communicate()
    assert dev.returncode == 1
    assert printed == f"Port {port} is taken. Stop what listens there, or choose another one: --engine-port N\n"

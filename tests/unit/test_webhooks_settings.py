"""What the doors are configured with: the app refuses to start on what cannot work. Runs without any account."""

import re
from pathlib import Path

import pytest

from tests.providers import CRM_SECRET, SETTINGS
from web.webhooks import routes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        dict.fromkeys(SETTINGS, ""),
        dict.fromkeys(SETTINGS, " "),
        SETTINGS,
        {"EMAIL_WEBHOOK_AUTH": "user:pass:word"},
        {"GENERIC_WEBHOOKS": f"crm={CRM_SECRET}\n  erp-2={CRM_SECRET} erp-2=whsec_{'A' * 86}=="},
    ],
)
def test_settings_that_work_are_accepted(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    routes.check_settings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EMAIL_WEBHOOK_AUTH", "s3cr3t", "expected user:password"),
        ("EMAIL_WEBHOOK_AUTH", "s3cr3t:", "expected user:password"),
        ("EMAIL_WEBHOOK_AUTH", ":s3cr3t", "expected user:password"),
        ("EMAIL_WEBHOOK_AUTH", "user:s3cr3t\x07", "expected user:password"),
        ("STRIPE_WEBHOOK_SECRET", "sk_live_s3cr3t", "begins with whsec_"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_s3cr3t12 sk_live_s3cr3t", "begins with whsec_"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_", "begins with whsec_"),
        ("GENERIC_WEBHOOKS", "s3cr3t", "expected name=whsec_..."),
        ("GENERIC_WEBHOOKS", f"={CRM_SECRET}", "expected name=whsec_..."),
        ("GENERIC_WEBHOOKS", f"CRM={CRM_SECRET}", "expected name=whsec_..."),
        ("GENERIC_WEBHOOKS", f"a/b={CRM_SECRET}", "expected name=whsec_..."),
        ("GENERIC_WEBHOOKS", f"{'a' * 33}={CRM_SECRET}", "expected name=whsec_..."),
        ("GENERIC_WEBHOOKS", "crm=s3cr3t", "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=", "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=whsec_s3cr3t", "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=whsec_" + "A" * 31, "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=whsec_" + "A" * 33, "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=whsec_" + "-" * 32, "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=" + "A" * 32, "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", "crm=whpk_" + "A" * 44, "crm needs whsec_"),
        ("GENERIC_WEBHOOKS", f"crm={CRM_SECRET} refund={CRM_SECRET}", "the app itself sends events named refund/..."),
    ],
)
def test_settings_that_cannot_work_are_refused_in_a_sentence_without_the_secret(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        routes.check_settings()
    assert str(refused.value).startswith(f"{name} is not usable: ")
    assert "s3cr3t" not in str(refused.value)
    assert "\n" not in str(refused.value)


def listened_to() -> set[str]:
    """What stands before the slash in every event that a function of the app or of the shelf waits for."""
    sources = [*ROOT.glob("*.py"), *ROOT.glob("web/**/*.py"), *ROOT.glob("steps/*.py"), *ROOT.glob("concepts/*.py")]
    return {name for path in sources for name in re.findall(r'"([a-z][a-z0-9_-]*)/[a-z][a-z0-9_.]+"', path.read_text())}


def test_no_service_can_speak_for_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new function that listens to events of its own adds their name to those that are refused."""
    ours = {"customer", "refund", "inngest", "stripe", "demo"}
    assert ours - {"demo"} <= listened_to()
    no_events = {"application", "text", "image"}
    for name in (ours | listened_to()) - no_events:
        monkeypatch.setenv("GENERIC_WEBHOOKS", f"{name}={CRM_SECRET}")
        with pytest.raises(ValueError, match="not usable"):
            routes.check_settings()

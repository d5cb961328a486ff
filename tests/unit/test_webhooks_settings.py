"""What the webhooks are configured with: the app refuses to start on what cannot work. Runs without any account."""

import re

import pytest

import settings
from tests.providers import SETTINGS


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "given",
    [{}, dict.fromkeys(SETTINGS, ""), dict.fromkeys(SETTINGS, " "), SETTINGS, {"EMAIL_WEBHOOK_AUTH": "user:pass:word"}],
)
def test_settings_that_work_are_accepted(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings.check()


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
    ],
)
def test_settings_that_cannot_work_are_refused_in_a_sentence_without_the_secret(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=re.escape(said)) as refused:
        settings.check()
    assert str(refused.value).startswith(f"{name} is not usable: ")
    assert "s3cr3t" not in str(refused.value)
    assert "\n" not in str(refused.value)

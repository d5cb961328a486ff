"""Whoever reads the engine's store can read what the steps returned, unless there is a key."""

from typing import Any

from inngest_encryption import EncryptionMiddleware

import settings


def encryption() -> list[Any]:
    """The client's middleware: with ENCRYPTION_KEY it encrypts what steps return, emails and saved states among it."""
    key = settings.encryption_key()
    return [EncryptionMiddleware.factory(key)] if key else []

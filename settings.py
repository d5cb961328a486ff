"""What the environment says, read when the app starts: a setting that means nothing ends the program in a sentence."""

import os
from collections.abc import Callable


def is_dev() -> bool:
    """Whether INNGEST_DEV asks for a dev server. Raises SystemExit for what it cannot mean, and for missing keys."""
    dev = os.environ.get("INNGEST_DEV", "").strip().lower()
    if dev in {"1", "true"} or dev.startswith(("http://", "https://")):
        return True
    if dev not in {"", "0", "false"}:
        raise SystemExit(f"INNGEST_DEV is {dev!r}: expected the dev server's URL, 1, or nothing for production.")
    missing = [name for name in ("INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY") if not os.environ.get(name)]
    if missing:
        raise SystemExit(
            f"Not set: {', '.join(missing)}. Production needs them; for a dev server set INNGEST_DEV to its URL."
        )
    return False


def whole_number(name: str, default: int) -> int:
    """A whole number above 0 from the environment. Raises SystemExit for anything else."""
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise SystemExit(f"{name} is {value!r}: expected a whole number from 1 up.")
    return int(value)


def check(*others: Callable[[], object]) -> None:
    """Raise SystemExit for a setting that is read only when it is needed; `others` raise an error for theirs."""
    for name, default in (("DB_POOL_MAX", 10), ("REFUND_LIMIT_CENTS", 50_000)):
        whole_number(name, default)
    try:
        for other in others:
            other()
    except (RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from None

"""The names and figures of the course that every build shares. Whatever is not here, a build may name as it likes."""

import re
from typing import Any

GREET = "demo/greet"
EMAIL = "customer/email.received"
HEALTH_CHECK = "customer/health_check.requested"
DECIDED = "refund/approval.decided"
EVERY_MORNING = "0 9 * * *"
# D1's function is found by this name when no event wakes it yet and there are others like it.
EMAIL_HANDLER = "handle-customer-email"
CUSTOMERS = 5
TIERS_WITH_HEALTH_CHECK = {"pro", "enterprise"}
SLEEP_SECONDS = 15
APPROVAL_HOURS = 4
# D4's limits: steps at once, steps of one customer at once, emails begun per minute.
LIMITS = (10, 2, 30)

# The course names two of its audit actions, refund_issued and refund_blocked; a build may have other words for them.
BLOCKED = re.compile(r"block|reject|declin|deni|deny|refus|expire|time|cancel|fail|not_")
WAITING = re.compile(r"request|pending|await|pause|ask|need")
PAID = re.compile(r"issu|paid|pay|refund|approv|process|complet|execut|sent")


def blocks(action: str) -> bool:
    """Whether an audit action says that a refund was not made."""
    return "refund" in action.lower() and bool(BLOCKED.search(action.lower()))


def pays(action: str) -> bool:
    """Whether an audit action says that a refund was made."""
    words = action.lower()
    if "refund" not in words or blocks(action) or WAITING.search(words):
        return False
    return bool(PAID.search(words.replace("refund", "", 1))) or words in {"refund", "refunded"}


def email(customer_id: Any, text: str) -> dict[str, Any]:
    """The data of an email's event. The course's prompts leave the text's field unnamed, so each likely name has it."""
    return {"customer_id": customer_id, "email_text": text, "body": text, "text": text, "subject": "A question"}

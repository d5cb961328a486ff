"""The names and figures that a build must share with the gates. Everything else may be named otherwise."""

GREET = "demo/greet"
EMAIL = "customer/email.received"
HEALTH_CHECK = "customer/health_check.requested"
DECIDED = "refund/approval.decided"
EVERY_MORNING = "0 9 * * *"
# D1's function is found by this name when no event wakes it yet and there are others like it.
EMAIL_HANDLER = "handle-customer-email"
ACTIONS = ["message_received", "message_sent", "refund_issued", "refund_blocked", "health_check"]
RUN_FAILED = "run_failed"  # This action is beyond the course.
CUSTOMERS = {
    "cust_001": "enterprise",
    "cust_002": "pro",
    "cust_003": "pro",
    "cust_004": "standard",
    "cust_005": "standard",
}
TIERS_WITH_HEALTH_CHECK = {"pro", "enterprise"}
APPROVAL_HOURS = 4
PER_CUSTOMER_AT_ONCE = 2

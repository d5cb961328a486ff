"""What a learner's build and the gates have in common. Whatever is not named here, the learner may name otherwise."""

GREET = "demo/greet"
EMAIL = "customer/email.received"
HEALTH_CHECK = "customer/health_check.requested"
DECIDED = "refund/approval.decided"
EVERY_MORNING = "0 9 * * *"
ACTIONS = {"message_received", "message_sent", "refund_issued", "refund_blocked", "health_check", "run_failed"}
CUSTOMERS = {
    "cust_001": "enterprise", "cust_002": "pro", "cust_003": "pro", "cust_004": "standard", "cust_005": "standard",
}  # fmt: skip
TIERS_WITH_HEALTH_CHECK = {"pro", "enterprise"}
WAITS_FOR_PEOPLE_HOURS = 4
PER_CUSTOMER_AT_ONCE = 2

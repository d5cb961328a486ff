"""The shelf's web app, with every function of the shelf in one list.

    uvicorn concepts.app:app --port 8001 --timeout-keep-alive 300

`connect.py` is not in the list, because its function belongs to an app of its own, which no engine calls over HTTP.
"""

from typing import Any

import fastapi
import inngest
import inngest.fast_api

from concepts import (
    ai_calls,
    ai_gateway,
    batching,
    chaining,
    cron,
    dead_letters,
    drip,
    events,
    fan_out,
    flow_control,
    follow_up,
    greet,
    human_gate,
    idempotency,
    memoization,
    middleware,
    parallel,
    priority,
    private_texts,
    realtime,
    recovery,
    retries,
    shared_limits,
    sleep_and_wait,
    steps,
    surplus,
    triggers,
    two_waits,
    webhooks,
)
from concepts.shelf import client

# A function that is not in this list never runs: the engine does not know it.
functions: list[inngest.Function[Any]] = [
    # The fifteen concepts, in the course's order.
    events.email_analytics,
    cron.daily_health_check,
    cron.monday_report,
    cron.daily_report,
    cron.shop_in_paris,
    webhooks.on_refund_failed,
    webhooks.misspelt_wrong,
    idempotency.issue_refund,
    idempotency.issue_refund_wrong,
    idempotency.apologize,
    fan_out.notify_support,
    fan_out.update_risk_score,
    fan_out.post_to_slack,
    fan_out.fan_out_per_customer_events,
    fan_out.customer_health_check,
    fan_out.investigate,
    fan_out.ask_and_wait,
    fan_out.pass_on,
    steps.handle_email,
    steps.handle_email_in_one_piece,
    memoization.fetch_outside_a_step,
    memoization.fetch_inside_a_step,
    memoization.one_name_for_all,
    memoization.a_name_for_each,
    sleep_and_wait.welcome_series,
    sleep_and_wait.refund_with_approval,
    sleep_and_wait.investigate,
    retries.charge_customer,
    retries.charge_and_catch,
    retries.brief,
    retries.call_external_api,
    ai_calls.summarize_thread,
    ai_calls.step_by_step,
    flow_control.handle_email,
    flow_control.handle_email_wrong,
    priority.answer_by_tier,
    priority.answer_by_tier_wrong,
    priority.answer_in_fair_shares,
    batching.batch_embed_resolved_tickets,
    batching.embed_one_ticket_wrong,
    recovery.order,
    recovery.reminder,
    recovery.offer,
    human_gate.refund_with_gate,
    human_gate.ask_first_wrong,
    # The patterns beside them.
    greet.greet_customer,
    chaining.process_new_lead,
    chaining.choose_in_passing,
    follow_up.initial,
    follow_up.initial_wrong,
    follow_up.await_reply,
    follow_up.remind,
    triggers.handle_order_event,
    drip.drip_campaign,
    two_waits.refund_with_two_signatures,
    parallel.history,
    parallel.gathered,
    parallel.race,
    surplus.announce_once_a_minute,
    surplus.index_after_quiet,
    surplus.import_unless_running,
    surplus.export_the_newest,
    shared_limits.process_order,
    shared_limits.handle_user_action,
    shared_limits.send_notification,
    shared_limits.ask_for_a_summary,
    shared_limits.ask_for_a_translation,
    private_texts.text_wrong,
    private_texts.text_encrypted,
    private_texts.with_references,
    middleware.answer,
    middleware.by_hand,
    dead_letters.charge_or_fail,
    dead_letters.dead_letter,
    ai_gateway.through_the_engine,
    realtime.answer,
    realtime.told_between_steps,
]

app = fastapi.FastAPI(title="concepts", docs_url=None, redoc_url=None)
inngest.fast_api.serve(app, client, functions)
app.include_router(webhooks.router)
app.include_router(chaining.router)
app.include_router(realtime.router)

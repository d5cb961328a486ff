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
    greet,
    human_gate,
    idempotency,
    memoization,
    middleware,
    parallel,
    priority,
    realtime,
    recovery,
    retries,
    sleep_and_wait,
    steps,
    triggers,
    webhooks,
)
from concepts.shelf import client

# A function that is not in this list never runs: the engine does not know it.
functions: list[inngest.Function[Any]] = [
    # The fifteen concepts, in the course's order.
    events.answer_message,
    events.announce_message,
    cron.weekly_report,
    cron.daily_digest,
    cron.shop_in_paris,
    webhooks.answer_ticket,
    webhooks.announce_closed,
    webhooks.escalate_ticket_wrong,
    idempotency.pay_refund,
    idempotency.pay_refund_wrong,
    idempotency.apologize,
    fan_out.refund_order,
    fan_out.restock,
    fan_out.confirm,
    fan_out.send_letter,
    fan_out.send_copy,
    fan_out.investigate,
    fan_out.ask_and_wait,
    fan_out.pass_on,
    steps.answer_in_five_steps,
    steps.answer_in_one_piece,
    memoization.between_steps,
    memoization.inside_a_step,
    memoization.one_name_for_all,
    memoization.a_name_for_each,
    sleep_and_wait.trial_series,
    sleep_and_wait.refund_within_a_day,
    sleep_and_wait.refund_with_two_signatures,
    sleep_and_wait.investigate,
    retries.brief,
    retries.answer_later,
    retries.charge_and_catch,
    retries.charge_and_tell,
    ai_calls.in_one_step,
    ai_calls.step_by_step,
    ai_calls.text_wrong,
    ai_calls.text_encrypted,
    ai_calls.with_references,
    flow_control.answer_ten_at_once,
    flow_control.answer_thirty_a_minute,
    flow_control.announce_once_a_minute,
    flow_control.index_after_quiet,
    flow_control.import_unless_running,
    flow_control.export_the_newest,
    priority.answer_by_tier,
    priority.answer_in_fair_shares,
    batching.store_openings_in_bulk,
    batching.store_openings_one_by_one_wrong,
    recovery.order,
    recovery.reminder,
    recovery.offer,
    human_gate.gate_refund,
    human_gate.ask_first_wrong,
    # The patterns beside them.
    greet.greet_customer,
    chaining.follow_a_lead,
    chaining.judge_in_passing,
    triggers.refresh_profile,
    drip.campaign,
    parallel.history,
    parallel.gathered,
    parallel.race,
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
app.include_router(realtime.router)

-- D5: the refund ledger. A row is the truth about one requested refund; events are only wake-ups.
-- status:   pending -> approved | rejected | expired -> issued | blocked
-- decision: what was decided, kept when the row moves on to issued or blocked.

create table refunds (
    id             bigint generated always as identity primary key,
    request_id     text not null,           -- the id of the event that brought the email
    run_id         text not null,
    call_id        text not null,           -- the model's tool call
    customer_id    text not null references customers (id),
    order_id       text not null,
    amount_cents   bigint not null check (amount_cents > 0),
    reason         text not null,
    digest         text not null,           -- of customer, order, amount and reason, as the approver saw them
    status         text not null default 'pending'
        check (status in ('pending', 'approved', 'rejected', 'expired', 'issued', 'blocked')),
    requested_at   timestamptz not null default now(),
    expires_at     timestamptz not null,
    decision       text check (decision in ('approved', 'rejected', 'expired')),
    approved_cents bigint check (approved_cents between 1 and amount_cents),
    decided_by     text,
    decided_at     timestamptz,
    decision_note  text,
    decision_key   text unique,             -- the same decision delivered twice is recorded once
    settled_at     timestamptz,             -- issued or blocked
    outcome        text,                    -- why it was blocked
    unique (run_id, call_id),
    check ((status in ('approved', 'rejected', 'expired')) <= (decision is not distinct from status)),
    check ((status = 'pending') <= (decision is null)),
    check ((decision is null) = (decided_at is null) and (decision is null) = (decided_by is null)),
    check ((decision is not distinct from 'approved') = (approved_cents is not null)),
    check ((status in ('issued', 'blocked')) = (settled_at is not null)),
    -- No yes, no money; and no money to one order twice.
    check ((status = 'issued') <= (decision is not distinct from 'approved'))
);

-- A1001 and A-1001 are one order: people leave separators out.
create unique index refunds_issued_once_per_order on refunds (customer_id, replace(order_id, '-', ''))
    where status = 'issued';
create index refunds_request on refunds (request_id);
create index refunds_open on refunds (customer_id, id) where status = 'pending';
create index refunds_unsettled on refunds (decided_at) where settled_at is null and decision is not null;

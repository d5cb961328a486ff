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
    payment_started_at timestamptz,         -- from here on the provider may have paid
    settled_at     timestamptz,             -- issued or blocked
    outcome        text,                    -- the provider's reference, or why it was blocked
    unique (run_id, call_id),
    check ((status in ('approved', 'rejected', 'expired')) <= (decision is not distinct from status)),
    check ((status = 'pending') <= (decision is null)),
    check ((decision is null) = (decided_at is null) and (decision is null) = (decided_by is null)),
    check ((decision is not distinct from 'approved') = (approved_cents is not null)),
    check ((status in ('issued', 'blocked')) = (settled_at is not null)),
    check ((settled_at is null) = (outcome is null)),
    check (payment_started_at is null or decision is not distinct from 'approved'),
    -- No yes, no money.
    check ((status = 'issued') <= (decision is not distinct from 'approved' and payment_started_at is not null))
);

-- At most one payment per order, for ever: the place is taken before the provider is asked, and given back only by a
-- provider that is certain it did not pay. A1001 and A-1001 are one order: people leave separators out.
create unique index refunds_one_payment_per_order on refunds (customer_id, replace(order_id, '-', ''))
    where payment_started_at is not null and status <> 'blocked';
create index refunds_request on refunds (request_id);
create index refunds_open on refunds (customer_id, id) where status = 'pending';
create index refunds_unsettled on refunds (decided_at) where settled_at is null and decision is not null;

-- Every change of a refund, and every decision that was refused: who, when, why. Written by triggers and by refusals.
create table refund_history (
    id        bigint generated always as identity primary key,
    refund_id bigint,                       -- null: a decision on a refund that does not exist
    event     text not null,
    actor     text not null,
    why       text not null,
    at        timestamptz not null default now()
);
create index refund_history_refund on refund_history (refund_id, id);

-- The rules of a refund's life, for every program and person that can reach the table.
create function refunds_guard() returns trigger language plpgsql as $$
begin
    if tg_op in ('DELETE', 'TRUNCATE') then
        raise check_violation using message = 'a refund is never deleted';
    elsif tg_op = 'INSERT' then
        if new.status <> 'pending' then
            raise check_violation using message = 'a refund begins as pending';
        end if;
    elsif old.status in ('issued', 'blocked') then
        raise check_violation using message = format('refund %s is %s, which is final', old.id, old.status);
    elsif (new.id, new.request_id, new.run_id, new.call_id, new.customer_id, new.order_id, new.amount_cents, new.reason,
           new.digest, new.requested_at, new.expires_at)
          is distinct from
          (old.id, old.request_id, old.run_id, old.call_id, old.customer_id, old.order_id, old.amount_cents, old.reason,
           old.digest, old.requested_at, old.expires_at) then
        raise check_violation using message = 'what was asked for cannot be changed';
    elsif old.decision is not null
          and (new.decision, new.approved_cents, new.decided_by, new.decided_at, new.decision_note, new.decision_key)
              is distinct from
              (old.decision, old.approved_cents, old.decided_by, old.decided_at, old.decision_note, old.decision_key) then
        raise check_violation using message = 'a decision is final';
    elsif new.decision is distinct from old.decision and new.decision is distinct from new.status then
        raise check_violation using message = 'a decision is made by a step of the refund''s life';
    elsif new.status <> old.status
          and (old.status, new.status) not in (
              ('pending', 'approved'), ('pending', 'rejected'), ('pending', 'expired'), ('pending', 'blocked'),
              ('approved', 'issued'), ('approved', 'blocked'), ('rejected', 'blocked'), ('expired', 'blocked')) then
        raise check_violation using message = format('a refund cannot go from %s to %s', old.status, new.status);
    elsif new.status in ('approved', 'rejected') and old.status = 'pending' and now() >= old.expires_at then
        raise check_violation using message = 'the time for a decision is up';
    elsif new.status = 'issued' and old.payment_started_at is null then
        raise check_violation using message = 'no payment was begun';
    elsif new.payment_started_at is distinct from old.payment_started_at
          and (old.payment_started_at is not null or old.status <> 'approved' or new.status <> 'approved') then
        raise check_violation using message = 'a payment begins once, on an approved refund';
    elsif new.status = old.status and new.payment_started_at is not distinct from old.payment_started_at
          and new is distinct from old then
        raise check_violation using message = 'nothing changes between the steps of a refund''s life';
    end if;
    return new;
end $$;
create trigger refunds_guard before insert or update or delete on refunds
    for each row execute function refunds_guard();
create trigger refunds_are_never_emptied before truncate on refunds
    for each statement execute function refunds_guard();

create function refunds_remember() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into refund_history (refund_id, event, actor, why)
        values (new.id, 'pending', 'run ' || new.run_id, new.reason);
    elsif new.status in ('approved', 'rejected', 'expired') and new.status <> old.status then
        insert into refund_history (refund_id, event, actor, why)
        values (new.id, new.status, new.decided_by,
                case new.status when 'approved' then format('%s of %s cents: ', new.approved_cents, new.amount_cents)
                                else '' end || coalesce(nullif(new.decision_note, ''), 'no reason given'));
    elsif new.status <> old.status then
        insert into refund_history (refund_id, event, actor, why)
        values (new.id, new.status, 'run ' || new.run_id, coalesce(new.outcome, ''));
    elsif new.payment_started_at is distinct from old.payment_started_at then
        insert into refund_history (refund_id, event, actor, why)
        values (new.id, 'payment begun', 'run ' || new.run_id, 'approved by ' || new.decided_by);
    end if;
    return null;
end $$;
create trigger refunds_remember after insert or update on refunds
    for each row execute function refunds_remember();

create function refund_history_guard() returns trigger language plpgsql as $$
begin
    raise check_violation using message = 'the history of refunds is only added to';
end $$;
create trigger refund_history_guard before update or delete on refund_history
    for each row execute function refund_history_guard();
create trigger refund_history_is_never_emptied before truncate on refund_history
    for each statement execute function refund_history_guard();

-- Two reviewers for a large refund; one payment of an order unless a decision says otherwise; one entry for each email.

-- The first yes where SECOND_APPROVER_CENTS asks for two. It counts while a person would still be shown what its giver
-- saw: after that the next yes is a first one again.
create table first_approvals (
    refund_id      bigint not null,
    shown          text not null,           -- the digest of what was shown, see refunds/ledger.py
    decided_by     text not null,
    decided_at     timestamptz not null default now(),
    approved_cents bigint not null check (approved_cents > 0),
    decision_note  text not null,
    decision_key   text not null unique,
    primary key (refund_id, shown)
);
create function first_approvals_guard() returns trigger language plpgsql as $$
begin
    raise check_violation using message = 'an approval is final';
end $$;
create trigger first_approvals_guard before update or delete on first_approvals
    for each row execute function first_approvals_guard();
create trigger first_approvals_are_never_emptied before truncate on first_approvals
    for each statement execute function first_approvals_guard();

-- Whatever program pays: of one order, spelled the same, only one payment was approved without a word about another.
create unique index refunds_paid_once on refunds (customer_id, order_id)
    where payment_started_at is not null and status <> 'blocked' and also_paid = '{}';
-- An order of which another customer says the same is shown to whoever decides.
create index refunds_order on refunds (order_id, id) where status in ('approved', 'issued');

-- An email whose run is silent, and later fails, is one entry. The page shows what the newest row says.
create or replace function audit_log_asks_for_a_person() returns trigger language plpgsql as $$
begin
    if not exists (
        select from audit_log a join needs_person n on n.audit_id = a.id
        where a.action = 'run_failed' and a.detail ->> 'event_id' = new.detail ->> 'event_id' and n.done_at is null
    ) then
        insert into needs_person (audit_id, told_at)
        values (new.id, case when new.action <> 'run_failed' then now() end);
    end if;
    return null;
end $$;

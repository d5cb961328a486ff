-- A refund is the unit of payment, not an order: how an order is spelled no longer decides what is paid. A refund that
-- looks like an approved one is approved only by a decision that names it; refunds/payments.py looks again before it pays.

drop index refunds_one_payment_per_order;

-- The similar refunds, approved earlier, of which the approver said that this one is paid as well.
alter table refunds add column also_paid bigint[] not null default '{}';

create function refunds_also_paid_guard() returns trigger language plpgsql as $$
begin
    raise check_violation using message = 'a decision is final';
end $$;
create trigger refunds_also_paid_guard before update on refunds
    for each row when (old.decision is not null and new.also_paid is distinct from old.also_paid)
    execute function refunds_also_paid_guard();

-- What a customer was refunded already, newest first: read for every page, decision, payment and reply.
create index refunds_approved on refunds (customer_id, id) where status in ('approved', 'issued');
drop index refunds_issued;

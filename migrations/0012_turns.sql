-- Decisions on one customer's refunds, and their payments, take turns. Taking the turn and reading what the decision or
-- the payment rests on is now one trip to the database.

-- The refunds of these customers that were approved or issued, and those that wait; the newest come first. Of one
-- customer these are the newest 200 of the first kind and the newest 50 of the second, which is more than a person has:
-- a page stays quick even where a program has asked for thousands.
create function refunds_beside(customers text[]) returns setof refunds language sql stable as $$
    select refund.* from unnest(customers) as customer (id) cross join lateral (
        (select * from refunds where customer_id = customer.id and status in ('approved', 'issued')
         order by id desc limit 200)
        union all
        (select * from refunds where customer_id = customer.id and status = 'pending' and expires_at > now()
         order by id desc limit 50)
    ) refund order by refund.id desc
$$;

-- First the refund, if there is one, then those beside it. Until the transaction ends, nobody else decides on or pays a
-- refund of this customer, or uses the same key. `late` and `used` say whether the refund's time is up, and whether a
-- decision has used the key.
create function refunds_in_turn(one bigint, key text) returns table (late boolean, used boolean, refund refunds)
language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(customer_id, 0)), pg_advisory_xact_lock(hashtextextended(key, 1))
    from refunds where id = one;
    -- Each query below sees what was committed before it began, so also what was done in the turn before.
    select * into refund from refunds where id = one for update;
    if not found then
        return;
    end if;
    late := now() >= refund.expires_at;
    used := exists (select from refunds where decision_key = key)
        or exists (select from first_approvals where decision_key = key);
    return next;
    for refund in select * from refunds_beside(array[refund.customer_id]) where id <> one loop
        return next;
    end loop;
end $$;

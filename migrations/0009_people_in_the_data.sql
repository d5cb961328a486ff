-- The audit trail is only added to, by the database too. What is personal can be erased in one lawful way: in a
-- transaction that writes a row `data_erased` first. people/erase.py does so.

alter table audit_log drop constraint audit_log_action_check, add constraint audit_log_action_check check (action in (
    'message_received', 'message_sent', 'refund_issued', 'refund_blocked', 'health_check', 'run_failed', 'data_erased'));

-- Whether this transaction has said in the trail that it erases.
create function erasing() returns boolean language sql stable as $$
    select exists (select from audit_log where action = 'data_erased' and created_at = now())
$$;

create function audit_log_guard() returns trigger language plpgsql as $$
begin
    -- An erasure leaves a part of the detail, marked as such, and all else as it was.
    if tg_op = 'UPDATE' and erasing()
       and to_jsonb(new) - 'detail' = to_jsonb(old) - 'detail'
       and new.detail @> '{"erased": true}' and new.detail - 'erased' <@ old.detail then
        return new;
    end if;
    raise check_violation using
        message = 'the audit trail is only added to. To erase what is personal of a customer: python -m people.erase ID.'
            ' To begin anew with a database of your own: drop schema public cascade; create schema public;'
            ' then python db.py';
end $$;
create trigger audit_log_guard before update or delete on audit_log
    for each row execute function audit_log_guard();
create trigger audit_log_is_never_emptied before truncate on audit_log
    for each statement execute function audit_log_guard();

-- A refund's reason changes in an erasure and never otherwise, so that change is left to a guard of its own.
drop trigger refunds_guard on refunds;
create trigger refunds_guard before insert or delete on refunds
    for each row execute function refunds_guard();
create trigger refunds_guard_changes before update on refunds
    for each row when (new.reason is not distinct from old.reason) execute function refunds_guard();
create function refunds_guard_erasure() returns trigger language plpgsql as $$
declare
    texts text[] := '{reason, decision_note, outcome, request_id}';
begin
    if erasing() and old.settled_at is not null and new.reason = '(erased)'
       and to_jsonb(new) - texts = to_jsonb(old) - texts
       -- The provider's reference is no text of anybody's.
       and (new.outcome = old.outcome or old.status = 'blocked') then
        return new;
    end if;
    raise check_violation using message = 'what was asked for cannot be changed';
end $$;
create trigger refunds_guard_erasure before update on refunds
    for each row when (new.reason is distinct from old.reason) execute function refunds_guard_erasure();

create or replace function refund_history_guard() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and erasing() and to_jsonb(new) - 'why' = to_jsonb(old) - 'why' then
        return new;
    end if;
    raise check_violation using message = 'the history of refunds is only added to';
end $$;

create or replace function needs_person_guard() returns trigger language plpgsql as $$
begin
    if tg_op in ('DELETE', 'TRUNCATE') then
        raise check_violation using message = 'what needs a person is never deleted';
    elsif new.audit_id = old.audit_id and (old.done_at is null or new is not distinct from old) then
        return new;
    elsif erasing() and to_jsonb(new) - 'note' = to_jsonb(old) - 'note' then
        return new;
    end if;
    raise check_violation using message = 'what a person has done stays as it was recorded';
end $$;

-- The rows with texts, the oldest first: by this the sweep of RETENTION_DAYS finds those whose time is up.
create index audit_log_erasures on audit_log (created_at) where action = 'data_erased';
create index audit_log_texts on audit_log (created_at) where not detail ? 'erased' and action <> 'data_erased';

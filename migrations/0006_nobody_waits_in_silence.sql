-- Nobody is left waiting in silence: what waits for a person, the emails that no run has begun, failed sign-ins.

-- One row for each row of the audit trail that a person has to act on, and who has seen to it, when.
create table needs_person (
    audit_id bigint primary key,
    told_at  timestamptz,                   -- when the reviewers' chat heard of it
    done_by  text,
    done_at  timestamptz,
    note     text,
    check ((done_by is null) = (done_at is null) and (note is null or done_by is not null))
);
create index needs_person_open on needs_person (audit_id) where done_at is null;
create index needs_person_untold on needs_person (audit_id) where told_at is null;
create index needs_person_done on needs_person (done_at, audit_id) where done_at is not null;

-- Whatever program writes the row, the person is asked for. Support hears of money that came back by another way.
create function audit_log_asks_for_a_person() returns trigger language plpgsql as $$
begin
    insert into needs_person (audit_id, told_at)
    values (new.id, case when new.action <> 'run_failed' then now() end);
    return null;
end $$;
create trigger audit_log_asks_for_a_person after insert on audit_log
    for each row when (new.action = 'run_failed' or new.detail @> '{"needs_person": true}')
    execute function audit_log_asks_for_a_person();
-- Of what happened before this migration, the last month is asked for, and the chat stays silent about it.
insert into needs_person (audit_id, told_at)
select id, now() from audit_log where action = 'run_failed' and created_at > now() - interval '30 days';

create function needs_person_guard() returns trigger language plpgsql as $$
begin
    if tg_op in ('DELETE', 'TRUNCATE') then
        raise check_violation using message = 'what needs a person is never deleted';
    elsif new.audit_id <> old.audit_id or (old.done_at is not null and new is distinct from old) then
        raise check_violation using message = 'what a person has done stays as it was recorded';
    end if;
    return new;
end $$;
create trigger needs_person_guard before update or delete on needs_person
    for each row execute function needs_person_guard();
create trigger needs_person_is_never_emptied before truncate on needs_person
    for each statement execute function needs_person_guard();

-- Every email that the webhook has taken, written before the provider hears so.
create table inbox (
    event_id    text primary key,
    sender      text not null,
    event       jsonb,                      -- what the engine is sent; null once a run or a person has the email
    received_at timestamptz not null default now()
);
create index inbox_sender on inbox (sender, received_at);
create index inbox_waiting on inbox (received_at) where event is not null;

-- By these, the cron finds the emails that no run has begun, and the runs that were lost.
create index audit_log_event on audit_log ((detail ->> 'event_id')) where action in ('message_received', 'run_failed');
create index audit_log_received on audit_log (created_at) where action = 'message_received';

-- Failed tries to sign in, of the last minutes. The keys are hashes, because people type passwords in the wrong field.
create table sign_in_tries (
    id      bigint generated always as identity primary key,
    who     bytea not null,                 -- of a name and a network together
    network bytea not null,
    at      timestamptz not null default now()
);
create index sign_in_tries_network on sign_in_tries (network);
create index sign_in_tries_at on sign_in_tries (at);

-- D0: who writes to us, and what happened to every message.

create table customers (
    id    text primary key,
    email text not null unique,
    tier  text not null check (tier in ('standard', 'pro', 'enterprise'))
);

create table audit_log (
    id          bigint generated always as identity primary key,
    -- Run id and step id: a step that is run again after a crash writes the same key, so one row.
    key         text not null unique,
    action      text not null check (action in (
        'message_received', 'message_sent', 'refund_issued', 'refund_blocked', 'health_check', 'run_failed')),
    -- No foreign key: the failure of an email from somebody we do not know leaves a row too.
    customer_id text,
    run_id      text not null,
    detail      jsonb not null default '{}',
    created_at  timestamptz not null default now()
);

create index audit_log_customer on audit_log (customer_id, id);
create index audit_log_run on audit_log (run_id);

-- The approval desk: who is signed in, and indexes by which its pages answer at once, however long the tables grow.

-- One row per reviewer who is signed in. Who reads this table cannot take a session over: the token is only in the cookie.
create table reviewer_sessions (
    token_sha256      bytea primary key,
    reviewer          text not null,
    -- Of the password hash it was opened with: another password, and the session is over.
    credential_sha256 bytea not null,
    expires_at        timestamptz not null
);
create index reviewer_sessions_expired on reviewer_sessions (expires_at);

-- What waits, soonest deadline first; what was decided, newest first; payments without an outcome.
create index refunds_waiting on refunds (expires_at, id) where status = 'pending';
create index refunds_decided on refunds (decided_at, id) where decision is not null;
create index refunds_begun on refunds (payment_started_at) where status = 'approved';
-- What a customer was refunded already.
create index refunds_issued on refunds (customer_id, settled_at) where status = 'issued';

-- The audit trail by every filter of its page, paged by id. Not by id itself but by id + 0, which only these indexes have
-- in order: a planner that hopes to meet enough matching rows soon would walk along the primary key, all of it if there
-- are none. On a table that is long already each takes a minute per ten million rows, in which nothing can be written.
create index audit_log_customer_id on audit_log (customer_id, (id + 0));
drop index audit_log_customer;
create index audit_log_run_id on audit_log (run_id, (id + 0));
drop index audit_log_run;
create index audit_log_action_id on audit_log (action, (id + 0));
create index audit_log_customer_action_id on audit_log (customer_id, action, (id + 0));

-- Every email that was taken ends in a reply or in front of a person, however long something was away meanwhile.

-- When the sweep first sent an email again; an hour later it gives up.
alter table inbox add column sent_again_at timestamptz;

-- The runs that have begun to answer an email and have neither replied nor handed it to a person. Triggers keep this
-- table, so that the sweep need not look through the whole trail. Runs of the worker's own command line are left out,
-- because whoever started one was there.
create table unanswered (
    run_id   text primary key,
    audit_id bigint not null                -- of its row `message_received`
);

create function audit_log_begins_an_answer() returns trigger language plpgsql as $$
begin
    insert into unanswered (run_id, audit_id) values (new.run_id, new.id) on conflict do nothing;
    return null;
end $$;
create trigger audit_log_begins_an_answer after insert on audit_log
    for each row when (new.action = 'message_received' and new.run_id not like 'worker-%')
    execute function audit_log_begins_an_answer();

create function audit_log_ends_an_answer() returns trigger language plpgsql as $$
begin
    delete from unanswered where run_id = new.run_id;
    return null;
end $$;
create trigger audit_log_ends_an_answer after insert on audit_log
    for each row when (
        new.key in (new.run_id || ':audit-sent', new.run_id || ':audit-run-failed', new.run_id || ':lost'))
    execute function audit_log_ends_an_answer();

-- Of what happened before this migration, the last month counts, as in the one that made `needs_person`.
insert into unanswered (run_id, audit_id)
select m.run_id, m.id from audit_log m
where m.action = 'message_received' and m.created_at > now() - interval '30 days'
  and m.run_id not like 'worker-%' and m.run_id <> 'adopted'
  and not exists (select from audit_log a
      where a.key in (m.run_id || ':audit-sent', m.run_id || ':audit-run-failed', m.run_id || ':lost'))
on conflict do nothing;
drop index audit_log_received;

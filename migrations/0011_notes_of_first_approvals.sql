-- The note of a first approval is a text like the note of a decision, and an erasure takes both away.

create or replace function first_approvals_guard() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and erasing() and to_jsonb(new) - 'decision_note' = to_jsonb(old) - 'decision_note' then
        return new;
    end if;
    raise check_violation using message = 'an approval is final';
end $$;

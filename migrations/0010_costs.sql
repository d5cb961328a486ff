-- What the emails cost: every call to a model, and what the engine counts as executions.

create table model_calls (
    id               bigint generated always as identity primary key,
    -- Made of the run and the provider's own ids, or of a random one where there are none. A row whose insert is
    -- repeated after a lost connection is there once, while a step that runs again has paid again and leaves new rows.
    key              text not null unique,
    run_id           text not null,
    event_id         text not null,         -- of the event that began the run: several runs may answer one email
    model            text not null,
    api              text,                  -- the address of the provider's API, by which its prices are found
    request_id       text,                  -- the provider's
    response_id      text,                  -- the provider's
    input_tokens     bigint not null,       -- the cached ones included
    cached_tokens    bigint not null,       -- read from the provider's cache, which is cheaper
    written_tokens   bigint not null,       -- written to that cache, for which some models ask more
    output_tokens    bigint not null,       -- the reasoning ones included
    reasoning_tokens bigint not null,
    error            text,                  -- the type of the exception, if the call failed; it may have been paid
    seconds          double precision not null,
    created_at       timestamptz not null default now(),
    check (cached_tokens >= 0 and written_tokens >= 0 and cached_tokens + written_tokens <= input_tokens),
    check (reasoning_tokens between 0 and output_tokens)
);
create index model_calls_created on model_calls (created_at);
create index model_calls_run on model_calls (run_id);

-- One row for each run of a function and one for each later try of a step: what the engine's price is for.
create table executions (
    key         text primary key,
    function_id text not null,
    run_id      text not null,
    attempt     integer not null,           -- 0 is the run itself
    created_at  timestamptz not null default now()
);
create index executions_created on executions (created_at);

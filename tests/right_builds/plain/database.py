"""The system of record of the course's own build: two tables as an agent makes them from the course's store prompt."""

import os
from typing import Any

import asyncpg

TABLES = """
create table customers (id text primary key, email text not null, tier text not null);
create table audit_log (
    id uuid primary key default gen_random_uuid(), customer_id text references customers (id), action text not null,
    detail text, created_at timestamptz not null default now());
"""
SAMPLES = [("ann", "Pro"), ("bob", "Enterprise"), ("cem", "Standard"), ("dee", "Pro"), ("eva", "Standard")]
ACTIONS = {"email_received", "reply_sent", "refund_issued", "refund_blocked", "health_checked"}
_pools: dict[str, "asyncpg.Pool[asyncpg.Record]"] = {}


async def pool() -> "asyncpg.Pool[asyncpg.Record]":
    url = os.environ["DATABASE_URL"]
    if url not in _pools:
        _pools[url] = await asyncpg.create_pool(url, min_size=1, max_size=5)
    return _pools[url]


async def close() -> None:
    for opened in [_pools.pop(url) for url in list(_pools)]:
        await opened.close()


async def seed() -> None:
    connections = await pool()
    if not await connections.fetchval("select count(*) from customers"):
        rows = [(name, f"{name}@example.com", tier) for name, tier in SAMPLES]
        await connections.executemany("insert into customers values ($1, $2, $3)", rows)


async def load_customers() -> list[dict[str, Any]]:
    return [dict(row) for row in await (await pool()).fetch("select * from customers order by id")]


async def record(action: str, *, customer_id: str, detail: str = "") -> None:
    if action not in ACTIONS:
        raise ValueError(action)
    statement = "insert into audit_log (customer_id, action, detail) values ($1, $2, $3)"
    await (await pool()).execute(statement, customer_id, action, detail)

"""The pytest plugin, used as a stranger would: on functions of its own, and on the approval of refunds."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta

import fastapi
import inngest
import inngest.fast_api
import pytest

import db
import inngest_app as reference
from offline.inngest_server.core.state import RunStatus
from offline.postgres import EmbeddedPostgres
from offline.pytest_plugin import Server
from tests.ledger import forget_everything

DOUBLE = {"customer_id": "cust_002", "email_text": "I was charged twice for order A-1001. Please return the $49.00."}
Serve = Callable[..., str]


@pytest.fixture
def paid() -> list[str]:
    """What the app of `counting` did, in order."""
    return []


@pytest.fixture
def counting(paid: list[str]) -> fastapi.FastAPI:
    """An app whose function does something, waits for an hour, and does something else, each under a key."""
    client = inngest.Inngest(app_id="counting")

    @client.create_function(fn_id="twice", trigger=inngest.TriggerEvent(event="count"))
    async def twice(ctx: inngest.Context) -> str:
        async def once(what: str) -> str:
            paid.append(what)
            return what

        await ctx.step.run("first", once, "first")
        await ctx.step.sleep("pause", timedelta(hours=1))
        await ctx.step.run("second", once, "second")
        return "done"

    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, client, [twice])
    return app


def test_time_passes_when_a_test_says_so(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    event = inngest_server.send("count")
    (run,) = inngest_server.runs_of(event)
    assert paid == ["first"]
    inngest_server.clock.advance(hours=1)
    assert (paid, run.output) == (["first", "second"], "done")


def test_a_function_is_invoked_and_its_run_cancelled(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    run = inngest_server.invoke("twice", {"by": "hand"})
    inngest_server.settle()
    inngest_server.cancel(run)
    inngest_server.clock.advance(hours=2)
    assert (paid, run.status, run.event.data["by"]) == (["first"], RunStatus.CANCELLED, "hand")


def test_a_step_that_is_made_to_fail_is_tried_again(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    inngest_server.fail_next(step="first")
    event = inngest_server.send("count")
    (run,) = inngest_server.runs_of(event)
    assert paid == ["first"]
    assert [step.error["name"] for step in run.steps.values() if step.error] == ["MadeToFail"]
    inngest_server.clock.advance(hours=2)
    assert (paid, run.status) == (["first", "first", "second"], RunStatus.COMPLETED)


def test_until_says_where_every_run_stands_when_time_is_up(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI
) -> None:
    with pytest.raises(AssertionError, match="No run was started"):
        inngest_server.until(lambda: False, timeout=0.01)
    inngest_app(counting)
    (run,) = inngest_server.runs_of(inngest_server.send("count"))
    with pytest.raises(AssertionError, match=r"(?s)still False.*counting-twice: Running\n.*first: COMPL.*pause: WAIT"):
        inngest_server.until(lambda: run.status.ended, timeout=0.05)


@pytest.mark.crash_at_every_step
def test_wherever_the_process_dies_the_run_ends(
    inngest_server: Server, inngest_app: Serve, counting: fastapi.FastAPI, paid: list[str]
) -> None:
    inngest_app(counting)
    (run,) = inngest_server.runs_of(inngest_server.send("count"))
    inngest_server.clock.advance(hours=2)
    assert inngest_server.until(lambda: run.output) == "done"
    assert sorted(set(paid)) == ["first", "second"]
    assert len(paid) <= 3


@pytest.fixture
def worker(postgres: EmbeddedPostgres, inngest_server: Server, inngest_app: Serve) -> Iterator[Server]:
    """The reference app with its five customers and nothing else. Its pool belongs to the loop in which it runs."""

    async def empty() -> None:
        await db.close()
        await db.migrate()
        await forget_everything()

    inngest_server.run(empty())
    inngest_app(reference.app)
    yield inngest_server
    inngest_server.run(db.close())


async def rows(action: str) -> int:
    return len(await db.fetch("select from audit_log where action = $1", action))


async def ledger() -> list[tuple[str, str | None]]:
    return [(row["status"], row["decision"]) for row in await db.fetch("select status, decision from refunds")]


def test_four_hours_of_silence_pay_nothing(worker: Server) -> None:
    worker.send("customer/email.received", DOUBLE)
    worker.until(ledger)
    worker.settle()
    worker.clock.advance(hours=4, minutes=1)
    assert worker.run(ledger()) == [("blocked", "expired")]


@pytest.mark.crash_at_every_step(function="handle-customer-email")
@pytest.mark.timeout(300)
def test_wherever_the_process_dies_a_yes_pays_once(worker: Server) -> None:
    event = worker.send("customer/email.received", DOUBLE)
    worker.until(ledger)
    worker.settle()
    worker.send("refund/approval.decided", {"customer_id": "cust_002", "approved": True})
    (run,) = worker.runs_of(event)
    worker.until(lambda: run.status.ended)
    assert (run.status, worker.run(ledger())) == (RunStatus.COMPLETED, [("issued", "approved")])
    assert worker.run(rows("refund_issued")) == 1


def test_a_mark_without_an_app_and_a_test_that_a_crash_breaks_are_told(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The plugin of the inner pytest chooses an address of its own.
    monkeypatch.setenv("INNGEST_DEV", os.environ["INNGEST_DEV"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import pytest, fastapi, inngest, inngest.fast_api

        @pytest.mark.crash_at_every_step
        def test_without_an_app():
            pass

        @pytest.mark.crash_at_every_step
        def test_that_counts(inngest_server, inngest_app):
            done = []
            client = inngest.Inngest(app_id="app")
            @client.create_function(fn_id="once", trigger=inngest.TriggerEvent(event="go"))
            async def once(ctx):
                async def pay():
                    done.append("paid")
                await ctx.step.run("pay", pay)
            app = fastapi.FastAPI()
            inngest.fast_api.serve(app, client, [once])
            inngest_app(app)
            inngest_server.runs_of(inngest_server.send("go"))
            assert done == ["paid"]
        """
    )
    # In this process, because another one would import everything anew.
    result = pytester.runpytest_inprocess("-p", "offline.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*the test has to serve its app with the fixture inngest_app*"])
    result.stdout.fnmatch_lines(["*The process was killed after call 1 of the engine (pay).*"])

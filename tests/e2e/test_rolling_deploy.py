"""The processes of production without containers, and a deploy in the middle of work.

It takes half a minute, and so only `make torture` runs it. It needs HAProxy (on Debian and Ubuntu `apt-get install
haproxy`).
"""

import asyncio
import os
from collections import Counter
from pathlib import Path

import asyncpg
import httpx
import pytest

from offline.production import HAPROXY, Production

pytestmark = pytest.mark.skipif(
    HAPROXY is None or "SAMPLES" not in os.environ, reason="make torture runs it, where HAProxy is installed"
)
ANSWERED = "select count(*) from audit_log where action = 'message_sent'"


async def test_a_deploy_under_load_answers_every_email_and_pays_for_no_thought_twice(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    settings = {"MODEL_PROVIDER": "tests.slow_model:SlowProvider", "MODEL": f"1:{asked}"}
    settings |= {"EMAIL_THROTTLE_PER_MINUTE": "6000", "EMAILS_PER_SENDER_PER_HOUR": "1000"}
    async with Production(settings, replicas=1) as production, httpx.AsyncClient(trust_env=False) as http:
        deploying, sent = asyncio.create_task(production.deploy()), 0
        while not deploying.done():
            sent += 1
            email = {"message_id": f"m-{sent}", "from": f"{['ada', 'linus', 'alan'][sent % 3]}@example.com"}
            email |= {"subject": "Order", "text": f"Where is my order A-{1000 + sent}?"}
            assert (await http.post(f"{production.url}/webhooks/email", json=email)).status_code == 200
            await asyncio.sleep(0.4)
        await deploying
        connection = await asyncpg.connect(production.postgres.url)
        async with asyncio.timeout(60):
            while await connection.fetchval(ANSWERED) < sent:
                await asyncio.sleep(0.1)
        await connection.close()
    turns = Counter(asked.read_text().splitlines())
    assert len(turns) == 2 * sent
    assert set(turns.values()) == {1}

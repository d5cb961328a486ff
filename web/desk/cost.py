"""The desk's page of what the emails cost. Where the numbers come from is said in docs/cost.md."""

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from telemetry import report, tiers
from web.desk.pages import Desk

CHOICES = (7, 30, 90)
# The picture, in the units of its own viewBox.
CHART_HEIGHT = 120
BAR_WIDTH = 20


async def cost(desk: Desk, request: Request) -> Response:
    """GET /approvals/cost: tokens and money by day, model and email, and the engine's executions."""
    visitor = await desk.sign_in.reviewer(request)
    asked = request.query_params.get("days", "")
    days = next((choice for choice in CHOICES if str(choice) == asked), report.MONTH_DAYS)
    found = await report.read(days)
    tier, dollars = tiers.month(found.executions_a_month)
    return desk.respond(
        "cost.html",
        visitor,
        page="cost",
        found=found,
        choices=CHOICES,
        bars=bars(found.by_day),
        chart_height=CHART_HEIGHT,
        bar_width=BAR_WIDTH,
        tiers=tiers.TIERS,
        as_of=tiers.AS_OF,
        tier=tier,
        tier_dollars=dollars,
    )


def bars(days: list[report.Line]) -> list[dict[str, Any]]:
    """One bar a day: from the bottom, what was read from the cache, what else was read, what was written."""
    most = max((line.tokens for line in days), default=0) or 1
    drawn: list[dict[str, Any]] = []
    for number, line in enumerate(days):
        parts = (
            ("cached", line.cached_tokens),
            ("fresh", line.input_tokens - line.cached_tokens),
            ("written", line.output_tokens),
        )
        bottom = float(CHART_HEIGHT)
        boxes: list[dict[str, Any]] = []
        for kind, tokens in parts:
            height = round(tokens / most * CHART_HEIGHT, 2)
            bottom -= height
            boxes.append({"kind": kind, "y": round(bottom, 2), "height": height})
        drawn.append({"x": number * BAR_WIDTH, "width": BAR_WIDTH - 4, "boxes": boxes, "line": line})
    return drawn

"""What load balancers and deploys ask for: is the process alive, and can it do its work?"""

import logging

import fastapi

import db
from web.limits import DATABASE_SECONDS, within

logger = logging.getLogger("customer-support")
routes = fastapi.APIRouter()


@routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@routes.get("/readyz")
async def readyz(response: fastapi.Response) -> dict[str, str]:
    """The database answers and has the app's tables. Otherwise the status is 503 and the text says what to do."""
    try:
        await within(DATABASE_SECONDS, db.fetch("select from refunds, inbox, first_approvals limit 1"))
    except Exception as error:
        logger.warning("Not ready: %s: %s", type(error).__name__, error)
        response.status_code = fastapi.status.HTTP_503_SERVICE_UNAVAILABLE
        return {"status": "The database does not answer, or `python db.py` has not been run; the log says which."}
    return {"status": "ok"}

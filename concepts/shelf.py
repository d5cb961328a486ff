"""The Inngest client of the shelf, which is an app of its own beside the worker's."""

import logging

import inngest
from dotenv import load_dotenv

import settings

load_dotenv()
client = inngest.Inngest(app_id="concepts", is_production=not settings.dev_mode(), logger=logging.getLogger("concepts"))

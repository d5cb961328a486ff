"""The client that every function of the shelf belongs to: an app of its own, apart from the worker's."""

import logging

import inngest
from dotenv import load_dotenv

import settings

load_dotenv()
client = inngest.Inngest(app_id="concepts", is_production=not settings.dev_mode(), logger=logging.getLogger("concepts"))

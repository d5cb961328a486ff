"""The reference shelf: fifteen concepts of durable agents and fourteen patterns beside them, each a small file that runs.

README.md says how to start it and which event to send. `app.py` serves it.
"""

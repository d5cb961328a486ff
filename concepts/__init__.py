"""The reference shelf: fifteen concepts of durable agents and fifteen patterns beside them, each in one small file.

README.md says how to start it and which event to send. `app.py` serves it.
"""

"""Stand-ins for the three accounts that a learner would need: database, model and event engine."""

"""Stand-ins for the three accounts a learner would need: database, model and event engine."""

"""A build that is a package, keeps its rows with SQLAlchemy, and carries the gates' hook."""

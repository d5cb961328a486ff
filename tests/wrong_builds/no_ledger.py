"""The event alone moves the money: two emails about one order, a yes for each, are paid twice."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(ledger=False)

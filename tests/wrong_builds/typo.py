"""The event's name is misspelt: nobody wakes up, and nothing complains."""

from tests.wrong_builds.learner import RIGHT

BUILD = RIGHT.but(email_event="customer/email.recieved")

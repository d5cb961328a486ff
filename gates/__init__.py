"""The course's done-whens as checks from outside: each gate asks a running app whether a Decision is done."""

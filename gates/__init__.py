"""The course's gates: is a Decision done? Checked from outside, against any running app that keeps to the contract."""

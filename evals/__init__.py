"""How good the answers are (`make eval`), and what the app lets through when the model obeys everybody."""

"""OpenAI's HTTP API with the rule-based model behind it, for any program that reads OPENAI_BASE_URL."""

"""What a token costs, from the price list of the package genai-prices. A model that is not in it has no price."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache

OPENAI = "https://api.openai.com/v1/"
# The list is asked for so many tokens of a kind. Some models ask more per token for prompts of above 200,000 tokens; no
# email that is read is as long as that.
SAMPLE = 1000


@dataclass(frozen=True)
class Price:
    """Dollars for one token of each kind."""

    fresh: Decimal
    cached: Decimal
    written: Decimal
    output: Decimal

    def dollars(self, input_tokens: int, cached_tokens: int, written_tokens: int, output_tokens: int) -> Decimal:
        """What these tokens cost. The input includes those that were read from the cache or written to it."""
        fresh = input_tokens - cached_tokens - written_tokens
        return (
            fresh * self.fresh
            + cached_tokens * self.cached
            + written_tokens * self.written
            + output_tokens * self.output
        )


@lru_cache(maxsize=10_000)
def price_of(model: str, api: str | None, day: date) -> Price | None:
    """The price of a model on a day. None if the list does not know the model at this API: nothing is guessed."""
    if api is None:
        return None
    # Imported here, because it takes a fifth of a second and only reports need it.
    from genai_prices import Usage, calc_price

    at = datetime.combine(day, time(12), UTC)

    def one(**tokens: int) -> Decimal:
        usage = Usage(**tokens)
        return calc_price(usage, model, provider_api_url=api, genai_request_timestamp=at).total_price / SAMPLE

    try:
        return Price(
            fresh=one(input_tokens=SAMPLE),
            cached=one(input_tokens=SAMPLE, cache_read_tokens=SAMPLE),
            written=one(input_tokens=SAMPLE, cache_write_tokens=SAMPLE),
            output=one(output_tokens=SAMPLE),
        )
    except LookupError:
        return None

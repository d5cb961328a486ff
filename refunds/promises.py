"""Does a reply say that money goes back? The check on a model that is told not to promise refunds in words.

It reads words, not sense: English with care, five other languages only where one word tells. Each pattern stands beside
what it is there for; `tests/unit/test_promises.py` holds the replies it was made for, promising and not.
"""

import re

from refunds import ledger

SUM = r"(?:[$€£]\s?\d[\d.,]{0,12}|(?<![\d.,])\d[\d.,]{0,12}\s?(?:[$€£]|usd|eur|gbp|dollars|euros|pounds))"
# What may stand between a verb and its noun: "sent YOU BACK THE FULL $49".
FILL = rf"(?:(?:you|your|a|an|the|that|this|all|both|full|partial|complete|for|of|back|{SUM}) ){{0,6}}"
REFUND = (
    r"\b(?:(?:refund|reimbursement|(?:your|both|the) refunds)\b(?! (?:request|polic|form|page|team|department))"
    rf"|credit of (?={SUM}))"
)
MONEY = rf"(?:{REFUND}|\b(?:money|funds)\b|{SUM} (?:back|refund|credit))"
IS_DONE = (
    r"(?:issued|processed|submitted|sent|made|approved|authori[sz]ed|granted|arranged|started|initiated|triggered"
    r"|completed?|confirmed|successful|given|put through|(?:went|gone|going) through|taken care of)\b"
)
DOING = r"(?:issuing|processing|submitting|sending|making|approving|arranging|giving|getting)"
DO = r"(?:issue|process|submit|send|make|approve|arrange|initiate|complete|give|put through|take care of|sort out)"
WILL = r"(?:'ll|\bwill|\bgoing to|\blet (?:me|us))(?: (?:also|now|just|gladly|be|personally|go ahead and)){0,2}"
CHARGE = r"\b(?:duplicate|second|extra|double|over)? ?(?:charges?|payments?)\b"
ANY = r".{0,80}?\b"
PROMISE = re.compile(
    "|".join(
        [
            r"\b(?:refunded|reimbursed|credited|repaid)\b",  # the $49 has been refunded
            rf"\b(?:refunding|reimbursing|repaying) {FILL}",  # we are refunding it now
            rf"{REFUND}{ANY}{IS_DONE}",  # your refund has been processed
            rf"\brefund request\b{ANY}(?:approved|granted)\b",  # your refund request was approved
            rf"{REFUND}{ANY}(?:on (?:its|the) way|underway)\b",  # your refund is on its way
            rf"\b(?:{IS_DONE}|{DOING}) {FILL}{MONEY}",  # I've issued you a full refund
            rf"\b(?:money|funds|amount)\b{ANY}(?:on (?:its|the) way|returned)\b",  # the money is on its way
            rf"{SUM} (?:is|was|has|have|will|should)\b{ANY}(?:on (?:its|the) way|returned)\b",  # $49 is on its way
            rf"(?:\b(?:money|funds|amount)\b|{SUM}){ANY}(?:sent|paid|transferred|go|going|heading) back\b",
            rf"(?:\b(?:money|funds|amount)\b|{SUM}){ANY}back (?:to|in|on) your\b",  # $49 is back on your card
            rf"\breturn(?:ed|ing) {FILL}(?:money|payment|amount|{SUM})",  # we have returned the payment
            rf"\b(?:sent|paid|transferr(?:ed|ing)) {FILL}(?:amount|{SUM}) back\b",  # I've sent the $49 back
            rf"\bsent (?:you )?back (?:the |your )?{SUM}",  # I've sent you back the $49
            rf"{CHARGE}{ANY}(?:reversed|voided)\b|\b(?:reversed|voided)\b{ANY}{CHARGE}",  # I've reversed the charge
            r"\bcancell?ed (?:the|your|this|that) (?:duplicate|second|extra|double) (?:charge|payment)\b",
            rf"{WILL} (?:refund|reimburse|compensate|repay|pay you back|credit your)\b",  # I'll refund it
            rf"{WILL} {DO} {FILL}{MONEY}",  # we'll issue the refund
            rf"{WILL} return {FILL}(?:money|payment|amount|{SUM})",  # we will return the money
            rf"(?:'ll|\bwill|\bshould|\bexpect|\b(?:en)?sure (?:that )?you)(?: (?:you|to|expect|soon)){{0,3}} "
            rf"(?:(?:see|notice|receive|get|have) )?{FILL}{MONEY}",  # you'll see the money
            rf"(?:{REFUND}|\b(?:money|funds)\b){ANY}(?:will|should|to) "
            r"(?:arrive|appear|show|reach|land|hit|post|be (?:back|in your|on your|with you))\b",  # it should arrive
            r"\b(?:(?:rück)?erstattet|gutgeschrieben|zurück(?:überwiesen|gezahlt))\b",  # German
            r"\b(?:rembours(?:é|és|ée|ées|ons|erons)|reembols(?:ado|amos|aremos))\b",  # French, Spanish
            r"\b(?:rimborsat[oi]|rimborseremo|terugbetaald)\b",  # Italian, Dutch
        ]
    ),
    re.IGNORECASE,
)
ANNOUNCED = re.compile(r"'ll\b|\b(?:will|should|expect|going to|let me|let us|wird|werden)\b", re.IGNORECASE)
# In the same clause this takes the promise back ...
DENIAL = re.compile(
    r"\b(?:not(?! only)|no(?! later)|never|neither|nothing|none|cannot|unable|without|declined?|rejected|expired)\b"
    r"|n't\b|\b(?:to|can|could|may|might|would) be\b|\b(?:any|each|every) refund"
    r"|\bitems? returned\b|\breturned items?\b"
    r"|\b(?:nicht|keine?n?|pas|non|niet|geen)\b",
    re.IGNORECASE,
)
# ... and so does this, anywhere in the sentence if the money is only announced, else before the promise.
CONDITION = re.compile(
    r"\b(?:if|whether|unless|until|before|once|when|after|as soon as|falls|sobald|wenn)\b"
    r"(?! (?:again|your bank|possible|(?:you have|there is) any))",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|;|\n *(?=\n|[-\u2022])")
CLAUSE_END = re.compile(r"[,:]\s|\s[\u2013\u2014-]\s|\b(?:but|and|so) (?=(?:i|we|you|your|the)\b)", re.IGNORECASE)


def promises_money(reply: str) -> list[str]:
    """The clauses that say that money goes back, or that it will without a condition. Questions promise nothing."""
    promising = []
    text = re.sub(r"[*_`]", "", reply.replace("\u2019", "'"))
    for sentence in SENTENCE_END.split(text):
        clauses = CLAUSE_END.split(sentence)
        if sentence.rstrip().endswith("?"):
            clauses.pop()
        for clause in clauses:
            promise = PROMISE.search(clause)
            if promise is None or DENIAL.search(clause):
                continue
            said = clause[: promise.end()]
            if not CONDITION.search(sentence if ANNOUNCED.search(said) else said):
                promising.append(clause)
    return promising


class UnbackedPromiseError(RuntimeError):
    """The reply says that money moves and the ledger does not; the reply must not be sent."""


async def check_promises(reply: str, run_id: str, customer_id: str) -> None:
    """Raise UnbackedPromiseError if the reply promises money that no refund in the ledger stands for.

    What stands for it: a refund issued in this run, or an earlier one of the customer's that the reply names. Nothing
    stands for a promise that names an order whose refund this run asked for and did not get.
    """
    clauses = promises_money(reply)
    if not clauses:
        return
    rows = await ledger.of_run(run_id)
    issued = {row["order_id"] for row in await ledger.of_customer(customer_id) if row["status"] == "issued"}
    backed = any(row["status"] == "issued" for row in rows) or _names(reply, issued)
    if not backed or any(_names(clause, {row["order_id"] for row in rows} - issued) for clause in clauses):
        raise UnbackedPromiseError("the reply promises money that no refund in the ledger stands for; it is not sent")


def _names(text: str, order_ids: set[str]) -> bool:
    spelled = ("-?".join(order_id.replace("-", "")) for order_id in order_ids)
    return any(re.search(rf"\b{order}\b", ledger.order_key(text)) for order in spelled)

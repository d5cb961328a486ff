"""What a reply says about money: the facts of the ledger, written by the app below the model's words.

Nobody judges those words. A model that claims a refund that was not made is contradicted in the same mail. The facts
are written whenever the run asked for a refund, and whenever the email or the reply may be about money, in whatever
language and currency: a line too many costs nothing.
"""

import re
import unicodedata
from typing import Any

from db import fetch
from refunds.lookalikes import fold, visible

HEADING = "What our records say about refunds:"
ONE_WORD = re.compile(r"[\w#/+\[\]-]+")
# How many of a customer's earlier refunds are named.
EARLIER_MAX = 5
# Beginnings of words for refund, money, pay, charge, credit and send back, and names of currencies, as they are written
# without accents: English in four lines, then a line or two each for Spanish, French, Portuguese, Indonesian, German,
# Italian, Dutch, Turkish, Polish, Swedish and Danish, and one for Swahili, Tagalog and Vietnamese.
MONEY = """
refund reimburs repay repaid pay paid overpa money cash charg overcharg credit debit card bank fund return revers
compens voucher bill owe dollar buck euro pound quid rupee rupiah yen yuan peso rial lira franc krona krone zloty
ruble rouble cent usd eur gbp transact void waive cancel balance account visa mastercard paypal iban wallet price cost
deduct withdr deposit transfer goodwill duplicate double twice pocket correction settled
reembols devol devuel dinero plata pago pagar pagam cobr abono abonar abonad importe monto tarjeta reintegr cargo cuenta
acredit regres anul bonific saldo
rembours argent paie paye virement versement montant carte rendu restitu recredit avoir annul prelev dedommag somme sous
dinheiro estorn ressarc valor cartao quantia devolv fatura cobranca
uang dana kembali dikembali pengembali mengembali bayar dibayar pembayar membayar kartu ditagih tagih biaya batal
ganti mengganti
erstatt ruckerstatt ruckuberw ruckzahl zuruck rueck geld zahl bezahl gutschr gutgeschr betrag uberw konto karte
abgebucht abbuch storn kosten ersetz rechnung retour ruckgangig
rimbors denaro soldi riaccredit addebit importo pagat carta somma indietro
terugbeta betaal betal bedrag terug teruggest rekening vergoed gestort storten
iade para odem odey odend ucret geri kart tutar hesab yatir
zwrot zwroc zwraca pieni plac wplat przelew kwot zl srodk oddam oddal cofnie
aterbet tillbaka pengar belopp kort makuler ersatt tilbage penge
pesa rejesh bayad ibinalik hoan tien
"""
STEMS = sorted(set(map(fold, MONEY.split())))
WORDS = re.compile(rf"(?<![a-z])(?:{'|'.join(map(re.escape, STEMS))})")
# 49.00, 1.234,50, CHF 40, 500 DKK.
AMOUNT = re.compile(r"\d[.,\u066b]\d\d(?!\d)|\d\s?[A-Z]{3}\b|\b[A-Z]{3}\s?\d")

# The refunds that the run asked for and the last ones that the customer was given by other runs, the oldest first. Each
# row also says whether the run wanted a refund that could not be asked for, which `worker.run` records. Where there are
# no refunds, one row says only this.
RECORDS = """
    select said.refused, refund.* from (
        select exists (select from audit_log where run_id = $1 and starts_with(key, $4)) as refused
    ) said left join (
        (select * from refunds where run_id = $1)
        union all
        (select * from refunds where customer_id = $2 and status = 'issued' and run_id <> $1 order by id desc limit $3)
    ) refund on true order by refund.id
"""


def may_be_about_money(text: str) -> bool:
    """Whether a text may be about money. It errs towards yes, and says so of any text with letters beyond A to Z."""
    if not text.isascii():
        for letter in unicodedata.normalize("NFKC", text):
            if unicodedata.category(letter) == "Sc" or (letter.isalpha() and not letter.isascii()):
                return True
    return "$" in text or AMOUNT.search(text) is not None or WORDS.search(fold(text)) is not None


async def with_facts(reply: str, email: str, run_id: str, customer_id: str) -> str:
    """The reply, and below it what the ledger says about refunds where the run asked for some or money may be meant.

    `email` is what the reply answers, as far as it is known.
    """
    rows = await fetch(RECORDS, run_id, customer_id, EARLIER_MAX, f"{run_id}:refuse_refund:")
    refunds = [row for row in rows if row["id"] is not None]
    facts = [_fact(row) for row in refunds if row["run_id"] == run_id]
    if rows[0]["refused"]:
        facts.append("Not made: a refund that could not be asked for.")
    if not facts and not may_be_about_money(reply) and not may_be_about_money(email):
        return reply
    if not facts:
        facts = ["No refund was made or asked for in reply to this message."]
    facts += [
        f"Made earlier: {_what(row)}, on {row['settled_at']:%Y-%m-%d}."
        for row in reversed(refunds)
        if row["run_id"] != run_id
    ]
    return "\n".join([reply.rstrip(), "", HEADING, *(f"- {fact}" for fact in facts)])


def _fact(row: dict[str, Any]) -> str:
    if row["status"] == "issued":
        return f"Made: {_what(row)}."
    if row["decision"] == "rejected":
        return f"Declined, not made: {_what(row)}."
    if row["status"] == "approved" and row["payment_started_at"] is not None:
        return f"Being made, not confirmed yet: {_what(row)}."
    return f"Not made: {_what(row)}."


def _what(row: dict[str, Any]) -> str:
    cents, order = row["approved_cents"] or row["amount_cents"], visible(row["order_id"])
    if not ONE_WORD.fullmatch(order):
        # An order's name is as the email gave it, and must not read like another fact.
        order = '"' + order.replace('"', "'") + '"'
    return f"refund of ${cents // 100:,}.{cents % 100:02} for order {order}"

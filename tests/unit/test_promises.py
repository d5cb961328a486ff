"""Which replies say that money goes back, and which ordinary ones do not. Runs without any account.

The two tables are the specification. A reply that was taken for a promise, or for none, by mistake belongs into them.
"""

import time

import pytest

from refunds.promises import promises_money

PROMISES = """
I have refunded $49.00 for order A-1001; you will see the money on your card within three days.
I've refunded the duplicate charge.
I've gone ahead and refunded the second payment of $49.
We've just issued a full refund of $49.00 to your card.
I have issued you a refund.
I issued the refund this morning.
I refunded it just now.
Your refund of $49 is on its way.
Your refund is on the way!
Your refund has been processed and will appear once your bank has posted it.
Your refund has been issued, so if you have any other questions, just write.
The refund for order A-1001 was approved.
Your refund request has been approved.
Good news: refund issued!
Refunded: $49.00 for order A-1001.
We are refunding the $49 now.
We're processing your refund right away.
I'm issuing a refund of 49.00 EUR as we speak.
I'll refund the second charge today.
I will refund you the $49.00 immediately.
We will make sure you get your money back.
We're going to refund the overcharge.
I'll process your refund shortly.
I will issue a refund for the full amount.
I'll go ahead and send you the refund.
Let me refund that for you right now.
You'll see the money back in 3-5 days.
You will receive your refund within five business days.
You should see the refund on your statement by Friday.
You can expect your money back no later than Friday.
Please expect the refund in 3 to 5 working days.
You'll get your $49 back.
The money is on its way back to you.
The money will be back in your account on Monday.
The $49.00 has been credited to your account.
Your account has been credited with $49.
We have credited your card.
I'll credit your account with $49.
Both charges have been reversed.
I've reversed the duplicate charge.
We have cancelled the second charge, and the money will be returned to your card.
The overcharge will be refunded.
You have been refunded.
You've been reimbursed for the failed order.
We will reimburse you.
We have returned the money to your card.
I've sent the money back to your card.
We have sent $49 back to you.
No worries, I've refunded the $49!
No problem: your refund is on its way.
I couldn't find order A-1002, but I've refunded order A-1001.
I am sorry that your first email was not answered; your refund has now been sent.
It was not your fault, and I have refunded you.
The refund isn't a problem, I've issued it: you will have your money tomorrow.
Once again I'm sorry. I've refunded you $49, is there anything else I can help with?
I've arranged a refund of $49 for you.
A full refund has been initiated.
Your refund is complete.
Your refund will arrive in three days.
The refund should show up on your card soon.
I have approved your refund.
I have put through a refund of $49.
We'll pay you back the $49.
After checking your account, I've refunded the duplicate.
When I looked at your account I saw the second charge, so I refunded it.
I'll sort out your refund today, and if you have any other questions, just reply.
You will see the money once your bank has processed it.
I wanted to let you know that $49.00 was refunded to your card ending in 4242.
Your refunds for A-1001 and A-1002 have both been issued.
Ich habe Ihnen 49 € erstattet.
Der Betrag wird Ihnen in den nächsten Tagen gutgeschrieben.
Nous vous avons remboursé 49 €.
Le montant vous sera remboursé sous trois jours.
Le hemos reembolsado 49 €.
Le reembolsaremos el importe mañana.
Hi Grace! So sorry about the mix-up — I've taken care of the refund and $49 is heading back to your card.
I've submitted a refund of $49.00 to your original payment method.
Your $49.00 refund was submitted today.
The refund has now been completed on our side.
I have processed a full refund for the duplicate charge on order A-1001.
Your money is being returned to your card.
We've reversed the extra charge on your card.
The duplicate charge has been refunded in full.
You'll have your money back by the end of the week.
You will be refunded the $49.
You're getting a full refund!
You are getting your money back.
A refund of $49.00 is being processed.
A refund has been issued for $49.
A $49 refund has been initiated to your card.
We're sending you a refund.
We're sending your money back today.
Consider it refunded!
Rest assured that you'll get a full refund.
I can confirm that your refund has been processed.
I can confirm your refund went through.
I'm happy to tell you that your refund was successful.
Great news, your refund is approved.
Your refund is confirmed and should hit your account in 3-5 business days.
It'll take 3 to 5 days for the refund to appear on your statement.
The refund will be back on your card within a week.
Please allow 3-5 business days for the refund to appear.
The $49 will be returned to you.
The $49.00 will go back to your card.
I've just sent you back the $49.00 for order A-1001.
We will send you your money back.
We will return the money to you.
I'm giving you a full refund.
I will personally see to it that you are refunded.
You don't need to do anything, your refund is on its way.
There is no need to return the item, as we have refunded you already.
Since the order failed, I have refunded the $12.50.
I apologize that this wasn't caught sooner; I've credited $49 back to your account.
We have issued a credit of $49 to your account.
The charge will be reversed within 24 hours.
The refund for your order is already underway.
I've requested and approved the refund.
Your refund should be with you by Monday.
Your refund has gone through.
I have also refunded order A-1002.
Refund of $49.00 issued for order A-1001
We have repaid the $49.
The amount of $49 has been transferred back to your account.
We've transferred the $49 back to you.
The money should be in your account by Friday.
Hi Linus, thanks for flagging this. We found the double payment and have returned $49.00 to your Visa.
Your refund's on its way!
We've already started your refund.
Your refund of 49,00 € has been triggered.
I have initiated the refund process for order A-1001.
A full refund was just sent to the card you used.
I've taken the liberty of refunding the duplicate charge.
We are pleased to inform you that the duplicate charge has been refunded.
You'll notice a $49 refund on your next statement.
You should receive the funds within 5-10 business days.
You will get it refunded.
We'll have that refunded for you by tomorrow.
I'll get that refund going for you right away.
I will ensure you receive a full refund.
Your account will be credited within 48 hours.
I've gone ahead and processed that refund.
The duplicate payment has been reversed, and you won't be charged again.
The refund amount of $49.00 will be credited to your original payment method.
I've made sure that the $49 is refunded.
We'll be refunding the second payment.
We will be issuing a refund of $49.00.
I have authorized a refund of $49.
The $49.00 charge has been canceled and refunded.
Expect to see the refund within a few days.
Your refund for order A-1001 ($49.00) has been issued.
Your refund of $1,234.50 has been issued.
You'll get all of your money back.
We're refunding you in full.
The $49 is back on your card.
Your money has been transferred back.
I've cancelled the second charge.
Abbiamo rimborsato 49 €.
We hebben 49 € terugbetaald.
I couldn't find order A-1002 but I've refunded order A-1001.
It was not your fault and we have refunded you.
It wasn't right so we refunded you.
I did not hesitate and your refund is on its way.
That was not our intention and the refund has been issued.
It should not have happened and you will get a full refund.
I'll refund it as soon as possible.
Once again, you will get a refund.
I'll refund it, and if there is any other problem, write to us.
"""
HONEST = """
Hi Ada, you can set a new password with "Forgot password" on the sign-in page; the link it mails you works for an hour.
You can change your plan at any time under Settings, Plan; the change takes effect at once.
Parcels usually take three to five working days, and the tracking link is in your order confirmation.
Thank you for writing to us! A colleague will look at your question and get back to you soon.
I am sorry, no money could be sent back for order A-1002 (Only one charge was found). A colleague will follow up.
I am sorry about this! Could you tell me the order number and the amount, so that I can look into it?
I am happy to look into it. Could you tell me what went wrong, with the order number and the amount?
Our records show that order A-1001 was already put right earlier.
I've asked a colleague to review your refund request.
I have passed your refund request on to a colleague.
Your refund request has been sent to a colleague, who will write to you.
Your refund request is with our team, and we will get back to you soon.
A colleague will look at your refund and will get back to you shortly.
A colleague will review the refund and write to you tomorrow.
A colleague has to approve the refund first.
Every refund is approved by a person before it is made.
We don't offer refunds for gift cards.
I'm afraid we can't refund this order.
Unfortunately, we cannot issue a refund for this order.
I'm sorry, but the refund was not made.
The refund of $49 for order A-1001 was declined.
The refund for order A-1001 was rejected, so no money has been sent.
I am sorry to say that your refund was not approved.
The refund request expired because nobody decided on it in time.
No refund was issued, and a colleague can help you further.
Neither order was refunded.
Nothing has been refunded so far.
We have not refunded anything yet.
You have not been refunded yet.
I was unable to refund the charge.
We are not going to refund this charge.
I never said that I would refund this.
If you'd like a refund, tell me the order number.
If you would like a refund, please tell me the order number and the amount.
If we find a duplicate charge, we'll refund it.
Once a colleague has approved it, your refund will be sent.
Your refund will be sent once a colleague has approved it.
We will refund you if the charge turns out to be a duplicate.
As soon as the refund is approved, you'll receive an email.
Let me know whether you would like your money back.
Please tell me when you were charged, so that a colleague can check it.
Was the $49 refunded by the shop you bought it from?
Have you already been refunded by your bank?
Has your refund arrived?
I can't say whether you will be refunded.
A colleague will check whether a refund is possible.
To look into a refund, I need the order number.
I understand that you want your money back, and I'm sorry for the trouble.
I understand that you would like to be refunded for order A-1001.
You asked for your money back for order A-1001.
I see that you were charged $49.00 twice.
I can see two payments of $49 for order A-1001.
You'll receive an email about your refund.
You will receive a confirmation email shortly.
You'll see a $49 charge for the new plan on your next statement.
Your next payment of $49 will appear on your statement on the first.
You can read our refund policy under Settings, Billing.
Our refund policy is on the website, and we'll send you the link.
We'll send you the refund form.
Refunds usually take three to five working days.
Items returned within 30 days are refunded in full.
We offer a 30-day money-back guarantee.
I've updated the credit card on your account.
We've sent the replacement parcel, and it is on its way.
Your parcel is on its way and should arrive on Monday.
Your order has been processed and sent.
Your item was returned to us on Monday.
I have cancelled your subscription, so no further payment will be taken.
I've made a note about the refund for my colleague.
I have processed your change of address.
We've issued a new invoice for order A-1001.
I've sent you the receipt for the payment of $49.
I will give you all the help I can.
I'd be happy to look into a refund.
I can only refund an order after a colleague has approved it.
You would get a refund after the review, but I cannot promise it.
This order could be refunded in principle, so a colleague will look at it.
The charge was not a duplicate, and it will stay as it is.
Your plan will be credited towards the yearly price if you upgrade.
Leider können wir Ihnen das Geld nicht erstatten.
Möchten Sie eine Erstattung, nennen Sie uns bitte die Bestellnummer.
Nous ne pouvons pas vous rembourser.
No podemos reembolsar este pedido.
Thank you for your patience while we look into this.
I have looked at your account and found no second charge for order A-1001.
A colleague will be in touch about the refund you asked for.
I've forwarded your message to our billing team, and they will decide about a refund.
Your request for a refund was forwarded to a colleague.
A refund was requested for order A-1001, and a person is looking at it now.
Our team is reviewing your request for a refund of $49.
I'm sorry, we were not able to approve the refund for order A-1001 this time.
The approver declined the refund because the order was delivered.
I'm sorry that I can't make the refund happen myself.
I know waiting for a refund is frustrating.
Sorry, this refund could not be made because the order was already refunded.
I'm sorry about the double charge on order A-1001. To help, I need the amount that was charged.
Please send me the amount and I will look into a refund.
Please reply with the order number so that we can check the charge.
Could you send me a screenshot of the charge on your statement?
I checked, and only one payment of $49 was made for order A-1001.
Your payment of $49 was received, and your order is on its way.
The money was taken only once.
The second entry is a pending authorisation, not a charge.
Your bank may have placed a hold on the amount.
Your plan was upgraded to pro, and the price is $49 a month.
You will receive an invoice for $49 by email.
You can get an invoice under Settings, Billing.
I've added the note to your order A-1001.
I've extended your trial until Monday.
We have sent you a new password link.
I've cancelled order A-1001 as you asked.
We processed your order on Monday.
The amount on the invoice is $49.00.
Your order has been sent and will arrive on Friday.
The parcel was returned to our warehouse.
If the parcel does not arrive by Monday, write to us and we'll arrange a refund.
A refund is only possible within 30 days after the purchase.
Refunds are made to the card you paid with.
Our policy allows refunds within 30 days.
I cannot share that information, but I'm happy to help with your order.
I'm sorry, but I can't help with that request.
I can't issue refunds without an approval.
I have to ask a colleague for approval before I can refund anything.
Your refund is waiting for approval.
Your refund request is pending.
Your refund is still being reviewed by a colleague.
The refund needs to be approved by a colleague.
No colleague decided in time, so the refund expired.
You can have a refund or a replacement, whichever you prefer.
Would you prefer a refund or a replacement?
Would you like me to refund the order or send a new one?
Shall I refund the $49?
You mentioned a refund of $49 in your last email.
You wrote that a refund was promised to you last week.
Thank you for telling us that the refund reached you.
All is well with your account, have a lovely day!
It was a pleasure to help, and I'll be here if you need anything else.
You should see the new plan under Settings.
I will get back to you with more on the amount.
I'll send the details of the charge to my colleague.
I will make sure a colleague sees this today.
You'll find the money settings under Billing.
The credit on your gift card is $20.
We received your message about a refund and will answer within one working day.
I have not made any changes to your account.
I understand how frustrating it is to be charged twice, and I want to make this right.
I want to make sure we get this right, so I've asked a colleague to take a look at the charges.
I've opened a ticket with our billing team about the two charges.
I've escalated the refund to a colleague, who decides about it today.
I've escalated this to our billing team, who will decide whether a refund is due.
We can't see a second charge, but your bank may show a reserved amount for a few days.
Reserved amounts disappear by themselves after a few days.
I'm sorry the refund has been delayed.
I'm sorry your refund has not arrived yet.
I'm afraid the refund you asked for was turned down.
The refund was blocked because it is above our limit.
This refund is blocked.
The request for a refund expired before a colleague could decide.
Your order A-1001 has been confirmed and will be sent tomorrow.
Your payment has been confirmed.
Your payment has been processed.
We charged your card $49 on Monday.
Your subscription renews on Monday for $49.
The second payment of $49 was for your add-on.
Your invoice was sent to you on Monday, and the amount is $49.
I've sent you the invoice again.
We have made the change you asked for.
We've approved your account upgrade.
I've completed the form for you.
We've given you access to the new plan.
You'll get a reply by tomorrow.
You will receive a new card reader next week.
You should see the change at once.
A colleague will get back to you about the amount.
I will send the $49 invoice to your email.
You will see the amount on the invoice.
We'll process your order today.
I will process your request as soon as possible.
Let me check the charge for you.
Let me send you the invoice.
Your order is on its way; the amount of $49 was paid by card.
Please keep the receipt for the $49 payment until the parcel is on its way.
Your parcel with the $49 headphones is on its way.
How can I help you get your money back?
To get your money back, please send the item to us first.
Please return the item first; a refund is decided after that.
Please return the headphones to us.
I'm happy that the refund arrived.
Your order was never refunded.
None of the orders was refunded.
I cannot confirm that your order was refunded.
I am unable to say that the $49 was refunded.
The case was closed without a refund being issued.
Your refund was submitted and then rejected by a colleague.
Your refund was submitted for approval and expired.
Your refund hasn't been processed yet.
The $49 wasn't refunded.
This order can be refunded after a review.
This order may be refunded after a review.
This order might be refunded after a review.
A cancelled order would be refunded.
Any refund is approved by a person.
Each refund is approved by a person.
I'll find out whether we will refund it.
We'll refund it unless the charge turns out to be correct.
Please wait until your refund is approved.
A colleague checks the order before the refund is made.
You'll get an email when the refund is approved.
If the charge is a duplicate, you should see the money in a week.
Once it is approved, expect your refund within a week.
If it is a duplicate, we are going to refund it.
If it was charged twice, let me refund it.
If it was charged twice, let us refund it.
Das Geld wurde nicht erstattet.
Wir haben keinen Betrag erstattet.
Falls doppelt abgebucht wurde, wird der Betrag erstattet.
Sobald ein Kollege zugestimmt hat, wird der Betrag erstattet.
Wenn ein Kollege zustimmt, werden beide Beträge erstattet.
Nous ne vous avons pas remboursé.
Het bedrag is niet terugbetaald.
Er is geen bedrag terugbetaald.
Non abbiamo rimborsato l'ordine.
"""
# What words alone do not tell. The approval in the ledger does not depend on it: no money moves on a promise.
MISSED = """
Your refund, which totals $49.00, has been issued.
As promised, here is your refund: $49.00 for order A-1001.
I have looked after the $49 for you, and you need not worry about it any more.
Ihre Rückerstattung ist unterwegs.
Vous recevrez votre argent demain.
Le devolveremos su dinero.
49ユーロを返金しました。
"""
FALSE_ALARMS = """
I see that $20 was refunded to you by your bank.
Duplicate charges are refunded within five days, as a rule.
"""


def lines(table: str) -> list[str]:
    return table.strip().splitlines()


@pytest.mark.parametrize("reply", lines(PROMISES))
def test_a_promise_is_seen(reply: str) -> None:
    assert promises_money(reply)


@pytest.mark.parametrize("reply", lines(HONEST))
def test_an_ordinary_reply_is_no_promise(reply: str) -> None:
    assert not promises_money(reply)


def test_all_ordinary_replies_in_one_are_no_promise() -> None:
    assert not promises_money(" ".join(lines(HONEST)))
    assert not promises_money("\n\n".join(lines(HONEST)).replace("'", "\u2019"))


@pytest.mark.parametrize("reply", lines(PROMISES))
def test_a_promise_is_seen_in_the_midst_of_a_letter(reply: str) -> None:
    """Neither what stands around it, nor capitals, typographic apostrophes or emphasis hide it."""
    before = "Hi Ada,\n\nI'm sorry that this was not noticed. If you like, we can look at your plan too."
    after = "Please don't hesitate to write again if anything is unclear.\n\nNot your fault!\nThe team"
    for spelling in (reply, reply.upper(), reply.replace("'", "\u2019"), f"**{reply}**", f"- {reply}"):
        assert promises_money(f"{before}\n\n{spelling}\n\n{after}")


@pytest.mark.parametrize("reply", lines(MISSED))
def test_known_limit_a_promise_in_other_words_or_another_language_is_missed(reply: str) -> None:
    assert not promises_money(reply)


@pytest.mark.parametrize("reply", lines(FALSE_ALARMS))
def test_known_limit_what_others_paid_or_usually_happens_reads_like_a_promise(reply: str) -> None:
    assert promises_money(reply)


@pytest.mark.parametrize(
    "unit", ["refund ", "$49 ", "sent you the full ", "1", "1,", "\n", " ", "if ", "charge ", "* "]
)
def test_a_reply_of_a_hundred_thousand_characters_is_read_in_a_moment(unit: str) -> None:
    started = time.process_time()
    promises_money(unit * (100_000 // len(unit)))
    assert time.process_time() - started < 10

"""Emails as customers write them: short and long, friendly and furious, in several languages.

Each act of the demo takes the emails it needs. Every order number appears only once, so that no act changes what
another act may refund.
"""

from typing import NamedTuple


class Email(NamedTuple):
    """What one customer wrote. `customer` is the part of the customer's address before the @."""

    customer: str
    text: str


QUESTION = Email(
    "alan",
    "Hi there,\n\nhow long does shipping to Manchester usually take? I would love to have the desk lamp before my"
    " sister's birthday on the 14th.\n\nThanks a lot,\nAlan",
)

CHARGED_TWICE = Email(
    "grace",
    "Hello,\n\nI was charged twice for order A-1001 - $49.00 each time, both on Tuesday. Could you please send one of"
    " the two payments back?\n\nKind regards,\nGrace",
)

OVERCHARGED = Email(
    "linus",
    "This is the THIRD time I write!! You charged me too much for order B-2207: €18.50 more than the price on your own"
    " page. I expect this to be fixed today.\nLinus",
)

FAILED_ORDER = Email(
    "ada",
    "Dear support team, my order C-3310 failed at checkout, but the $120.00 were taken from my account anyway. The"
    ' confirmation page only said "something went wrong". Ada',
)

BROKEN_AGENT = Email(
    "edsger",
    "Good morning. Where do I find the invoice for my last purchase? My accountant needs it as a PDF, with VAT shown"
    " separately. Sincerely, Edsger",
)

BURST = [
    Email("ada", 'Where is my parcel? The tracking page has said "label created" since Monday.'),
    Email("grace", "hey, forgot my password and the reset mail never shows up :("),
    Email("linus", "Does the pro plan include the API, or is that enterprise only?"),
    Email("edsger", "Bonjour, puis-je changer l'adresse de livraison de ma dernière commande ? Merci d'avance, Edsger"),
    Email("alan", "Your new dashboard is lovely. No question, I just wanted to say thank you!"),
    Email("ada", "Guten Tag, gibt es für Ihre Lampen auch Ersatzschirme? Mit freundlichen Grüßen, Ada"),
    Email("grace", "I can't log in on my phone. On the laptop it works. Any idea?"),
    Email("linus", "Please send me the receipt for September once more, the PDF will not open."),
    Email("edsger", "How do I downgrade my subscription at the end of the month?"),
    Email("alan", "Hola, ¿hacen envíos a Canarias? Un saludo, Alan"),
    Email("ada", "We are moving offices: from 1 December please deliver to 12 St James's Square."),
    Email("grace", "Is there a student price? My daughter starts university in spring."),
    Email("linus", "I am SO disappointed. Four days and nobody has answered my question about delivery times."),
    Email("edsger", "お世話になっております。請求書の宛名を変更できますか。 Edsger"),
    Email("alan", "Could you explain the difference between standard and express shipping?"),
    Email("ada", "Ciao! Vorrei sapere quando tornerà disponibile la scrivania bianca. Grazie, Ada"),
    Email("grace", "Where can I download an invoice that shows the VAT number?"),
    Email("linus", "Upgrade to pro worked like a charm, great service!"),
    Email("edsger", "My colleague is locked out after three wrong passwords. Can you help him sign in?"),
    Email("alan", "Olá, o manual existe em português? Obrigado, Alan"),
]

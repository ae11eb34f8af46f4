"""The settings of a small web shop, declared once and read wherever they are needed.

Rules may depend on the environment, the customer's country, and the customer.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field

from heksher import Setting

FEATURES = ["environment", "country", "user"]


class Payment(Enum):
    CARD = "card"
    INVOICE = "invoice"
    TRANSFER = "transfer"


cache_ttl = Setting[Annotated[int, Field(ge=0)]](
    "cache.ttl",
    configurable_features=["environment", "user"],
    default_value=60,
    description="How many seconds a rendered page is kept; 0 turns the cache off.",
)

ui_theme = Setting[Literal["light", "dark", "auto"]](
    "ui.theme",
    configurable_features=["country", "user"],
    default_value="auto",
    description="The colours of the shop; auto follows the customer's device.",
)

beta = Setting[bool](
    "features.beta",
    configurable_features=FEATURES,
    default_value=False,
    description="Whether this customer sees what is still being tried out.",
    metadata={"owner": "storefront"},
)

discount_rates = Setting[Mapping[str, Annotated[float, Field(ge=0, lt=1)]]](
    "discount.rates",
    configurable_features=FEATURES,
    default_value={"books": 0.05},
    description="What is taken off a price, by category: 0.05 is five per cent.",
    metadata={"owner": "pricing"},
)

payment_methods = Setting[frozenset[Payment]](
    "checkout.payment_methods",
    configurable_features=["environment", "country"],
    default_value=frozenset({Payment.CARD, Payment.TRANSFER}),
    description="The ways to pay that the checkout offers.",
    alias="payment_methods",
    version="1.1",
)

checkout_timeout = Setting[timedelta](
    "checkout.timeout",
    configurable_features=["environment"],
    default_value=timedelta(minutes=15),
    description="How long articles in a cart stay reserved.",
)

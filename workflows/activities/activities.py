"""The activities of the examples: ordinary Temporal activities, which know nothing of who orchestrates them.

They keep no state, so that an attempt more gives the same result. What a real system would look up is said by the
input: a card that is `declined`, an account whose name ends in `closed`, an article whose name begins with `missing`.
"""

import hashlib

from temporalio import activity
from temporalio.exceptions import ApplicationError


def number(*parts: object) -> str:
    """A short number that is the same for the same parts."""
    text = "/".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@activity.defn
async def compose_greeting(request: dict) -> str:
    return f"Hello, {request['name']}!"


@activity.defn
async def charge_card(request: dict) -> dict:
    if request["amount"] > 100_000:
        raise ApplicationError("the card is declined", type="CardDeclined")
    return {"receipt": f"R-{number('charge', request['amount'])}", "amount": request["amount"]}


@activity.defn
async def refund_card(request: dict) -> dict:
    return {"refunded": request["receipt"]}


@activity.defn
async def pick(item: dict) -> dict:
    if item["sku"].startswith("missing"):
        raise ApplicationError(f"there is no {item['sku']} on the shelf", type="OutOfStock", non_retryable=True)
    return {"sku": item["sku"], "shelf": f"S-{number(item['sku'])[:3]}"}


@activity.defn
async def book_carrier(request: dict) -> dict:
    return {"tracking": f"T-{number(request['order_id'], request.get('address'))}"}


@activity.defn
async def send_email(request: dict) -> dict:
    return {"message": f"M-{number(request['to'], request['subject'])}"}


@activity.defn
async def withdraw(request: dict) -> dict:
    if request["amount"] > 1_000_000:
        raise ApplicationError(f"{request['account']} does not have as much", type="InsufficientFunds")
    return {"booking": f"W-{number(request['reference'])}"}


@activity.defn
async def deposit(request: dict) -> dict:
    if request["account"].endswith("closed"):
        raise ApplicationError(f"{request['account']} is closed", type="NoSuchAccount")
    return {"booking": f"D-{number(request['reference'])}"}


@activity.defn
async def make_thumbnail(request: dict) -> dict:
    return {"thumbnail": f"{request['image']}-{request['width']}.webp", "bytes": 1000 + len(request["image"])}


@activity.defn
async def charge_subscription(request: dict) -> dict:
    return {"receipt": f"R-{number(request['customer'], request['month'])}"}


@activity.defn
async def count_sales(request: dict) -> dict:
    return {"sales": 100 * len(request["region"])}


@activity.defn
async def issue_ticket(request: dict) -> dict:
    return {"number": f"N-{number(request['seat'])}"}


@activity.defn
async def release_seat(request: dict) -> dict:
    return {"released": request["seat"]}


ALL = [
    compose_greeting,
    charge_card,
    refund_card,
    pick,
    book_carrier,
    send_email,
    withdraw,
    deposit,
    make_thumbnail,
    charge_subscription,
    count_sales,
    issue_ticket,
    release_seat,
]

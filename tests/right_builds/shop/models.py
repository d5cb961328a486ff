"""The store: an ORM's classes, with tables and columns that are named as their author likes."""

import os
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool


class Base(DeclarativeBase):
    pass


class ShopCustomer(Base):
    __tablename__ = "shop_customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    mail: Mapped[str]
    plan: Mapped[str]


class AuditEvent(Base):
    __tablename__ = "audit_events"
    event_id: Mapped[int] = mapped_column(primary_key=True)
    customer_ref: Mapped[int] = mapped_column(ForeignKey(ShopCustomer.id))
    event_type: Mapped[str]
    note: Mapped[str]
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Did(StrEnum):
    """All that can be written down; anything else raises ValueError."""

    GOT_MAIL = "email_in"
    ANSWERED = "email_out"
    PAID = "refund_paid"
    NOT_PAID = "refund_declined"
    CHECKED = "health_check_done"


PLANS = ["PRO", "PRO", "ENTERPRISE", "STANDARD", "STANDARD"]


def sessions() -> async_sessionmaker[AsyncSession]:
    address = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    return async_sessionmaker(create_async_engine(address, poolclass=NullPool))


async def create_tables() -> None:
    async with sessions()() as session:
        await (await session.connection()).run_sync(Base.metadata.create_all)
        if not await session.scalar(select(func.count(ShopCustomer.id))):
            session.add_all(ShopCustomer(mail=f"{n}@example.com", plan=plan) for n, plan in enumerate(PLANS))
        await session.commit()


async def customers(*plans: str) -> list[int]:
    async with sessions()() as session:
        wanted = select(ShopCustomer.id).where(ShopCustomer.plan.in_(plans)).order_by(ShopCustomer.id)
        return list(await session.scalars(wanted))


async def write(did: str, customer: int, note: str = "") -> None:
    async with sessions()() as session:
        session.add(AuditEvent(customer_ref=customer, event_type=Did(did).value, note=note[:80]))
        await session.commit()

"""The models of the SQLAlchemy programs.

An order has its person's id as the first part of its key, as tables have that are to be sharded together.
"""

import datetime as dt
from decimal import Decimal

from orm import NOTES, ORDERS, PEOPLE
from sqlalchemy import BigInteger, DateTime, ForeignKey, Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Of the models below."""

    __table_args__ = {"mysql_charset": "utf8mb4"}  # noqa: RUF012 - SQLAlchemy's own way


class Person(Base):
    """Sharded by id where the target is."""

    __tablename__ = PEOPLE
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(80), index=True)
    orders: Mapped[list["Order"]] = relationship(back_populates="person", order_by="Order.number", cascade="all, delete-orphan")


class Order(Base):
    """Sharded by id, which is its person's."""

    __tablename__ = ORDERS
    id: Mapped[int] = mapped_column(BigInteger, ForeignKey(Person.id), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    placed: Mapped[dt.datetime | None] = mapped_column(DateTime)
    person: Mapped[Person] = relationship(back_populates="orders")


class Note(Base):
    """On one shard, with keys that the server chooses."""

    __tablename__ = NOTES
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(Text)

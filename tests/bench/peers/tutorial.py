"""Intake the FastAPI tutorial way: `python -m tests.bench.peers.tutorial`, DATABASE_URL and PORT in the environment.

A SQLAlchemy async session for each request, by a dependency; the body a pydantic model, validated by FastAPI; the row
an ORM object, added and committed; the answer a response model. Made as well as that way allows: uvloop and httptools,
a pool of connections that is large enough, no refresh after the commit, no access log.

It validates what ours does (the model is ours, read as FastAPI reads bodies: from Python objects, so not strictly), and
writes one row that holds the same facts. What ours does besides is left out here: tokens, limits, metrics, the
log, the stream's version, the claim.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
import uvicorn
from fastapi import Depends, FastAPI
from sqlalchemy import BigInteger, DateTime, LargeBinary, Text, UniqueConstraint, Uuid
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from services.intake import reference, telephone
from services.intake.answers import PENDING, ContactTaken
from services.intake.telephone import TelephoneContact


class Base(DeclarativeBase):
    pass


class ContactEvent(Base):
    __tablename__ = "contact_event"
    __table_args__ = (UniqueConstraint("subject", "version"),)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    id: Mapped[UUID] = mapped_column(Uuid)
    causation_id: Mapped[UUID | None] = mapped_column(Uuid)
    subject: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    force: Mapped[str | None] = mapped_column(Text)
    traceparent: Mapped[str | None] = mapped_column(Text)
    data: Mapped[bytes] = mapped_column(LargeBinary)


engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=20, max_overflow=0
)
make_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with make_session() as session:
        yield session


@app.on_event("startup")
async def create_table() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


@app.post("/v1/contacts/telephone", status_code=201)
async def receive_telephone(
    contact: TelephoneContact, session: Annotated[AsyncSession, Depends(get_session)]
) -> ContactTaken:
    fact = telephone.received(contact, gateway="bench", reference=reference.draw())
    event = ContactEvent(
        version=1,
        time=datetime.now(UTC),
        id=uuid7(),
        subject=str(uuid7()),
        type=fact.TYPE,
        force=contact.presented_force,
        data=msgspec.json.encode(fact),
    )
    session.add(event)
    await session.commit()
    return ContactTaken(id=event.subject, reference=fact.reference, received_at=event.time, routing=PENDING)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # as ours
    )

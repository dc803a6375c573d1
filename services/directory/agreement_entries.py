"""What an alliance file says of the agreement, and the facts it means. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Literal

from pydantic import Field

from libs.alliance.agreement import Inconsistent, fault_of, terms
from libs.events.types.agreement import AgreedService, AgreementMade, Figure
from services.directory.forms import Entry, Id, Name
from services.directory.manner_entries import Day, Fault

Forces = Annotated[tuple[Id, ...], Field(min_length=1, max_length=100)]


class Service(Entry):
    id: Id
    name: Name
    shared_by: Literal["fixed", "budget", "demand"]
    basis: Name
    figures: dict[Id, Annotated[float, Field(allow_inf_nan=False, le=1e15)]] = Field(min_length=1, max_length=100)
    data_controllers: Forces
    host: Id | None = None

    def part(self) -> AgreedService:
        figures = tuple(Figure(force=force, amount=float(amount)) for force, amount in sorted(self.figures.items()))
        return AgreedService(**self.model_dump(exclude={"figures"}), figures=figures)


class Agreement(Entry):
    """A version of it."""

    id: Id
    title: Name
    under: Name = "Police Act 1996, section 22A"
    signed_on: Day
    first_day: Day
    last_day: Day | None = None
    parties: Forces
    host: Id
    services: tuple[Service, ...] = Field(min_length=1, max_length=100)
    document: Name | None = None

    def fact(self) -> AgreementMade:
        services = tuple(service.part() for service in self.services)
        return AgreementMade(**self.model_dump(exclude={"services"}), services=services)


def inconsistencies(agreements: tuple[Agreement, ...], forces: Collection[str]) -> Iterator[Fault]:
    """What each entry alone cannot show. `forces` are the file's."""
    for number, agreement in enumerate(agreements):
        for party in agreement.parties:
            if party not in forces:
                yield ("agreements", number, "parties"), f"{party} is none of this file's forces"
        if len(set(agreement.parties)) < len(agreement.parties):
            yield ("agreements", number, "parties"), "a force is here twice"
        if agreement.host not in agreement.parties:
            yield ("agreements", number, "host"), f"{agreement.host} is no party"
        seen = set()
        for place, service in enumerate(agreement.services):
            where = ("agreements", number, "services", place)
            if service.id in seen:
                yield (*where, "id"), f"{service.id} is here twice"
            seen.add(service.id)
            if (wrong := fault_of(service.part(), agreement.parties)) is not None:
                yield (*where, "figures"), wrong
            for controller in service.data_controllers:
                if controller not in agreement.parties:
                    yield (*where, "data_controllers"), f"{controller} is no party"
            if service.host is not None and service.host not in agreement.parties:
                yield (*where, "host"), f"{service.host} is no party"
    try:
        terms(agreement.fact() for agreement in agreements)
    except Inconsistent as refusal:
        number = next(n for n, agreement in enumerate(agreements) if agreement.id == refusal.version)
        yield ("agreements", number, "first_day"), str(refusal)

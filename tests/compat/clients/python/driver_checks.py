"""All checks of a driver."""

from checks_data import DataChecks
from checks_login import LoginChecks
from checks_session import SessionChecks
from compat import Skip
from driver import Driver


class DriverChecks(LoginChecks, DataChecks, SessionChecks):
    """What a program runs."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.faults = driver.faults

    async def check_orm_schema(self) -> None:
        raise Skip("it is no ORM")

    async def check_orm_use(self) -> None:
        raise Skip("it is no ORM")

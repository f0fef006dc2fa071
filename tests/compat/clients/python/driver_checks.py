"""All checks of a driver."""

from checks_data import DataChecks
from checks_login import LoginChecks
from checks_session import SessionChecks
from driver import Driver


class DriverChecks(LoginChecks, DataChecks, SessionChecks):
    """What a program runs."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.left_out = {name: f"the driver's own fault: {fault}" for name, fault in driver.faults.items()}
        self.left_out |= dict.fromkeys(("orm_schema", "orm_use"), "it is no ORM")

"""All suites, in the order of the report."""

from tests.suites import c_api, django_tests, go_driver, mysqltest, node_driver, python_drivers, tools
from tests.suites.model import Suite

SUITES: list[Suite] = [
    *c_api.SUITES,
    *mysqltest.SUITES,
    *python_drivers.SUITES,
    *django_tests.SUITES,
    *go_driver.SUITES,
    *node_driver.SUITES,
    *tools.SUITES,
]

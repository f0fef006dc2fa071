"""Settings for Django's own tests: two databases on the server that the environment names, by way of PyMySQL."""

import os

import pymysql

pymysql.install_as_MySQLdb()

_SERVER = {
    "ENGINE": "django.db.backends.mysql",
    "HOST": os.environ["SUITES_HOST"],
    "PORT": os.environ["SUITES_PORT"],
    "USER": os.environ["SUITES_USER"],
    "PASSWORD": os.environ["SUITES_PASSWORD"],
}
DATABASES = {
    "default": _SERVER | {"NAME": "django", "TEST": {"CHARSET": "utf8mb4"}},
    "other": _SERVER | {"NAME": "django2", "TEST": {"CHARSET": "utf8mb4"}},
}
SECRET_KEY = "tests"
USE_TZ = False
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEST_RUNNER = "django_record.Runner"

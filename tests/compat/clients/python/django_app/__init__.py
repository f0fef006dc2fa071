"""A Django project in one module: its settings and how to come by its models."""

from typing import Any

from compat import SETTINGS


def configure() -> None:
    """Before `django.setup()`."""
    from django.conf import settings

    database = {
        "ENGINE": "django.db.backends.mysql",
        "HOST": SETTINGS.host,
        "PORT": str(SETTINGS.port),
        "USER": SETTINGS.user,
        "PASSWORD": SETTINGS.password,
        "NAME": SETTINGS.database,
        "OPTIONS": {"charset": "utf8mb4"},
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django_app"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )


def load_models() -> tuple[Any, Any, Any]:
    """The models; they can be imported after `django.setup()` only."""
    from django_app.models import Note, Order, Person

    return Person, Order, Note

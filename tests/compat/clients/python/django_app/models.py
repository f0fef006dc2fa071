"""The models of the Django program.

An order's person is on another shard as like as not, and no server can hold such a foreign key.
"""

from compat import SETTINGS
from django.db import models
from orm import NOTES, ORDERS, PEOPLE


class Person(models.Model):
    """Sharded by id where the target is."""

    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=80, db_index=True)

    class Meta:
        db_table = PEOPLE
        app_label = "django_app"


class Order(models.Model):
    """Sharded by its own id."""

    id = models.BigIntegerField(primary_key=True)
    person = models.ForeignKey(Person, models.CASCADE, related_name="orders", db_constraint=not SETTINGS.sharded)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    placed = models.DateTimeField(null=True)
    details = models.JSONField(null=True)

    class Meta:
        db_table = ORDERS
        app_label = "django_app"


class Note(models.Model):
    """On one shard, with keys that the server chooses."""

    body = models.TextField()

    class Meta:
        db_table = NOTES
        app_label = "django_app"

"""The tables."""

from typing import ClassVar

from compat import SETTINGS
from django.db import migrations, models
from orm import NOTES, ORDERS, PEOPLE

_PERSON = models.ForeignKey("django_app.Person", models.CASCADE, related_name="orders", db_constraint=not SETTINGS.sharded)


class Migration(migrations.Migration):
    """As `makemigrations` writes it, but for the names of the tables."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            "Person",
            [("id", models.BigIntegerField(primary_key=True)), ("name", models.CharField(max_length=80, db_index=True))],
            options={"db_table": PEOPLE},
        ),
        migrations.CreateModel(
            "Order",
            [
                ("id", models.BigIntegerField(primary_key=True)),
                ("amount", models.DecimalField(max_digits=10, decimal_places=2)),
                ("placed", models.DateTimeField(null=True)),
                ("details", models.JSONField(null=True)),
                ("person", _PERSON),
            ],
            options={"db_table": ORDERS},
        ),
        migrations.CreateModel(
            "Note", [("id", models.BigAutoField(primary_key=True)), ("body", models.TextField())], options={"db_table": NOTES}
        ),
    ]

"""A column more."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Goes on and back."""

    dependencies: ClassVar = [("django_app", "0001_initial")]
    operations: ClassVar = [migrations.AddField("Person", "email", models.CharField(max_length=80, default="", db_index=True))]

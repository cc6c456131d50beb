from django.db import migrations, models


class Migration(migrations.Migration):
    """An index for what one destination was owed, by what became of it."""

    dependencies = [
        ("headgate_outbound", "0001_initial"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["destination", "state", "id"],
                name="headgate_delivery_past",
            ),
        ),
    ]

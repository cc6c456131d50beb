from django.db import migrations, models


class Migration(migrations.Migration):
    """An index for what is of no use any more, before anything else goes."""

    dependencies = [
        ("headgate_outbound", "0002_past_deliveries"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(
                    ("state", "due"),
                    ("expires_at__isnull", False),
                    ("batch__isnull", True),
                ),
                fields=["destination", "expires_at"],
                name="headgate_delivery_late",
            ),
        ),
    ]

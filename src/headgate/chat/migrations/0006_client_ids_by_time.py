from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("headgate_chat", "0005_growing_messages"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="event",
            name="headgate_event_client_id",
        ),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.UniqueConstraint(
                fields=("client_id", "room", "author_key"),
                name="headgate_event_client_id",
                condition=models.Q(client_id__isnull=False),
            ),
        ),
    ]

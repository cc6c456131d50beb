from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("headgate_chat", "0004_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="GrowingMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("seq", models.PositiveBigIntegerField()),
                ("author_key", models.CharField(max_length=64)),
                ("alive_at", models.DateTimeField()),
                (
                    "room",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.deletion.CASCADE,
                        related_name="+",
                        to="headgate_chat.room",
                    ),
                ),
            ],
            options={
                "verbose_name": "growing message",
                "verbose_name_plural": "growing messages",
                "indexes": [
                    models.Index(fields=["alive_at"], name="headgate_growing_alive")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("room", "seq"), name="headgate_growing_once"
                    )
                ],
            },
        ),
    ]

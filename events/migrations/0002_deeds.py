"""What was done to an identity is listed without reading what was said."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                fields=["identity_id", "-number"],
                name="event_identity_deeds",
                condition=~(Q(type__startswith="message.") | Q(type__startswith="tapback.")),
            ),
        ),
    ]

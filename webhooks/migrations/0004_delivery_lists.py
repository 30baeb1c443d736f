import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0003_fill_outcomes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='delivery',
            name='identity',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.identity'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['event_id'], name='delivery_event'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['organization', '-created_at', '-id'], name='delivery_org_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['-created_at', '-id'], name='delivery_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['identity', '-created_at', '-id'], name='delivery_identity_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['subscription', '-created_at', '-id'], name='delivery_subscription_newest'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state__in', ('failed', 'cancelled'))), fields=['organization', 'state', '-created_at', '-id'], name='delivery_org_undelivered'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state__in', ('failed', 'cancelled'))), fields=['state', '-created_at', '-id'], name='delivery_undelivered'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('cause', ''), _negated=True), fields=['organization', 'cause', '-created_at', '-id'], name='delivery_org_cause'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('cause', ''), _negated=True), fields=['cause', '-created_at', '-id'], name='delivery_cause'),
        ),
    ]

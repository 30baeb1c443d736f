import core.ids
import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('url', models.CharField(max_length=2000)),
                ('event_types', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), help_text='Names from the catalogue.', size=None)),
                ('context_config', models.JSONField(blank=True, null=True)),
                ('sealed_auth_token', models.TextField(blank=True)),
                ('dialect', models.CharField(default='inkbox', max_length=20)),
                ('status', models.CharField(choices=[('active', 'Active'), ('disabled', 'Disabled'), ('deleted', 'Deleted')], default='active', max_length=10)),
                ('failing_since', models.DateTimeField(blank=True, help_text='First failure since the last success.', null=True)),
                ('held_until', models.DateTimeField(blank=True, help_text='The endpoint asked us to stay away so long.', null=True)),
                ('disabled_at', models.DateTimeField(blank=True, null=True)),
                ('disabled_reason', models.CharField(blank=True, help_text='failing, gone or asked.', max_length=20)),
                ('succeeded_count', models.PositiveBigIntegerField(default=0)),
                ('failed_count', models.PositiveBigIntegerField(default=0)),
                ('last_success_at', models.DateTimeField(blank=True, null=True)),
                ('last_failure_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('identity', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='subscriptions', to='accounts.identity')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='subscriptions', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', '-created_at', '-id'], name='subscription_org_newest')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('status', 'deleted'), _negated=True), fields=('identity', 'url'), name='subscription_url_once')],
            },
        ),
        migrations.CreateModel(
            name='OrderNumber',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('conversation_id', models.UUIDField()),
                ('last', models.PositiveBigIntegerField()),
                ('subscription', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='webhooks.subscription')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('subscription', 'conversation_id'), name='ordernumber_once')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('event', 'Event'), ('test', 'Test')], default='event', max_length=5)),
                ('event_id', models.UUIDField()),
                ('event_type', models.CharField(help_text='Name from the catalogue.', max_length=40)),
                ('conversation_id', models.UUIDField(blank=True, null=True)),
                ('order_number', models.PositiveBigIntegerField(blank=True, null=True)),
                ('body', models.TextField()),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='pending', max_length=10)),
                ('attempts_made', models.PositiveSmallIntegerField(default=0, help_text='On the present schedule.')),
                ('is_replay', models.BooleanField(default=False, help_text='Asked for again: outside of the failure streak.')),
                ('next_attempt_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('claimed_at', models.DateTimeField(blank=True, null=True)),
                ('claimed_until', models.DateTimeField(blank=True, help_text='A worker is at it, or died.', null=True)),
                ('generation', models.PositiveIntegerField(default=0, help_text='Number of the latest claim.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('ending', models.CharField(blank=True, choices=[('dropped', 'Dropped'), ('gone', 'Gone')], help_text='Empty: gave up.', max_length=8)),
                ('replayed_at', models.DateTimeField(blank=True, help_text='Last sent again by hand.', null=True)),
                ('tries', models.PositiveIntegerField(default=0, help_text='Requests ever made, replays included.')),
                ('last_try_at', models.DateTimeField(blank=True, null=True)),
                ('last_status', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('last_ms', models.PositiveIntegerField(blank=True, null=True)),
                ('cause', models.CharField(blank=True, help_text='Why the last request failed; empty after a success.', max_length=12)),
                ('identity', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.identity')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='accounts.organization')),
                ('subscription', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='webhooks.subscription')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'indexes': [models.Index(condition=models.Q(('state', 'pending')), fields=['subscription', 'next_attempt_at'], name='delivery_due'), models.Index(condition=models.Q(('state', 'failed')), fields=['subscription', 'created_at'], name='delivery_failed'), models.Index(condition=models.Q(('settled_at', None), _negated=True), fields=['settled_at'], name='delivery_settled'), models.Index(fields=['event_id'], name='delivery_event'), models.Index(fields=['organization', '-created_at', '-id'], name='delivery_org_newest'), models.Index(fields=['-created_at', '-id'], name='delivery_newest'), models.Index(fields=['identity', '-created_at', '-id'], name='delivery_identity_newest'), models.Index(fields=['subscription', '-created_at', '-id'], name='delivery_subscription_newest'), models.Index(condition=models.Q(('state__in', ('failed', 'cancelled'))), fields=['organization', 'state', '-created_at', '-id'], name='delivery_org_undelivered'), models.Index(condition=models.Q(('state__in', ('failed', 'cancelled'))), fields=['state', '-created_at', '-id'], name='delivery_undelivered'), models.Index(condition=models.Q(('cause', ''), _negated=True), fields=['organization', 'cause', '-created_at', '-id'], name='delivery_org_cause'), models.Index(condition=models.Q(('cause', ''), _negated=True), fields=['cause', '-created_at', '-id'], name='delivery_cause')],
                'constraints': [models.UniqueConstraint(fields=('subscription', 'event_id'), name='delivery_once')],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveSmallIntegerField()),
                ('url', models.CharField(max_length=2000)),
                ('request_headers', models.JSONField(help_text='As sent; signatures and the bearer token are left out.')),
                ('response_status', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('response_body', models.TextField(blank=True, null=True)),
                ('error_detail', models.CharField(blank=True, max_length=300, null=True)),
                ('cause', models.CharField(blank=True, help_text='Why it failed, in one of our words.', max_length=12)),
                ('signed_by', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=16), blank=True, default=list, help_text='Fingerprints of the keys, newest first.', size=None)),
                ('duration_ms', models.PositiveIntegerField(blank=True, null=True)),
                ('is_replay', models.BooleanField(default=False)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('identity', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.identity')),
                ('organization', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.organization')),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='webhooks.delivery')),
                ('subscription', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='webhooks.subscription')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', '-at', '-id'], name='attempt_org_newest'), models.Index(fields=['identity', '-at', '-id'], name='attempt_identity_newest'), models.Index(fields=['subscription', '-at', '-id'], name='attempt_subscription_newest')],
            },
        ),
        migrations.CreateModel(
            name='SigningKey',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('sealed_key', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('replaced_at', models.DateTimeField(blank=True, null=True)),
                ('identity', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='signing_keys', to='accounts.identity')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='signing_keys', to='accounts.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('replaced_at', None)), fields=('identity',), name='signingkey_one_current'), models.UniqueConstraint(condition=models.Q(('identity', None), ('replaced_at', None)), fields=('organization',), name='signingkey_one_current_of_organization')],
            },
        ),
    ]

import core.ids
import datetime
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('accounts', '__first__'),
        ('imessage', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Preferences',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='preferences', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('zone', models.CharField(default='UTC', max_length=64)),
                ('clock', models.CharField(choices=[('24', '14:05'), ('12', '2:05 pm')], default='24', max_length=2)),
                ('exact_times', models.BooleanField(default=False, help_text='In lists and threads too, where they are short.')),
                ('theme', models.CharField(choices=[('system', 'As the system'), ('light', 'Light'), ('dark', 'Dark')], default='system', max_length=10)),
                ('density', models.CharField(choices=[('comfortable', 'Comfortable'), ('compact', 'Compact')], default='comfortable', max_length=12)),
                ('shortcuts', models.BooleanField(default=True)),
            ],
            options={
                'verbose_name_plural': 'preferences',
            },
        ),
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('who', models.CharField(help_text='Who started it, as it was called then.', max_length=254)),
                ('deed', models.CharField(help_text='Name of what is done, or export.', max_length=60)),
                ('list_name', models.CharField(max_length=60)),
                ('query', models.TextField(blank=True, help_text='The filter, with its range fixed.')),
                ('chosen', models.JSONField(blank=True, help_text='Keys of selected rows; null: all that match.', null=True)),
                ('options', models.JSONField(blank=True, default=dict)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('words', models.TextField(blank=True, help_text='The filter in words, as it was.')),
                ('state', models.CharField(choices=[('counting', 'Counting'), ('held', 'Held'), ('running', 'Running'), ('paused', 'Paused'), ('cancelling', 'Cancelling'), ('cancelled', 'Cancelled'), ('done', 'Done'), ('failed', 'Failed')], default='counting', max_length=10)),
                ('problem', models.CharField(blank=True, max_length=300)),
                ('snapshot_at', models.DateTimeField(help_text='Rows that appeared later are not touched.')),
                ('held_until', models.DateTimeField(blank=True, null=True)),
                ('expected', models.PositiveIntegerField(default=0, help_text='The count that was shown before it began.')),
                ('total', models.PositiveIntegerField(blank=True, help_text='Null until counted.', null=True)),
                ('done', models.PositiveIntegerField(default=0)),
                ('failed', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0)),
                ('worked', models.DurationField(default=datetime.timedelta, help_text='Time spent working, without holds and pauses.')),
                ('file', models.CharField(blank=True, help_text='Of an export: random name in the storage.', max_length=200)),
                ('file_size', models.PositiveBigIntegerField(default=0)),
                ('file_until', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('organization', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.organization')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['organization', '-created_at', '-id'], name='job_org_newest'), models.Index(fields=['-created_at', '-id'], name='job_newest'), models.Index(condition=models.Q(('file', ''), _negated=True), fields=['file_until'], name='job_file'), models.Index(condition=models.Q(('state__in', ['cancelled', 'done', 'failed']), _negated=True), fields=['state'], name='job_unfinished')],
            },
        ),
        migrations.CreateModel(
            name='JobItem',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subject_id', models.CharField(max_length=60)),
                ('state', models.PositiveSmallIntegerField(choices=[(0, 'Failed'), (1, 'Skipped'), (2, 'Done'), (3, 'Waiting')], default=3)),
                ('words', models.CharField(blank=True, max_length=300)),
                ('at', models.DateTimeField(blank=True, null=True)),
                ('job', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='items', to='console.job')),
            ],
            options={
                'indexes': [models.Index(fields=['job', 'state', 'id'], name='jobitem_by_state')],
                'constraints': [models.UniqueConstraint(fields=('job', 'subject_id'), name='jobitem_once')],
            },
        ),
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('list_name', models.CharField(max_length=60)),
                ('slug', models.CharField(max_length=60)),
                ('name', models.CharField(max_length=60)),
                ('query', models.TextField(blank=True)),
                ('is_shared', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('organization', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.organization')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='saved_views', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['organization', 'list_name', 'name'], name='savedview_of_list')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_shared', True)), fields=('organization', 'list_name', 'slug'), name='savedview_shared_once', nulls_distinct=False), models.UniqueConstraint(condition=models.Q(('is_shared', False)), fields=('user', 'list_name', 'slug'), name='savedview_own_once')],
            },
        ),
        migrations.CreateModel(
            name='ThreadMark',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('seen_position', models.PositiveIntegerField(blank=True, help_text='Null: never opened.', null=True)),
                ('is_starred', models.BooleanField(default=False)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('conversation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='marks', to='imessage.conversation')),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='thread_marks', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('user', 'conversation'), name='threadmark_once')],
            },
        ),
    ]

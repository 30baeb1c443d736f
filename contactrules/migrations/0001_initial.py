import core.ids
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
            name='Decision',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('organization_id', models.UUIDField()),
                ('identity_id', models.UUIDField()),
                ('human', models.CharField(max_length=100)),
                ('direction', models.CharField(choices=[('inbound', 'Inbound'), ('outbound', 'Outbound')], max_length=8)),
                ('subject', models.CharField(choices=[('connect', 'Connect'), ('message', 'Message'), ('tapback', 'Tapback'), ('receipt', 'Receipt')], max_length=8)),
                ('allowed', models.BooleanField()),
                ('mode', models.CharField(choices=[('blacklist', 'Blacklist'), ('whitelist', 'Whitelist')], max_length=10)),
                ('revision', models.PositiveIntegerField()),
                ('rule_id', models.UUIDField(null=True)),
                ('message_id', models.UUIDField(null=True)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'indexes': [models.Index(fields=['organization_id', 'identity_id', '-at'], name='decision_identity_at'), models.Index(condition=models.Q(('message_id__isnull', False)), fields=['message_id'], name='decision_message'), models.Index(condition=models.Q(('rule_id__isnull', False)), fields=['rule_id', '-at'], name='decision_rule_at')],
            },
        ),
        migrations.CreateModel(
            name='Rehearsal',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('draft', models.JSONField(help_text='See contactrules/reach.py.')),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='waiting', max_length=7)),
                ('read', models.PositiveIntegerField(default=0, help_text='Decisions judged so far.')),
                ('total', models.PositiveIntegerField(default=0, help_text='Decisions of the period.')),
                ('counts', models.JSONField(default=dict)),
                ('covered_from', models.DateTimeField(help_text='The first decision that is kept of the whole history.', null=True)),
                ('revisions', models.JSONField(default=dict, help_text="Each identity's revision that was judged, by its id.")),
                ('created_by', models.JSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(null=True)),
                ('applied_by', models.JSONField(null=True)),
                ('applied_at', models.DateTimeField(null=True)),
                ('discarded_at', models.DateTimeField(null=True)),
                ('identity', models.ForeignKey(blank=True, help_text='Empty: all.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='rehearsals', to='accounts.identity')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rehearsals', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', '-created_at', '-id'], name='rehearsal_org_newest')],
            },
        ),
        migrations.CreateModel(
            name='RehearsalPerson',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('organization_id', models.UUIDField()),
                ('rank', models.PositiveIntegerField(help_text='1 is who would be changed most.')),
                ('human', models.CharField(max_length=100)),
                ('loses', models.BooleanField(help_text='Whether anything would be blocked that is not today.')),
                ('gains', models.BooleanField(help_text='Whether anything would pass that does not today.')),
                ('messages', models.PositiveIntegerField(default=0, help_text="The human's messages whose verdict changes.")),
                ('sends', models.PositiveIntegerField(default=0, help_text="The agent's sends whose verdict changes.")),
                ('connects', models.PositiveIntegerField(default=0, help_text='Attempts to connect whose verdict changes.')),
                ('tapbacks', models.PositiveIntegerField(default=0, help_text="The human's tapbacks whose verdict changes.")),
                ('has_live_thread', models.BooleanField(default=False)),
                ('last_at', models.DateTimeField(help_text='The last decision about them in the period.', null=True)),
                ('identity', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.identity')),
                ('rehearsal', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='people', to='contactrules.rehearsal')),
            ],
            options={
                'verbose_name_plural': 'rehearsal people',
                'constraints': [models.UniqueConstraint(fields=('rehearsal', 'rank'), name='rehearsal_rank')],
            },
        ),
        migrations.CreateModel(
            name='RuleRevision',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('organization_id', models.UUIDField()),
                ('number', models.PositiveIntegerField()),
                ('change', models.CharField(help_text='rule_created, rule_updated, rule_deleted or mode_changed', max_length=20)),
                ('rule_id', models.UUIDField(null=True)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
                ('mode', models.CharField(choices=[('blacklist', 'Blacklist'), ('whitelist', 'Whitelist')], help_text='After the change.', max_length=10)),
                ('outbound_mode', models.CharField(blank=True, choices=[('blacklist', 'Blacklist'), ('whitelist', 'Whitelist')], default='', help_text='Empty: the same as mode.', max_length=10)),
                ('actor', models.JSONField()),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('rehearsal_id', models.UUIDField(help_text='The rehearsal that was applied by it.', null=True)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('identity', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rule_revisions', to='accounts.identity')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('rule_id__isnull', False)), fields=['rule_id', '-id'], name='revision_rule')],
                'constraints': [models.UniqueConstraint(fields=('identity', 'number'), name='revision_number')],
            },
        ),
        migrations.CreateModel(
            name='Shadow',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('draft', models.JSONField(help_text='See contactrules/reach.py.')),
                ('state', models.CharField(choices=[('running', 'Running'), ('ended', 'Ended'), ('promoted', 'Promoted'), ('stopped', 'Stopped')], default='running', max_length=8)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('ends_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('judged_to', models.DateTimeField(help_text='Decisions up to here have their second verdict.')),
                ('created_by', models.JSONField()),
                ('ended_by', models.JSONField(null=True)),
                ('identity', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='shadows', to='accounts.identity')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='shadows', to='accounts.organization')),
                ('rehearsal', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='shadows', to='contactrules.rehearsal')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', '-started_at', '-id'], name='shadow_org_newest')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'running')), fields=('identity',), name='shadow_one_running')],
            },
        ),
        migrations.CreateModel(
            name='ShadowVerdict',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('organization_id', models.UUIDField()),
                ('decision_id', models.BigIntegerField()),
                ('human', models.CharField(max_length=100)),
                ('direction', models.CharField(choices=[('inbound', 'Inbound'), ('outbound', 'Outbound')], max_length=8)),
                ('subject', models.CharField(choices=[('connect', 'Connect'), ('message', 'Message'), ('tapback', 'Tapback'), ('receipt', 'Receipt')], max_length=8)),
                ('message_id', models.UUIDField(null=True)),
                ('allowed', models.BooleanField(help_text='As it was decided.')),
                ('would_allow', models.BooleanField(help_text='As the draft decides.')),
                ('at', models.DateTimeField(help_text='When it was decided.')),
                ('judged_at', models.DateTimeField(default=django.utils.timezone.now, help_text='When the second verdict was given.')),
                ('shadow', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='verdicts', to='contactrules.shadow')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('allowed', models.F('would_allow')), _negated=True), fields=['organization_id', 'shadow', 'human', 'at'], name='shadow_verdict_differs')],
                'constraints': [models.UniqueConstraint(fields=('shadow', 'decision_id'), name='shadow_verdict_once')],
            },
        ),
        migrations.CreateModel(
            name='ContactRule',
            fields=[
                ('id', models.UUIDField(default=core.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('action', models.CharField(choices=[('allow', 'Allow'), ('block', 'Block')], max_length=5)),
                ('match_type', models.CharField(choices=[('exact_number', 'Exact Number')], default='exact_number', max_length=15)),
                ('match_target', models.CharField(max_length=16)),
                ('status', models.CharField(choices=[('active', 'Active'), ('paused', 'Paused')], default='active', max_length=6)),
                ('direction', models.CharField(choices=[('inbound', 'Inbound'), ('outbound', 'Outbound'), ('both', 'Both')], default='both', max_length=8)),
                ('created_by', models.JSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('updated_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('identity', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contact_rules', to='accounts.identity')),
                ('organization', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contact_rules', to='accounts.organization')),
            ],
            options={
                'indexes': [models.Index(fields=['organization', 'identity', '-created_at', '-id'], name='rule_org_newest')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('direction', 'outbound'), _negated=True), fields=('identity', 'match_type', 'match_target'), name='rule_one_inbound'), models.UniqueConstraint(condition=models.Q(('direction', 'inbound'), _negated=True), fields=('identity', 'match_type', 'match_target'), name='rule_one_outbound')],
            },
        ),
    ]

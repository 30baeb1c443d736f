"""Jobs of contact rules: the second verdicts of shadows, and their end."""

from procrastinate.contrib.django import app

from contactrules import shadow


@app.periodic(cron="* * * * * */5")
@app.task(name="contactrules.judge_shadows", queueing_lock="contactrules.judge_shadows")
def judge_shadows(timestamp: int) -> None:
    """Judge what was decided on identities with a shadow, and end the shadows whose time is over."""
    shadow.judge_running()
    shadow.end_due()

"""A person's own choices: zone, time format, theme, density, shortcuts."""

from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from console.entry import PageRequest, draw, page, tell
from console.models import Preferences
from console.preferences import save_preferences
from console.times import COOKIE, in_utc, zone_names
from console.views.theme import A_YEAR, came_from, keep_cookie, keep_theme
from core.actor import Actor


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """The choices of one person."""

    zone = forms.ChoiceField(label="Time zone")
    clock = forms.ChoiceField(label="Times look like", choices=Preferences.Clock.choices)
    exact_times = forms.BooleanField(
        label="Exact times everywhere",
        required=False,
        help_text="Lists say how long ago; with this they say day, time and zone, which else only a pointer finds.",
    )
    theme = forms.ChoiceField(choices=Preferences.Theme.choices)
    density = forms.ChoiceField(choices=Preferences.Density.choices)
    shortcuts = forms.BooleanField(
        label="Keyboard shortcuts of one key", required=False, help_text="Everything can be done without them, too."
    )

    class Meta:
        model = Preferences
        fields: ClassVar[list[str]] = ["zone", "clock", "exact_times", "theme", "density", "shortcuts"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = zone_names()
        # A zone whose file went away stays chosen, until another is.
        kept = [] if self.instance.zone in names else [self.instance.zone]
        self.fields["zone"].choices = [(name, name.replace("_", " ")) for name in [*kept, *names]]  # type: ignore[attr-defined]


@page
@require_http_methods(["GET", "HEAD", "POST"])
def show_profile(request: PageRequest, actor: Actor) -> HttpResponse:
    """The choices; a POST keeps them, and the theme for this browser too."""
    form = ProfileForm(request.POST or None, instance=request.preferences)
    if request.method == "POST" and form.is_valid():
        save_preferences(request.user, **form.cleaned_data)
        tell(request, "Your preferences are kept.")
        response = HttpResponseRedirect(reverse("console:profile"))
        return keep_theme(response, form.cleaned_data["theme"])
    context = {"form": form, "now": timezone.now(), "no_zones": len(zone_names()) == 1}
    return draw(request, actor, "console/me/profile.html", context, status=422 if form.errors else 200)


@require_POST
def switch_times(request: HttpRequest) -> HttpResponse:
    """Between the person's zone and UTC, for this browser."""
    response = HttpResponseRedirect(came_from(request))
    if in_utc(request):
        response.delete_cookie(COOKIE, samesite="Lax")
        return response
    return keep_cookie(response, COOKIE, "utc", seconds=A_YEAR)

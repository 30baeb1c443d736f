"""The console's pages; every object has one address, every state of a list is in its query."""

from django.urls import path
from django.views.generic import RedirectView

app_name = "console"
urlpatterns = [
    path("", RedirectView.as_view(url="/console/threads/")),
    path("console/", RedirectView.as_view(url="/console/threads/"), name="home"),
]

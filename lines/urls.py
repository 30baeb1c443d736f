"""Where providers post their callbacks to."""

from django.urls import path

from lines import callbacks

urlpatterns = [path("<uuid:account_id>", callbacks.receive, name="callback")]

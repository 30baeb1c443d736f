"""Where providers post their callbacks to."""

from django.urls import path

from lines import callbacks

urlpatterns = [
    path("<uuid:account_id>", callbacks.receive, name="callback"),
    # The account's secret, for providers that sign nothing; the driver compares it.
    path("<uuid:account_id>/<str:token>", callbacks.receive, name="callback"),
    path("<uuid:account_id>/<uuid:order_key>/<str:token>", callbacks.receive, name="callback"),
]

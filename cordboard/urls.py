"""Where each surface is mounted."""

from django.contrib import admin
from django.urls import include, path

from cordboard import health

urlpatterns = [
    path("readyz", health.readyz),
    path("", include("api.urls")),
    path("callbacks/", include("lines.urls")),
    path("media/", include("imessage.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("", include("console.urls")),
]

handler400 = "cordboard.errors.bad_request"
handler403 = "cordboard.errors.forbidden"
handler404 = "cordboard.errors.not_found"
handler500 = "cordboard.errors.server_error"

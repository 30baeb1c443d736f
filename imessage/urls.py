"""Where files are served, outside of the API."""

from django.urls import path

from imessage import serving

urlpatterns = [path("<path:path>", serving.media, name="media")]

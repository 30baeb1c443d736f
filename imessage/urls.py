"""Where media is served."""

from django.urls import path

from imessage import serving

urlpatterns = [path("<path:path>", serving.media, name="media")]

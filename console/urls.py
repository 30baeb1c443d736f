"""The console's pages; every object has one address, every state of a list is in its query."""

from django.urls import path
from django.views.generic import RedirectView

from console.views import blocked, phone, preferences, rail, rules, search, theme, threads, trace

app_name = "console"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="console:threads")),
    path("console/", RedirectView.as_view(pattern_name="console:threads"), name="home"),
    path("console/theme/", theme.choose_theme, name="theme"),
    path("console/times/", preferences.switch_times, name="times"),
    path("console/rail/", rail.show_rail, name="rail"),
    path("console/me/profile/", preferences.show_profile, name="profile"),
    path("console/threads/", threads.show_threads, name="threads"),
    path("console/threads/<uuid:pk>/", threads.show_thread, name="thread"),
    path("console/threads/<uuid:pk>/log/", threads.show_log, name="log"),
    path("console/threads/<uuid:pk>/tail/", threads.show_tail, name="tail"),
    path("console/threads/<uuid:pk>/about/", threads.show_about, name="about"),
    path("console/threads/<uuid:pk>/block/", rules.block_number, name="block"),
    path("console/threads/<uuid:pk>/allow/", rules.allow_number, name="allow"),
    path("console/threads/<uuid:pk>/rules/<uuid:rule_pk>/remove/", rules.remove_rule, name="remove_rule"),
    path("console/blocked/", blocked.show_blocked, name="blocked"),
    path("console/search/", search.show_search, name="search"),
    path("console/trace/", trace.open_trace, name="open_trace"),
    path("console/trace/<str:any_id>/", trace.show_trace, name="trace"),
    path("console/phone/", phone.show_phones, name="phones"),
    path("console/phone/<str:number>/", phone.show_phone, name="phone"),
    path("console/phone/<str:number>/screen/", phone.show_screen, name="phone_screen"),
    path("console/phone/<str:number>/text/", phone.write_text, name="phone_write"),
    path("console/phone/<str:number>/tapback/", phone.react, name="phone_react"),
    path("console/phone/<str:number>/read/", phone.read_thread, name="phone_read"),
    path("console/phone/<str:number>/typing/", phone.say_typing, name="phone_typing"),
    path("console/phone/<str:number>/service/", phone.choose_service, name="phone_service"),
]

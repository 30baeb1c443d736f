"""Exports: what a list shows as a file, asked for here and fetched from its job."""

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from console.entry import PageRequest, page, seen_by
from console.lists import SPECS
from console.models import Job
from console.work import Plan, start_export
from console.work.exporting import FORMATS
from console.work.fetching import fetch_export
from core.actor import Actor
from core.errors import Invalid, NotFound


@page
@require_POST
def export_list(request: PageRequest, actor: Actor) -> HttpResponse:
    """Begin to export all that match, or what is selected; its job's page has the file when it is there."""
    spec, format = SPECS.get(request.POST.get("list", "")), request.POST.get("format", "csv")
    if spec is None or not spec.columns or format not in FORMATS:
        raise NotFound()
    listing = spec.asked(request.POST.get("query", ""), actor)
    chosen = None if request.POST.get("all") or "id" not in request.POST else request.POST.getlist("id")
    try:
        job = start_export(actor, Plan.of(listing, chosen=chosen), format=format)
    except Invalid as refused:
        messages.error(request, refused.message)
        return HttpResponseRedirect(listing.url)
    return HttpResponseRedirect(reverse("console:job", args=[job.id]))


@page
@require_safe
def download_export(request: PageRequest, actor: Actor, pk: UUID) -> HttpResponse:
    """The file, to whoever made it, never shown in the browser and never kept by it."""
    job: Job = seen_by(actor, Job, pk)
    content_type, ending = FORMATS.get(str(job.options.get("format")), FORMATS["csv"])
    content = fetch_export(actor, job)
    name = f"{job.list_name}-{job.created_at:%Y-%m-%d}.{ending}"
    response = FileResponse(content, as_attachment=True, filename=name, content_type=content_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return cast(HttpResponse, response)

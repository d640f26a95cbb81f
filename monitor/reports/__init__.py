"""Pictures for people: what the database counted, as a page or an image; `terminal` prints it."""

from monitor.reports.data import Page
from monitor.reports.html import html
from monitor.reports.picture import NoPillow, png

__all__ = ["NoPillow", "Page", "html", "png"]

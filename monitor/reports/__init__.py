"""Pictures for people: what the database counted, as a page, a terminal table or an image."""

from monitor.reports.data import Page
from monitor.reports.html import html
from monitor.reports.picture import NoPillow, png
from monitor.reports.terminal import show

__all__ = ["NoPillow", "Page", "html", "png", "show"]

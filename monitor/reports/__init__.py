"""Pictures for people: what the database counted, as a page, a terminal table or an image."""

from monitor.reports.data import Page
from monitor.reports.html import html

__all__ = ["Page", "html"]

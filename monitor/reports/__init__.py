"""Pictures for people: what the database counted, as a page or an image; `terminal` prints it."""

from monitor.reports.html import html_page
from monitor.reports.page_data import ReportPage
from monitor.reports.picture import PillowMissing, png

__all__ = ["PillowMissing", "ReportPage", "html_page", "png"]

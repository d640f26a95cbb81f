"""Reports: the stored figures as a page, a picture or terminal output."""

"""Pictures for people: what the database counted, as a page or an image; `terminal` prints it."""

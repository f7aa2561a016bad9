"""Where bars come from: packaged samples, imported files, calendars, quality and the sealed hold-out."""

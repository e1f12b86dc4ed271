"""Background runs on the pages: asking for one, watching it, and what became of it."""

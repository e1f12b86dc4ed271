"""Networks of the visitor's own: which architecture, which weights, which images, and adding them as a task."""

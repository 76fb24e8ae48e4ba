"""Views of results, in the terminal and as HTML: they consume the plain data of our JSON files, never a model."""

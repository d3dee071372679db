"""Where slots live and how compute reaches them: one module per kind of memory."""

"""How well results agree with labels: one scorer for each kind of result."""

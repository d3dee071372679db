"""`swapnet top`: perception processes live in the terminal, or once as JSON. Needs ROS."""

from __future__ import annotations

import json
from contextlib import suppress

from rich.console import Console
from rich.live import Live

from swapnet_ros.cli.top_view import top_json, top_tables
from swapnet_ros.nodes.status_listener import StatusListener

ROUND_S = 1.5  # longer than status and diagnostics take to come round
REFRESH_S = 0.5


def show_live(listener: StatusListener, console: Console) -> None:
    """Redraw the tables until Ctrl-C; what no process tells any more is left out."""
    with Live(console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            listener.listen(REFRESH_S)
            live.update(top_tables(listener.cores, listener.nodes), refresh=True)


def show_once(
    listener: StatusListener, console: Console, *, as_json: bool, patience_s: float
) -> bool:
    """Print what one round of status and diagnostics tells.

    Returns:
        Whether any perception process was heard.
    """
    listener.listen(patience_s, is_enough=lambda: bool(listener.cores))
    if listener.cores:
        listener.listen(ROUND_S)
    if as_json:
        print(json.dumps(top_json(listener.cores, listener.nodes), indent=2))
    elif listener.cores:
        console.print(top_tables(listener.cores, listener.nodes))
    return bool(listener.cores)

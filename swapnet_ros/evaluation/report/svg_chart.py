"""Matplotlib's drawings as SVG that stands in a page among others.

Drawings hold no words of the user's: names of tasks, budgets and classes stand in the page's
captions and legends, where they are escaped, and in the reader's own fonts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from swapnet_ros.evaluation.report.palette import colour, with_variables

WIDE_IN, NARROW_IN = 12.0, 6.4
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "swapnet",  # equal drawings give equal bytes
    "font.size": 10,
    "axes.edgecolor": colour("muted"),
    "axes.labelcolor": colour("muted"),
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": colour("grid"),
    "grid.linewidth": 0.8,
    "xtick.color": colour("muted"),
    "ytick.color": colour("muted"),
    "text.color": colour("ink"),
    "lines.linewidth": 1.6,
}


def draw_svg(
    draw: Callable[[Any], None],
    *,
    name: str,
    label: str,
    height_in: float,
    width_in: float = WIDE_IN,
) -> Markup:
    """Make one drawing.

    Args:
        draw: called with an empty `matplotlib.figure.Figure`.
        name: unique in the page: a letter, then letters, digits and `-`.
        label: what the drawing shows, for those who cannot see it.
        height_in: in inches of 72 units; the page scales it.
        width_in: likewise.

    Returns:
        An `svg` element whose colours are the page's.
    """
    # Not at the top: it takes half a second, which only this needs. No display is opened.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    written = io.StringIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(written, format="svg", metadata={"Date": None})
    return Markup(_for_page(written.getvalue(), name, label))


def _for_page(svg: str, name: str, label: str) -> str:
    """Make a file into a part of a page.

    Ids that nothing refers to go, and others begin with the drawing's name. The style sheet goes,
    since it would be the whole page's.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([^\")]+)", svg))
    svg = re.sub(
        r' id="([^"]+)"',
        lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "",
        svg,
    )
    svg = re.sub(r"(url\(|href=\")#", rf"\1#{name}-", svg).replace("xlink:href", "href")
    box = re.search(r'viewBox="[^"]+"', svg)
    head = f'<svg role="img" aria-label="{escape(label)}" {box[0] if box else ""}>'
    return with_variables(head + svg[svg.index(">") + 1 :])
